import {
  attestDevices,
  createSimulatedDevices,
  createSimulatedNvidia,
  type DeviceEvidence,
  endorseDevices,
  type SimulatedDevices,
  type SimulatedNvidia,
} from '../../src/sim/index.ts'
import { toBase64Url } from '../../src/verify/bytes/bytes.ts'
import { type Binding, encodeBinding } from '../../src/verify/documents/binding.ts'
import { deviceNonce } from '../../src/verify/documents/device-nonce.ts'
import type { EvidenceBundle } from '../../src/verify/documents/evidence-bundle.ts'
import { createVerifyCache } from '../../src/verify/evidence/cache.ts'
import { loadCollateral } from '../../src/verify/evidence/collateral.ts'
import { encodeRim } from '../../src/verify/evidence/nvidia/rim/encode.ts'
import { encodeCanonical } from '../../src/verify/formats/canonical-json.ts'
import type { BundleOptions } from '../../src/verify/verify-bundle.ts'
import { digestOf, kemKey, T0 } from './job-documents.ts'
import { testBytes, testKey } from './keys.ts'
import { MADE } from './nvidia.ts'
import { platform, simulatedReport } from './receipt-builder.ts'

/** A machine with devices under one SIMULATED NVIDIA. */
export interface DeviceMachine {
  readonly nvidia: SimulatedNvidia
  readonly devices: SimulatedDevices
  /** Manifests and OCSP responses in the form that endorsements have. */
  readonly collateral: readonly Uint8Array[]
}

const ANSWERED = new Date((T0 - 3600) * 1000)
const NONCE = testBytes('bundle nonce', 32)
const CONFIG = encodeCanonical({ agent: 'sealgate/0.1.0' })
export const CPU_ENDORSEMENTS: readonly Uint8Array[] = [platform.vek.certificate, platform.intermediate.certificate, platform.crl]

/** @param devices - Default: a single GPU. */
export async function deviceMachine(nvidia?: SimulatedNvidia, devices?: SimulatedDevices): Promise<DeviceMachine> {
  const authority = nvidia ?? (await createSimulatedNvidia({ at: MADE }))
  const own = devices ?? (await createSimulatedDevices(authority, { architecture: 'GH100', mode: 'SPT' }))
  return { nvidia: authority, devices: own, collateral: await spelled(endorseDevices(authority, own, ANSWERED)) }
}

/** The same collateral as endorsements are spelled. */
export async function spelled(items: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
  const named = items.map((bytes, i) => ({ name: `${i}`, bytes }))
  const { rims, ocsp } = await loadCollateral(named, createVerifyCache())
  return [...rims.map(encodeRim), ...ocsp.map((o) => o.raw)]
}

export async function bareBinding(changes: Partial<Binding> = {}): Promise<Binding> {
  return {
    v: 1,
    context: 'sealgate/attest/v1',
    role: 'host',
    nonce: toBase64Url(NONCE),
    kem: kemKey('enclave'),
    sig: { alg: 'Ed25519', publicKey: testKey('job').jwk.x },
    tls: null,
    devices: [],
    config: await digestOf(CONFIG),
    job: null,
    ...changes,
  }
}

/** What a dishonest machine may do between its devices and its CPU. */
export interface DevicePlan {
  readonly binding: Partial<Binding>
  /** Binding that the devices answer for; default: this one. */
  readonly answers: Partial<Binding>
  /** Changes what the devices said, before the binding names it. */
  readonly said: (devices: readonly DeviceEvidence[]) => readonly DeviceEvidence[]
  /** Changes what the binding names. */
  readonly named: (devices: Binding['devices']) => Binding['devices']
  /** Changes what is shown, after the CPU has signed. */
  readonly shown: (devices: readonly DeviceEvidence[]) => readonly DeviceEvidence[]
}

/** A bundle of this machine, everything that follows a change made consistent with it. */
export async function deviceBundle({ devices, collateral }: DeviceMachine, plan: Partial<DevicePlan> = {}): Promise<EvidenceBundle> {
  const { said = same, named = same, shown = same } = plan
  const bare = await bareBinding(plan.binding)
  const count = devices.gpus.length + devices.switches.length
  const asked = plan.answers === undefined ? bare : await bareBinding(plan.answers)
  const nonces = await Promise.all(Array.from({ length: count }, (_, i) => deviceNonce(asked, i)))
  const reports = said(attestDevices(devices, nonces))
  const list = await Promise.all(reports.map(async ({ type, report }) => ({ type, report: await digestOf(report) })))
  const binding = encodeBinding({ ...bare, devices: named(list) })
  return {
    binding,
    config: CONFIG,
    cpu: { format: 'sev-snp', report: await simulatedReport(binding) },
    devices: shown(reports),
    endorsements: [...CPU_ENDORSEMENTS, ...collateral],
  }
}

function same<T>(value: T): T {
  return value
}

export function bundleOptions({ nvidia }: Pick<DeviceMachine, 'nvidia'>): BundleOptions {
  return {
    collateral: [],
    trustAnchors: [platform.root.certificate, nvidia.deviceRoot.certificate, nvidia.rimRoot.certificate],
    at: new Date(T0 * 1000),
    role: 'host',
    nonce: NONCE,
    allowUnknown: [],
  }
}
