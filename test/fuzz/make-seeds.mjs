// Makes seeds/*: quotes and collateral of a SIMULATED Intel with throwaway keys, so that the fuzzer has whole evidence to start from
// where no real evidence is at hand. Run `node test/fuzz/make-seeds.mjs`; what it writes is committed, since runs must be repeatable.
import { createHash } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const bundle = here('.make-seeds.bundle.mjs')
await build({
  stdin: {
    contents: `export * from './intel.ts'; export * from '../../src/sim/little-endian.ts'; export * from '../../src/verify/bytes/bytes.ts'; export * from '../../src/verify/formats/pem.ts'`,
    resolveDir: here('../support'),
    loader: 'ts',
  },
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  alias: { '#crypto': here('../../src/verify/crypto/node.ts') },
  outfile: bundle,
})
const { SimulatedIntel, concat, fromHex, parsePem, u16, u32, utf8 } = await import(pathToFileURL(bundle).href)
rmSync(bundle)

const intel = new SimulatedIntel()
const cases = {
  'tdx-v5': await intel.make('tdx'),
  'tdx-v4': await intel.make('tdx', { version: 4 }),
  'sgx-v3': await intel.make('sgx'),
}
mkdirSync(here('seeds'), { recursive: true })
for (const [name, { quote }] of Object.entries(cases)) writeFileSync(here(`seeds/${name}.bin`), quote)
for (const tee of ['tdx', 'sgx']) {
  const { json } = cases[tee === 'tdx' ? 'tdx-v5' : 'sgx-v3']
  writeFileSync(here(`seeds/${tee}-collateral.golden.json`), utf8(JSON.stringify(json)))
}
const [, root] = parsePem(cases['sgx-v3'].json.pck_crl_issuer_chain, 'chain')
writeFileSync(here('seeds/root.der'), root.der)

const sha384 = (data) => createHash('sha384').update(data).digest()
const guid = fromHex('61dfe48bca93d211aa0d00e098032b8c')
const name = Uint8Array.from('BootOrder'.split('').flatMap((c) => [c.charCodeAt(0), 0]))
const EVENTS = [
  [1, 0x80000001, concat(guid, u32(9), u32(0), u32(2), u32(0), name, Uint8Array.of(3, 0))],
  [1, 4, new Uint8Array(4)],
  [2, 6, concat(u32(0x8f3b22ec), u32(6), utf8('initrd'))],
  [2, 0x80000007, utf8('Exit Boot Services Invocation')],
  [3, 0x0d, utf8('grub_cmd: linux /vmlinuz quiet\0')],
]
const spec = concat(utf8('Spec ID Event03\0'), u32(0), Uint8Array.of(0, 2, 0, 2), u32(1), u16(12), u16(48), Uint8Array.of(0))
const head = concat(u32(1), u32(3), new Uint8Array(20), u32(spec.length), spec)
const entries = EVENTS.map(([index, type, data]) => concat(u32(index), u32(type), u32(1), u16(12), sha384(data), u32(data.length), data))
writeFileSync(here('seeds/ccel.bin'), concat(head, ...entries, new Uint8Array(16).fill(0xff)))

const RUNTIME = 0x08000001
const payload = '62a7'
const measured = { imr: 0, event_type: 4, digest: sha384('').toString('hex'), event: '', event_payload: '00000000' }
const first = { imr: 3, event_type: RUNTIME, digest: '', event: 'app-id', event_payload: payload }
const second = { imr: 3, event_type: RUNTIME, event: 'compose-hash', event_payload: payload, version: 2 }
writeFileSync(here('seeds/runtime-log.golden.json'), JSON.stringify([measured, first, second]))
