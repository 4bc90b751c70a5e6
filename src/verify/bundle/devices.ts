import { crypto } from '#crypto'
import { toBase64Url } from '../bytes/bytes.ts'
import type { Binding } from '../documents/binding.ts'
import { deviceNonce } from '../documents/device-nonce.ts'
import type { EvidenceBundle } from '../documents/evidence-bundle.ts'
import type { BindingGrade } from '../documents/policy.ts'
import { AttestError } from '../errors.ts'
import { check, unknown } from '../evidence/check.ts'
import { type DevicesFound, joinDevices, loadChain } from '../evidence/nvidia/devices.ts'
import { type DeviceInput, type DeviceResult, verifyDevice } from '../evidence/nvidia/verify.ts'
import type { Check } from '../verdict.ts'

const KINDS = { gpu: 'gpu', nvswitch: 'switch' } as const

/**
 * Verifies each device of a bundle against its own nonce, and all together. Nonce i holds the digest of the whole binding, so
 * evidence of another machine, time, key or place in the list has another one.
 * @throws AttestError `EVIDENCE_*` with the number of the device, for bytes that are no report.
 */
export async function verifyBundleDevices(
  { devices }: EvidenceBundle,
  binding: Binding,
  common: Omit<DeviceInput, 'kind' | 'report' | 'certificates' | 'nonce' | 'measurement'>,
): Promise<DevicesFound> {
  const results: DeviceResult[] = []
  for (const [i, { type, report, certificateChain }] of devices.entries()) {
    const certificates = await loadChain(certificateChain, `bundle.devices[${i}].certificateChain`, common.cache)
    const nonce = await deviceNonce(binding, i)
    results.push(await numbered(i, () => verifyDevice({ ...common, kind: KINDS[type], report, certificates, nonce, measurement: null })))
  }
  return joinDevices(results)
}

async function numbered(device: number, verify: () => Promise<DeviceResult>): Promise<DeviceResult> {
  try {
    return await verify()
  } catch (error) {
    if (!(error instanceof AttestError)) throw error
    throw new AttestError(error.code, error.message, { at: `bundle.devices[${device}].${error.at ?? 'report'}`, cause: error })
  }
}

/**
 * Whether the binding, and with it the CPU's report, names exactly the devices that are shown, in their order and kinds. One that
 * names none while some are shown leaves open whose they are: unknown.
 */
export async function namedDevices({ devices }: EvidenceBundle, binding: Binding): Promise<Check> {
  const rule = 'binding.devices'
  const shown = await Promise.all(
    devices.map(async ({ type, report }) => ({ type, report: toBase64Url(await crypto.digest('SHA-256', report)) })),
  )
  const want = `the ${shown.length} devices shown, in this order`
  if (binding.devices.length === 0 && shown.length > 0) return unknown(rule, want, 'the binding names none')
  const same = binding.devices.length === shown.length && binding.devices.every((d, i) => isSame(d, shown[i]))
  const got = `${binding.devices.length} named`
  return check(rule, same, want, same || binding.devices.length !== shown.length ? got : `${got}, not these`)
}

type Named = Binding['devices'][number]

function isSame(a: Named, b: Named | undefined): boolean {
  return a.type === b?.type && a.report === b.report
}

/** How CPU and devices are tied together, where everything verified: see docs/formats/binding.md. */
export function gradeOf({ devices }: EvidenceBundle, binding: Binding): BindingGrade {
  return binding.devices.length === devices.length ? 'committed' : 'nonce'
}
