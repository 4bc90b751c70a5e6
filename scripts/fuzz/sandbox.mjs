import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { instrument } from './instrument.mjs'
import { root } from './paths.mjs'

/** Rooms whose code is counted. */
const COUNTED = ['verify', 'seal', 'host/attesters']

/**
 * While `globalThis.__believe` is true every signature verifies. Mutated documents would not get past the first signature otherwise,
 * and what comes after it must not trip over them either: a signer may be anybody.
 */
const CRYPTO = `import { crypto as real } from './dist/verify/crypto/node.js'
export const crypto = { ...real, verify: (key, signature, data) => globalThis.__believe || real.verify(key, signature, data) }
`
const JOSE = `import { flattenedVerify as real } from 'jose'
export * from 'jose'
export const flattenedVerify = (...asked) => (globalThis.__believe ? {} : real(...asked))
`

/**
 * A private copy of dist/, instrumented: a build that runs meanwhile does not disturb it.
 * @returns its folder, the number of points and the words in the code.
 */
export function makeSandbox() {
  if (!existsSync(join(root, 'dist/verify/index.js'))) throw new Error('dist/ is missing: run `npm run build` first')
  const folder = mkdtempSync(join(tmpdir(), 'sealgate-fuzz-'))
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true, filter: (path) => !path.endsWith('.d.ts') })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'crypto.js'), CRYPTO)
  writeFileSync(join(folder, 'jose.js'), JOSE)
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ type: 'module', imports: { '#crypto': './crypto.js', '#jose': './jose.js', '#saxes': 'saxes' } }),
  )
  let points = 0
  const words = new Set()
  for (const room of COUNTED) {
    for (const path of readdirSync(join(folder, 'dist', room), { recursive: true })) {
      if (!path.endsWith('.js')) continue
      const file = join(folder, 'dist', room, path)
      const text = readFileSync(file, 'utf8').replace("from 'jose'", "from '#jose'")
      const made = instrument(file, text, () => points++)
      writeFileSync(file, made.code)
      for (const word of made.words) words.add(word)
    }
  }
  return { folder, points, words: [...words], remove: () => rmSync(folder, { recursive: true, force: true }) }
}
