import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './paths.mjs'

const folder = join(root, 'test/fuzz/regressions')

/** Inputs that once broke a target. */
export function loadRegressions(target) {
  const path = join(folder, target)
  if (!existsSync(path)) return []
  return readdirSync(path)
    .sort()
    .map((name) => new Uint8Array(readFileSync(join(path, name))))
}

/** @returns the path, from the root of the repository. */
export function saveRegression(target, input) {
  const name = createHash('sha256').update(input).digest('hex').slice(0, 16)
  mkdirSync(join(folder, target), { recursive: true })
  writeFileSync(join(folder, target, name), input)
  return join('test/fuzz/regressions', target, name)
}
