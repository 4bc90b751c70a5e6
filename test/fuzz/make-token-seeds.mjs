// Makes seeds/*: a Nitro document, tokens of Arm CCA and PSA, and an answer of NRAS, all SIMULATED with throwaway keys, and what they
// verify under. Run `node test/fuzz/make-token-seeds.mjs`; what it writes is committed, since runs must be repeatable.
import { rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const bundle = here('.make-token-seeds.bundle.mjs')
await build({
  stdin: {
    contents: ['nitro', 'arm-cca', 'cose', 'tokens'].map((name) => `export * from './${name}.ts'`).join(';'),
    resolveDir: here('../support'),
    loader: 'ts',
  },
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  outfile: bundle,
})
const { ccaToken, detachedEat, ecKey, itaClaims, jwt, nitroDocument, psaToken, tokenSigner } = await import(pathToFileURL(bundle).href)
rmSync(bundle)

const write = (name, bytes) => writeFileSync(here(`seeds/${name}`), bytes)
const { document, root } = await nitroDocument({ indefinite: true })
write('nitro.bin', document)
write('nitro-root.der', root)
const { token, cpak } = ccaToken()
const iak = ecKey('P-256')
write('arm-cca.bin', token)
write('arm-psa.bin', psaToken(iak))
write('arm-keys.pem', new Uint8Array([...cpak.pem, ...iak.pem]))
const [nras, ita] = [tokenSigner('ES384', 'nras'), tokenSigner('PS384', 'ita')]
write('nras-eat.golden.json', detachedEat(nras))
write('ita.jwt', jwt(itaClaims(), ita))
write(
  'token-keys.golden.json',
  JSON.stringify({ keys: [nras, ita].flatMap(({ jwks }) => JSON.parse(Buffer.from(jwks).toString()).keys.slice(1)) }),
)
