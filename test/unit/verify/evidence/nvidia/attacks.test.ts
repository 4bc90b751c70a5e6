import { beforeAll, describe, expect, it } from 'vitest'
import {
  ARCHITECTURES,
  AUTHORITY,
  createSimulatedDevice,
  createSimulatedNvidia,
  encodeChain,
  FIRMWARE,
  fwidExtension,
  issueNvidia,
  reportFields,
  type SimulatedDevice,
} from '../../../../../src/sim/index.ts'
import { concat } from '../../../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../../../src/verify/evidence/cache.ts'
import { OPAQUE } from '../../../../../src/verify/evidence/nvidia/layout.ts'
import type { VerifyOptions } from '../../../../../src/verify/evidence/types.ts'
import { AT, look, MADE, NONCE, type NvidiaWorld, nvidiaWorld, objections, signedReport, whole } from '../../../../support/nvidia.ts'

const KINDS = ['hopper', 'blackwell', 'nvswitch'] as const
type Kind = (typeof KINDS)[number]

/** Shared on purpose: nothing that it keeps may let an attack through. */
const cache = createVerifyCache()

let world: NvidiaWorld
let endorsed: Readonly<Record<Kind, readonly Uint8Array[]>>
beforeAll(async () => {
  world = await nvidiaWorld()
  const collateral = (kind: Kind): readonly Uint8Array[] => whole(world.nvidia, world[kind]).collateral
  endorsed = { hopper: collateral('hopper'), blackwell: collateral('blackwell'), nvswitch: collateral('nvswitch') }
})

function deviceOf(kind: Kind): SimulatedDevice {
  const { gpus, switches } = world[kind]
  const [device] = [...gpus, ...switches]
  if (device === undefined) throw new Error('no device')
  return device
}

/** What objects to a report with this chain. */
async function rulesOf(
  kind: Kind,
  report: Uint8Array,
  chain: readonly Uint8Array[] = deviceOf(kind).chain,
  more: Partial<VerifyOptions> = {},
): Promise<readonly string[]> {
  return objections(await look(world, report, [encodeChain(chain), ...endorsed[kind]], { cache, ...more }))
}

const flip = (bytes: Uint8Array, at: number, bit = 0): Uint8Array => bytes.map((b, i) => (i === at ? b ^ (1 << bit) : b))
type Fields = ReturnType<typeof reportFields>
const fieldsOf = (kind: Kind): Fields => reportFields(deviceOf(kind), NONCE, kind === 'blackwell' ? 'MPT' : 'SPT', [])
const withOpaque = (kind: Kind, name: keyof typeof OPAQUE, value: Uint8Array | null): Fields['opaque'] =>
  fieldsOf(kind).opaque.flatMap((f) => (f.type !== OPAQUE[name] ? [f] : value === null ? [] : [{ type: f.type, value }]))

/** Bytes that a value keeps alive. */
function heldBy(value: unknown, seen: Set<unknown> = new Set()): number {
  const held = ArrayBuffer.isView(value) ? value.buffer : value
  if (typeof held !== 'object' || held === null || seen.has(held)) return 0
  seen.add(held)
  if (held instanceof ArrayBuffer) return held.byteLength
  const members: readonly unknown[] = held instanceof Map ? [...held.values()] : Object.values(held)
  return members.reduce((sum: number, member) => sum + heldBy(member, seen), 0)
}

describe('what a cache keeps of devices and manifests', () => {
  it('stands for as many bytes as it keeps alive, so that nobody fills the memory with it', async () => {
    const kept = new Map<string, { readonly value: unknown; readonly size: number }>()
    const counting = {
      get: (key: string) => kept.get(key)?.value,
      set: (key: string, value: unknown, size: number): void => void kept.set(key, { value, size }),
    }
    const device = deviceOf('hopper')
    await look(world, signedReport(device), [encodeChain(device.chain), ...endorsed.hopper], { cache: counting })
    const entries = [...kept].filter(([key]) => /^(nvidia-chain|nvidia-path|rim):/.test(key))
    expect(entries.length).toBeGreaterThanOrEqual(5)
    for (const [key, { value, size }] of entries) expect([key, heldBy(value) <= size]).toEqual([key, true])
  })
})

describe.each(KINDS)('a simulated device (%s)', (kind) => {
  it('passes the strict default with manifests, OCSP answers and nonce, and says that it is simulated', async () => {
    const verdict = await look(world, signedReport(deviceOf(kind)), [encodeChain(deviceOf(kind).chain), ...endorsed[kind]])
    expect(objections(verdict)).toEqual([])
    expect(verdict).toMatchObject({
      decision: 'accept',
      claims: { tee: kind === 'nvswitch' ? 'nvidia-switch' : 'nvidia-gpu', simulated: true, debug: false },
    })
    const due = kind === 'nvswitch' ? 31 : 33
    expect(verdict.checks.find((c) => c.rule === 'reference-values.measurements')?.got).toBe(`${due} of ${due} equal`)
    const ocsp = verdict.checks.filter((c) => c.rule.startsWith('revocation.')).map((c) => c.rule)
    expect(ocsp).toHaveLength(6)
  })

  it('is refused under the roots that are built in', async () => {
    expect(await rulesOf(kind, signedReport(deviceOf(kind)), undefined, { trustAnchors: [] })).toContain('chain.device=fail')
  })

  it('is refused for every single measurement that is not as published', async () => {
    const { driverIndices, biosIndices } = ARCHITECTURES[deviceOf(kind).architecture]
    const { blocks } = fieldsOf(kind)
    const published = [...driverIndices, ...biosIndices]
    for (const [i] of blocks.entries()) {
      const changed = blocks.map((b, k) => (k === i ? { ...b, value: flip(b.value, i % 48, i % 8) } : b))
      const rules = await rulesOf(kind, signedReport(deviceOf(kind), { blocks: changed }))
      expect(rules, `measurement ${i}`).toEqual(published.includes(i) ? ['reference-values.measurements=fail'] : [])
    }
  })

  it('is refused for a changed bit in any byte', async () => {
    const report = signedReport(deviceOf(kind))
    const format = kind === 'nvswitch' ? 'nvidia-switch' : 'nvidia-gpu'
    for (let i = 0; i < report.length; i += i < 80 || i > report.length - 200 ? 3 : 17) {
      expect(await rulesOf(kind, flip(report, i, i % 8), undefined, { format }), `byte ${i}`).not.toEqual([])
    }
  })

  it('is refused with a byte missing or one too many', async () => {
    const report = signedReport(deviceOf(kind))
    expect(await rulesOf(kind, concat(report, new Uint8Array(1)))).toEqual(['format.well-formed=fail'])
    for (let i = 0; i < report.length; i += i < 80 ? 1 : 41) {
      const format = kind === 'nvswitch' ? 'nvidia-switch' : 'nvidia-gpu'
      expect(await rulesOf(kind, report.subarray(0, i), undefined, { format }), `${i} bytes`).toEqual(['format.well-formed=fail'])
    }
  })

  it('is refused for another nonce', async () => {
    expect(await rulesOf(kind, signedReport(deviceOf(kind), { nonce: flip(NONCE, 31) }))).toEqual(['freshness.nonce=fail'])
  })

  it('is refused with opaque data that says something twice, and with a later form of it', async () => {
    const { opaque } = fieldsOf(kind)
    const [first] = opaque
    expect(await rulesOf(kind, signedReport(deviceOf(kind), { opaque: first === undefined ? [] : [...opaque, first] }))).toEqual([
      'format.well-formed=fail',
    ])
    const later = [
      ...opaque.filter((f) => f.type !== OPAQUE.opaqueDataVersion),
      { type: OPAQUE.opaqueDataVersion, value: Uint8Array.of(2, 0) },
    ]
    expect(await rulesOf(kind, signedReport(deviceOf(kind), { opaque: later }))).toEqual(['format.opaque-version=fail'])
  })

  it('keeps what it does not know of opaque data out of the proof, and says so', async () => {
    const opaque = [...fieldsOf(kind).opaque, { type: 200, value: new Uint8Array(4) }]
    const verdict = await look(world, signedReport(deviceOf(kind), { opaque }), [encodeChain(deviceOf(kind).chain), ...endorsed[kind]])
    expect(verdict.decision).toBe('accept')
    expect(verdict.notChecked).toContain('opaque field 200')
  })

  it('is refused with blocks that are missing, out of order or of another size', async () => {
    const { blocks } = fieldsOf(kind)
    const report = (changed: typeof blocks): Promise<readonly string[]> => rulesOf(kind, signedReport(deviceOf(kind), { blocks: changed }))
    expect(await report(blocks.toReversed())).toEqual(['format.well-formed=fail'])
    expect(await report(blocks.map((b) => ({ ...b, index: b.index + 1 })))).toEqual(['format.well-formed=fail'])
    expect(await report(blocks.map((b) => ({ ...b, value: b.value.subarray(0, 32) })))).toEqual(['format.well-formed=fail'])
    expect(await report(blocks.slice(0, 5))).toContain('reference-values.measurements=fail')
  })
})

describe('certificates of a simulated device', () => {
  const report = (): Uint8Array => signedReport(deviceOf('hopper'))

  it('are refused when one is left out, doubled, swapped or put in another order', async () => {
    const { chain } = deviceOf('hopper')
    for (let i = 0; i < chain.length; i++) {
      const without = await rulesOf(
        'hopper',
        report(),
        chain.filter((_, k) => k !== i),
      )
      expect(without, `without ${i}`).toContain('chain.length=fail')
      const doubled = await rulesOf('hopper', report(), [...chain.slice(0, i), ...chain.slice(i === 0 ? 0 : i - 1)])
      if (i > 0) expect(doubled, `doubled ${i}`).toContain('chain.length=fail')
    }
    for (let i = 1; i < chain.length; i++) {
      const swapped = chain.map((c, k) => (k === i ? (chain[i - 1] ?? c) : k === i - 1 ? (chain[i] ?? c) : c))
      expect(await rulesOf('hopper', report(), swapped), `swapped ${i}`).toContain('chain.device=fail')
    }
  })

  it('of another device do not vouch for this one', async () => {
    const other = await createSimulatedDevice(world.nvidia, 'GH100')
    expect(await rulesOf('hopper', report(), other.chain)).toContain('signature.report=fail')
    const [leaf] = deviceOf('hopper').chain
    expect(await rulesOf('hopper', report(), leaf === undefined ? [] : [leaf, ...other.chain.slice(1)])).toContain('chain.device=fail')
  })

  it('under another root are refused, whatever its name', async () => {
    const stranger = await createSimulatedNvidia({ at: MADE })
    const device = await createSimulatedDevice(stranger, 'GH100')
    expect(await rulesOf('hopper', signedReport(device), device.chain)).toContain('chain.device=fail')
    expect(await rulesOf('hopper', signedReport(device), [...device.chain.slice(0, 4), world.nvidia.deviceRoot.certificate])).toContain(
      'chain.device=fail',
    )
  })

  it('of a switch do not vouch for a GPU, nor the other way round', async () => {
    const device = deviceOf('nvswitch')
    const asGpu = signedReport(device, { ...fieldsOf('hopper'), opaque: withOpaque('hopper', 'fwid', device.fwid) })
    expect(await rulesOf('hopper', asGpu, device.chain)).toContain('chain.class=fail')
    const gpu = deviceOf('hopper')
    expect(await rulesOf('nvswitch', signedReport(gpu, fieldsOf('nvswitch')), gpu.chain)).toContain('chain.class=fail')
  })

  it('of a Blackwell GPU do not vouch for what was published for Hopper', async () => {
    const device = deviceOf('blackwell')
    const asHopper = signedReport(device, { ...fieldsOf('hopper'), opaque: withOpaque('hopper', 'fwid', device.fwid) })
    const rules = await rulesOf('hopper', asHopper, device.chain)
    expect(rules).toContain('reference-values.driver-rim=fail')
    expect(rules).toContain('reference-values.vbios-rim=fail')
  })

  it('are refused when a device’s own key issues another', async () => {
    const { leaf, chain } = deviceOf('hopper')
    const key = leaf.key
    const fields = { name: leaf.name, notBefore: MADE, notAfter: new Date('2030-01-01T00:00:00Z'), extensions: AUTHORITY }
    const issued = await issueNvidia(fields, key, leaf)
    expect(await rulesOf('hopper', report(), [issued.certificate, ...chain])).toContain('chain.length=fail')
    expect(await rulesOf('hopper', report(), [issued.certificate, ...chain.slice(1)])).toContain('chain.device=fail')
  })

  it('are refused before and after their time', async () => {
    expect(await rulesOf('hopper', report(), undefined, { at: new Date('2025-12-31T23:59:59Z') })).toContain('validity.device=fail')
    const { leaf, brom, chain } = deviceOf('hopper')
    const fields = { name: leaf.name, notBefore: MADE, notAfter: new Date(AT.getTime() - 1000), extensions: [] }
    const expired = await issueNvidia(fields, leaf.key, brom)
    expect(await rulesOf('hopper', report(), [expired.certificate, ...chain.slice(1)])).toContain('validity.device=fail')
  })
})

describe.each(['hopper', 'blackwell'] as const)('the firmware id of a simulated GPU (%s)', (kind) => {
  it('is that of the report, or the report is refused', async () => {
    const other = withOpaque(kind, 'fwid', flip(deviceOf(kind).fwid, 0))
    expect(await rulesOf(kind, signedReport(deviceOf(kind), { opaque: other }))).toEqual(['chain.firmware-id=fail'])
  })

  it('is not left out of report or certificate', async () => {
    const opaque = withOpaque(kind, 'fwid', null)
    expect(await rulesOf(kind, signedReport(deviceOf(kind), { opaque }))).toEqual(['chain.firmware-id=fail'])
    const { architecture } = deviceOf(kind)
    const bare = await createSimulatedDevice(world.nvidia, architecture, { fwidExtension: null })
    expect(await rulesOf(kind, signedReport(bare), bare.chain)).toContain('chain.firmware-id=fail')
    const zero = fwidExtension(architecture, new Uint8Array(48), new Uint8Array([0x30, 0]))
    const zeroed = await createSimulatedDevice(world.nvidia, architecture, { fwidExtension: zero })
    expect(await rulesOf(kind, signedReport(zeroed), zeroed.chain)).toContain('chain.firmware-id=fail')
  })
})

describe('versions and modes of a simulated GPU', () => {
  it('a driver or firmware that nothing was published for is unknown', async () => {
    const firmware = FIRMWARE.GH100
    const driver = signedReport(deviceOf('hopper'), {}, { ...firmware, driver: '599.10.02' })
    expect(await rulesOf('hopper', driver)).toContain('reference-values.driver-rim=unknown')
    const bios = signedReport(deviceOf('hopper'), {}, { ...firmware, bios: '96.00.FE.00.02' })
    expect(await rulesOf('hopper', bios)).toContain('reference-values.vbios-rim=unknown')
  })

  it('another driver version over the same measurements is not known by them', async () => {
    const opaque = withOpaque('hopper', 'driverVersion', new TextEncoder().encode('599.10.02\0'))
    expect(await rulesOf('hopper', signedReport(deviceOf('hopper'), { opaque }))).toEqual(
      expect.arrayContaining(['reference-values.driver-rim=unknown']),
    )
  })

  it('a version that would leave its folder is refused', async () => {
    for (const text of ['../599.10.01\0', '599.10.01 \0', '599\0.10.01\0', 'é\0']) {
      const opaque = withOpaque('hopper', 'driverVersion', new TextEncoder().encode(text))
      expect(await rulesOf('hopper', signedReport(deviceOf('hopper'), { opaque })), text).toEqual(['format.well-formed=fail'])
    }
  })

  it('the first decoder’s measurement counts while it is on, and only then', async () => {
    const blocks = fieldsOf('hopper').blocks.map((b) => (b.index === 36 ? { ...b, value: new Uint8Array(48).fill(9) } : b))
    const off = withOpaque('hopper', 'nvdec0Status', Uint8Array.of(0x55))
    expect(await rulesOf('hopper', signedReport(deviceOf('hopper'), { blocks, opaque: off }))).toEqual([])
    expect(await rulesOf('hopper', signedReport(deviceOf('hopper'), { blocks }))).toEqual(['reference-values.measurements=fail'])
    const neither = withOpaque('hopper', 'nvdec0Status', Uint8Array.of(0x00))
    expect(await rulesOf('hopper', signedReport(deviceOf('hopper'), { blocks, opaque: neither }))).toEqual(['format.well-formed=fail'])
  })

  it('a mode that contradicts itself, or that nobody knows, is refused', async () => {
    for (const [name, value] of [
      ['featureFlag', [3, 0]],
      ['featureFlag', [0, 1]],
      ['protectedPcieStatus', [0xaa]],
      ['protectedPcieStatus', [0]],
    ] as const) {
      const opaque = withOpaque('hopper', name, Uint8Array.from(value))
      expect(await rulesOf('hopper', signedReport(deviceOf('hopper'), { opaque })), name).toEqual(['format.well-formed=fail'])
    }
  })

  it('what a caller demands beyond the default is demanded', async () => {
    const ask = (nvidia: VerifyOptions['nvidia']): Promise<readonly string[]> =>
      rulesOf('hopper', signedReport(deviceOf('hopper')), undefined, { nvidia: nvidia ?? {} })
    expect(await ask({ minimumDriver: '599.10.01', minimumVbios: '96.00.FE.00.01', modes: ['SPT'] })).toEqual([])
    expect(await ask({ minimumDriver: '599.10.2' })).toEqual(['tcb.driver=fail'])
    expect(await ask({ minimumVbios: '96.00.FE.00.02' })).toEqual(['tcb.vbios=fail'])
    expect(await ask({ deniedVersions: ['599.10.01'] })).toEqual(['tcb.denied-versions=fail'])
    expect(await ask({ modes: ['PPCIE', 'MPT'] })).toEqual(['policy.mode=fail'])
  })
})
