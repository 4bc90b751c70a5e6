import { beforeAll, describe, expect, it } from 'vitest'
import { createSimulatedDevices, type DeviceEvidence } from '../../../src/sim/index.ts'
import { toBase64Url } from '../../../src/verify/bytes/bytes.ts'
import { type EvidenceBundle, evidenceDigest } from '../../../src/verify/documents/evidence-bundle.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { exitCodeOf } from '../../../src/verify/verdict.ts'
import { type BundleOptions, type BundleVerdict, verifyBundle } from '../../../src/verify/verify-bundle.ts'
import { defined } from '../../support/defined.ts'
import {
  bundleOptions,
  CPU_ENDORSEMENTS,
  type DeviceMachine,
  type DevicePlan,
  deviceBundle,
  deviceMachine,
} from '../../support/device-bundle.ts'
import { testBytes } from '../../support/keys.ts'

let one: DeviceMachine
/** Another machine with a GPU of its own. */
let other: DeviceMachine
let eight: DeviceMachine
const cache = createVerifyCache()

beforeAll(async () => {
  one = await deviceMachine()
  other = await deviceMachine(one.nvidia, await createSimulatedDevices(one.nvidia, { architecture: 'GH100', mode: 'SPT' }))
  eight = await deviceMachine(one.nvidia, await createSimulatedDevices(one.nvidia, { architecture: 'GH100', mode: 'PPCIE' }))
}, 120_000)

const look = (bundle: EvidenceBundle, more: Partial<BundleOptions> = {}): Promise<BundleVerdict> =>
  verifyBundle(bundle, { ...bundleOptions(one), cache, ...more })
const objections = ({ checks }: BundleVerdict): string[] => checks.filter((c) => c.outcome !== 'pass').map((c) => `${c.rule}=${c.outcome}`)
const flip = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((b, i) => (i === at ? b ^ 1 : b))

describe('a bundle with devices', () => {
  it('is accepted with one GPU, bound both ways', async () => {
    const bundle = await deviceBundle(one)
    const verdict = await look(bundle)
    expect(objections(verdict)).toEqual([])
    expect(verdict.decision === 'accept' && verdict.claims).toMatchObject({
      tee: 'sev-snp',
      simulated: true,
      bindingGrade: 'committed',
      evidence: await evidenceDigest(bundle),
      devices: [{ tee: 'nvidia-gpu', mode: 'SPT', identity: { arch: 'HOPPER' } }],
    })
    expect(verdict.parsed?.devices).toHaveLength(1)
    expect(verdict.checks.filter((c) => c.rule.includes('.device-0.')).length).toBeGreaterThan(15)
    expect(verdict.notChecked).toContain('devtools-mode')
  })

  it('is accepted with eight GPUs and four switches in protected PCIe mode', async () => {
    const verdict = await look(await deviceBundle(eight))
    expect(objections(verdict)).toEqual([])
    expect(verdict.decision === 'accept' && verdict.claims.devices.map((d) => d.tee)).toEqual([
      ...Array(8).fill('nvidia-gpu'),
      ...Array(4).fill('nvidia-switch'),
    ])
  })

  it('may take manifests and answers from elsewhere', async () => {
    const bare = { ...(await deviceBundle(one)), endorsements: CPU_ENDORSEMENTS }
    expect((await look(bare, { collateral: one.collateral })).decision).toBe('accept')
  })

  it('says what expires when, of CPU and devices', async () => {
    const { forecast } = await look(await deviceBundle(one), { forecast: { early: [] } })
    const kinds = new Set(forecast?.expiries.map((e) => e.what))
    expect([...kinds]).toEqual(expect.arrayContaining(['vek', 'ocsp', 'rim-signer']))
    const dates = forecast?.expiries.map((e) => Date.parse(e.expires)) ?? []
    expect(dates).toEqual([...dates].sort((a, b) => a - b))
  })

  it('whose binding names none is of the grade nonce, and accepted only where that unknown is allowed', async () => {
    const bundle = await deviceBundle(one, { named: () => [] })
    const strict = await look(bundle)
    expect(objections(strict)).toEqual(['binding.devices=unknown'])
    expect(exitCodeOf(strict.checks)).toBe(5)
    const allowed = await look(bundle, { allowUnknown: ['binding'] })
    expect(allowed.decision === 'accept' && allowed.claims.bindingGrade).toBe('nonce')
  })
})

describe('a bundle is rejected:', () => {
  const swap = <T>(list: readonly T[]): T[] => [defined(list[1]), defined(list[0]), ...list.slice(2)]
  const foreign = async (): Promise<readonly DeviceEvidence[]> => (await deviceBundle(other)).devices
  const attacks: readonly (readonly [string, () => Promise<EvidenceBundle>, readonly string[], 'with the answers of another GPU'?])[] = [
    [
      'GPU evidence of another VM, shown in place of its own',
      async () => ({
        ...(await deviceBundle(one)),
        devices: (await deviceBundle(other, { binding: { tls: toBase64Url(testBytes('vm', 32)) } })).devices,
      }),
      ['binding.devices=fail', 'freshness.device-0.nonce=fail'],
      'with the answers of another GPU',
    ],
    [
      'GPU evidence of another VM, named by the CPU',
      async () => {
        const stolen = (await deviceBundle(other, { binding: { tls: toBase64Url(testBytes('vm', 32)) } })).devices
        return deviceBundle(one, { said: () => stolen })
      },
      ['freshness.device-0.nonce=fail'],
      'with the answers of another GPU',
    ],
    [
      'GPU evidence of another time',
      () => deviceBundle(one, { answers: { nonce: toBase64Url(testBytes('old nonce', 32)) } }),
      ['freshness.device-0.nonce=fail'],
    ],
    [
      'GPU evidence made for another key',
      () => deviceBundle(one, { answers: { sig: { alg: 'Ed25519', publicKey: toBase64Url(testBytes('thief', 32)) } } }),
      ['freshness.device-0.nonce=fail'],
    ],
    [
      'GPUs swapped between two hosts after their CPUs signed',
      async () => {
        const devices = await foreign()
        return { ...(await deviceBundle(one)), devices }
      },
      ['binding.devices=fail'],
      'with the answers of another GPU',
    ],
    ['a CPU that does not commit to the GPU evidence', () => deviceBundle(one, { named: () => [] }), ['binding.devices=unknown']],
    [
      'a GPU slipped into evidence of a machine without any',
      async () => ({ ...(await deviceBundle(one, { named: () => [], shown: () => [] })), devices: await foreign() }),
      ['binding.devices=unknown'],
      'with the answers of another GPU',
    ],
    [
      'a report of the same GPU that the CPU did not name',
      async () => ({ ...(await deviceBundle(one)), devices: (await deviceBundle(one)).devices }),
      ['binding.devices=fail'],
    ],
    [
      'a GPU that the CPU names and nobody shows',
      () => deviceBundle(one, { shown: () => [] }),
      ['binding.devices=fail', 'signature.endorsements=fail'],
    ],
    [
      'a GPU shown as a switch',
      () => deviceBundle(one, { shown: (list) => list.map((d) => ({ ...d, type: 'nvswitch' as const })) }),
      ['binding.devices=fail', 'format.device-0.kind=fail'],
    ],
    [
      'a GPU named and shown as a switch',
      () => deviceBundle(one, { said: (list) => list.map((d) => ({ ...d, type: 'nvswitch' as const })) }),
      ['format.device-0.kind=fail'],
    ],
    [
      'the chain of another GPU',
      async () => {
        const [stranger] = await foreign()
        return deviceBundle(one, { shown: (list) => list.map((d) => ({ ...d, certificateChain: defined(stranger).certificateChain })) })
      },
      ['signature.device-0.report=fail', 'revocation.device-0.device-brom=unknown'],
    ],
    [
      'no manifests',
      async () => ({ ...(await deviceBundle(one)), endorsements: [...CPU_ENDORSEMENTS, ...one.collateral.filter((e) => e[0] === 0x30)] }),
      [
        'signature.endorsements=fail',
        'reference-values.device-0.driver-rim=unknown',
        'reference-values.device-0.vbios-rim=unknown',
        'reference-values.device-0.measurements=unknown',
      ],
    ],
    [
      'no OCSP responses',
      async () => ({ ...(await deviceBundle(one)), endorsements: [...CPU_ENDORSEMENTS, ...one.collateral.filter((e) => e[0] !== 0x30)] }),
      ['device-brom', 'device-provisioner', 'device-identity', 'driver-rim-0', 'driver-rim-1', 'driver-rim-2'].map(
        (r) => `revocation.device-0.${r}=unknown`,
      ),
    ],
  ]
  for (const [name, make, rules, more] of attacks) {
    it(name, async () => {
      const verdict = await look(await make(), more === undefined ? {} : { collateral: other.collateral })
      expect(verdict.decision).toBe('reject')
      expect(objections(verdict)).toEqual(rules)
    })
  }

  const sets: readonly (readonly [string, Partial<DevicePlan>, readonly string[]])[] = [
    [
      'two GPUs in the wrong order',
      { shown: swap },
      ['binding.devices=fail', 'freshness.device-0.nonce=fail', 'freshness.device-1.nonce=fail'],
    ],
    [
      'eight GPUs claimed and seven shown',
      { shown: (l) => l.filter((_, i) => i !== 7) },
      ['binding.devices=fail', ...[7, 8, 9, 10].map((i) => `freshness.device-${i}.nonce=fail`), 'binding.device-count=fail'],
    ],
    [
      'the same GPU twice',
      { said: (l) => [defined(l[0]), defined(l[0]), ...l.slice(2)] },
      ['freshness.device-1.nonce=fail', 'binding.distinct-devices=fail', 'binding.switch-links=fail'],
    ],
    [
      'an extra device',
      { shown: (l) => [...l, defined(l[11])] },
      ['binding.devices=fail', 'freshness.device-12.nonce=fail', 'binding.distinct-devices=fail', 'binding.device-count=fail'],
    ],
    [
      'one device bad of twelve',
      { said: (l) => l.map((d, i) => (i === 4 ? { ...d, report: flip(d.report, d.report.length - 1) } : d)) },
      ['signature.device-4.report=fail'],
    ],
    ['no switches', { said: (l) => l.slice(0, 8) }, ['binding.device-count=unknown', 'signature.endorsements=fail']],
  ]
  it.each(sets)('%s', async (_, plan, rules) => {
    const verdict = await look(await deviceBundle(eight, plan))
    expect(verdict.decision).toBe('reject')
    expect([...objections(verdict)].sort()).toEqual([...rules].sort())
  })

  it('a device report that cannot be read, by its number', async () => {
    const bundle = await deviceBundle(one, { said: (list) => list.map((d) => ({ ...d, report: d.report.slice(1) })) })
    const verdict = await look(bundle)
    expect(verdict).toMatchObject({ decision: 'reject', authentic: false })
    expect(verdict.decision === 'reject' && verdict.error?.at).toMatch(/^bundle\.devices\[0\]\./)
  })

  it('under no root of NVIDIA’s or the caller’s', async () => {
    const { trustAnchors } = bundleOptions(one)
    const verdict = await look(await deviceBundle(one), { trustAnchors: trustAnchors.slice(0, 1) })
    expect(objections(verdict)).toEqual(expect.arrayContaining(['chain.device-0.device=fail', 'signature.endorsements=fail']))
  })
})

describe('the evidence digest', () => {
  it('names the chains of devices', async () => {
    const bundle = await deviceBundle(one)
    const [device] = bundle.devices
    const chain = defined(device).certificateChain
    const changed = { ...bundle, devices: [{ ...defined(device), certificateChain: chain.slice(0, -1) }] }
    expect(await evidenceDigest(changed)).not.toBe(await evidenceDigest(bundle))
  })
})
