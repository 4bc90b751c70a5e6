import {
  attestDevices,
  createSimulatedDevices,
  createSimulatedNvidia,
  type DeviceEvidence,
  encodeDeviceReport,
  endorseDevices,
  FIRMWARE,
  type Firmware,
  reportFields,
  type SimulatedDevice,
  type SimulatedDevices,
  type SimulatedNvidia,
  signDeviceReport,
} from '../../src/sim/index.ts'
import { toBase64, utf8 } from '../../src/verify/bytes/bytes.ts'
import type { VerifyOptions } from '../../src/verify/evidence/types.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../src/verify/verify-evidence.ts'
import { testBytes } from './keys.ts'

/** When simulated devices were made, when responders answered, and the instant at which tests look. */
export const MADE: Date = new Date('2026-01-01T00:00:00Z')
export const ANSWERED: Date = new Date('2026-06-15T00:00:00Z')
export const AT: Date = new Date('2026-06-15T12:00:00Z')
export const NONCE: Uint8Array = testBytes('device nonce', 32)

/** One GPU of each kind and one switch under one SIMULATED NVIDIA, with everything that vouches for them. */
export interface NvidiaWorld {
  readonly nvidia: SimulatedNvidia
  readonly hopper: SimulatedDevices
  readonly blackwell: SimulatedDevices
  /** A switch by itself. */
  readonly nvswitch: SimulatedDevices
}

export async function nvidiaWorld(): Promise<NvidiaWorld> {
  const nvidia = await createSimulatedNvidia({ at: MADE })
  return {
    nvidia,
    hopper: await createSimulatedDevices(nvidia, { architecture: 'GH100', mode: 'SPT' }),
    blackwell: await createSimulatedDevices(nvidia, { architecture: 'GB100', mode: 'MPT' }),
    nvswitch: await createSimulatedDevices(nvidia, { architecture: 'GH100', mode: 'PPCIE', gpus: 0, switches: 1 }),
  }
}

/** A report that the device signed over what is given here in place of what it would say. */
export function signedReport(
  device: SimulatedDevice,
  change: Partial<ReturnType<typeof reportFields>> = {},
  firmware: Firmware = FIRMWARE[device.architecture],
): Uint8Array {
  const fields = { ...reportFields(device, NONCE, device.architecture === 'GB100' ? 'MPT' : 'SPT', [], firmware), ...change }
  return signDeviceReport(encodeDeviceReport(fields), device.leaf.key)
}

/** Evidence of devices as NVIDIA's tools hand it over. */
export function evidenceList(devices: readonly Pick<DeviceEvidence, 'report' | 'certificateChain'>[]): Uint8Array {
  const list = devices.map(({ report, certificateChain }) => ({ evidence: toBase64(report), certificate: toBase64(certificateChain) }))
  return utf8(JSON.stringify({ nonce: '', arch: '', evidence_list: list }))
}

/** The strict default, under the simulated roots, with everything that is due: manifests, answers, nonce. */
export function look(
  { nvidia }: Pick<NvidiaWorld, 'nvidia'>,
  evidence: Uint8Array,
  collateral: readonly Uint8Array[],
  more: Partial<VerifyOptions> = {},
): Promise<EvidenceVerdict> {
  const trustAnchors = [nvidia.deviceRoot.certificate, nvidia.rimRoot.certificate]
  return verifyEvidence(evidence, { collateral, trustAnchors, at: AT, nonce: NONCE, allowUnknown: [], ...more })
}

/** Evidence of all devices with what vouches for them. */
export function whole(
  nvidia: SimulatedNvidia,
  devices: SimulatedDevices,
): { list: readonly DeviceEvidence[]; collateral: readonly Uint8Array[] } {
  return { list: attestDevices(devices, [NONCE]), collateral: endorseDevices(nvidia, devices, ANSWERED) }
}

/** `rule=outcome` of what did not pass, or the error of what was refused outright. */
export function objections({ decision, checks, ...rest }: EvidenceVerdict): readonly string[] {
  if (decision === 'reject' && checks.length === 0 && 'error' in rest) return [rest.error?.code ?? '']
  return checks.filter((c) => c.outcome !== 'pass').map((c) => `${c.rule}=${c.outcome}`)
}
