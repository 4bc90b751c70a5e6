import { beforeAll, describe, expect, it } from 'vitest'
import { appraiseDevices } from '../../../../src/verify/appraise/devices.ts'
import { leniencyOf } from '../../../../src/verify/appraise/index.ts'
import { checkRequirements } from '../../../../src/verify/documents/requirements.ts'
import type { DeviceClaims } from '../../../../src/verify/evidence/nvidia/claims.ts'
import type { DeviceRequirements } from '../../../../src/verify/evidence/nvidia/requirements.ts'
import { verifyBundle } from '../../../../src/verify/verify-bundle.ts'
import { defined } from '../../../support/defined.ts'
import { bundleOptions, deviceBundle, deviceMachine } from '../../../support/device-bundle.ts'
import { samplePolicy, T0 } from '../../../support/job-documents.ts'
import { outcomeOf } from '../../../support/outcome.ts'

let gpu: DeviceClaims
const at = new Date(T0 * 1000)

beforeAll(async () => {
  const machine = await deviceMachine()
  const verdict = await verifyBundle(await deviceBundle(machine), bundleOptions(machine))
  if (verdict.decision === 'reject') throw new Error('the simulated GPU was not accepted')
  gpu = defined(verdict.claims.devices[0])
}, 120_000)

const refused = (devices: readonly DeviceClaims[], requirements: DeviceRequirements): string[] =>
  appraiseDevices(devices, requirements, at)
    .filter((c) => c.outcome !== 'pass')
    .map((c) => c.rule)

describe('what a policy asks of devices', () => {
  it.each<[string, DeviceRequirements, readonly string[]]>([
    ['nothing', {}, []],
    [
      'what it is',
      {
        minimumDriver: '599.10.01',
        minimumVbios: '96.00.FE.00.01',
        modes: ['SPT'],
        architectures: ['HOPPER'],
        firmwareId: true,
        minimumGpus: 1,
      },
      [],
    ],
    ['a newer driver', { minimumDriver: '599.10.02' }, ['tcb.device-0.driver']],
    ['a newer vBIOS', { minimumVbios: '96.00.FE.00.02' }, ['tcb.device-0.vbios']],
    ['another driver', { deniedVersions: ['599.10.01'] }, ['tcb.device-0.denied-versions']],
    ['another mode', { modes: ['MPT', 'PPCIE'] }, ['policy.device-0.mode']],
    ['another architecture', { architectures: ['BLACKWELL'] }, ['policy.device-0.architecture']],
    ['more GPUs', { minimumGpus: 2 }, ['policy.gpus']],
    ['fresher answers', { maximumOcspAgeSeconds: 3599 }, ['freshness.device-0.ocsp']],
    ['answers as fresh as they are', { maximumOcspAgeSeconds: 3600 }, []],
  ])('%s', (_, requirements, rules) => {
    expect(refused([gpu], requirements)).toEqual(rules)
  })

  it('is asked again of what was verified for somebody who lets more pass', () => {
    const mismatch = { index: 9, source: 'vbios', want: ['00'], got: '01' } as const
    const stale = { ...gpu, comparison: { ...gpu.comparison, mismatches: [mismatch] } }
    expect(refused([stale], {})).toEqual(['reference-values.device-0.measurements'])
    expect(refused([stale], { allowedMismatches: [9] })).toEqual([])
    const held = { ...gpu, ocsp: [{ ...defined(gpu.ocsp[0]), status: 'revoked' as const, reason: 6 }] }
    expect(refused([held], {})).toEqual(['revocation.device-0.hold'])
    expect(refused([held], { allowCertificateHold: true })).toEqual([])
    expect(refused([{ ...gpu, fwidInReport: null }], { firmwareId: true })).toEqual(['chain.device-0.firmware-id'])
  })

  it('finds no GPU where there is none', () => {
    expect(refused([], { minimumGpus: 1 })).toEqual(['policy.gpus'])
    expect(refused([], {})).toEqual([])
    expect(refused([{ ...gpu, ocsp: [] }], { maximumOcspAgeSeconds: 10 })).toEqual(['freshness.device-0.ocsp'])
  })
})

describe('what policies let pass of devices', () => {
  const policy = (nvidia: DeviceRequirements) => samplePolicy({ appraisal: { ...samplePolicy().appraisal, nvidia } })

  it('is what each of them accepts', () => {
    const [a, b] = [policy({ allowedMismatches: [9, 36], allowCertificateHold: true }), policy({ allowedMismatches: [9] })]
    expect(leniencyOf([a]).nvidia).toEqual({ allowedMismatches: [9, 36], allowCertificateHold: true })
    expect(leniencyOf([a, b]).nvidia).toEqual({ allowedMismatches: [9] })
    expect(leniencyOf([a, samplePolicy()]).nvidia).toEqual({ allowedMismatches: [] })
    expect(leniencyOf([]).nvidia).toEqual({ allowedMismatches: [] })
  })
})

describe('requirements on devices are refused that nobody could mean:', () => {
  it.each<[string, object]>([
    ['a driver version with letters', { minimumDriver: '550.x' }],
    ['a vBIOS version in lower case', { minimumVbios: '96.00.9f.00.01' }],
    ['a mode that does not exist', { modes: ['OFF'] }],
    ['indices out of order', { allowedMismatches: [9, 9] }],
    ['an index that no device has', { allowedMismatches: [64] }],
    ['a firmware id that need not be there', { firmwareId: false }],
    ['a member that is not known', { minimumDriverVersion: '550.90.07' }],
  ])('%s', async (_, nvidia) => {
    expect(await outcomeOf(() => Promise.resolve(checkRequirements({ nvidia })))).toBe('DOCUMENT_INVALID')
  })
})
