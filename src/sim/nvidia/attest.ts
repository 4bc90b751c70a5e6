import type { Mode } from '../../verify/evidence/nvidia/layout.ts'
import { ARCHITECTURES, type Architecture } from './architectures.ts'
import type { NamedKey, NvidiaAuthority, RimAuthorities, SimulatedNvidia } from './authority.ts'
import { createSimulatedDevice, encodeChain, type SimulatedDevice } from './device.ts'
import { biosRim, driverRim, FIRMWARE, reportFields } from './firmware.ts'
import { answerOcsp, type OcspFields } from './ocsp.ts'
import { encodeDeviceReport, signDeviceReport } from './report.ts'
import { encodeRim, type RimSigner } from './rim.ts'

/** The GPUs and switches of one machine. */
export interface SimulatedDevices {
  readonly mode: Mode
  readonly gpus: readonly SimulatedDevice[]
  readonly switches: readonly SimulatedDevice[]
}

/** What of devices signs reports. */
export interface AttestedDevices {
  readonly mode: Mode
  readonly gpus: readonly AttestedDevice[]
  readonly switches: readonly AttestedDevice[]
}

type AttestedDevice = Pick<SimulatedDevice, 'architecture' | 'pdi' | 'fwid' | 'chain'> & { readonly leaf: Pick<NamedKey, 'key'> }

export interface DevicesOptions {
  readonly architecture: 'GH100' | 'GB100'
  readonly mode: Mode
  /** Default: 8 GPUs and 4 switches in protected PCIe mode, else one GPU. */
  readonly gpus?: number
  readonly switches?: number
}

/** SIMULATED evidence of one device. It verifies only where the simulated roots are named as trust anchors. */
export interface DeviceEvidence {
  readonly type: 'gpu' | 'nvswitch'
  /** Request ‖ response, as NVML hands it out. */
  readonly report: Uint8Array
  /** PEM, leaf first. */
  readonly certificateChain: Uint8Array
}

const DAY_MS = 24 * 60 * 60 * 1000

export async function createSimulatedDevices(nvidia: SimulatedNvidia, options: DevicesOptions): Promise<SimulatedDevices> {
  const { architecture, mode } = options
  const { gpus = mode === 'PPCIE' ? 8 : 1, switches = mode === 'PPCIE' ? 4 : 0 } = options
  const make = (kind: Architecture, count: number): Promise<readonly SimulatedDevice[]> =>
    Promise.all(Array.from({ length: count }, () => createSimulatedDevice(nvidia, kind)))
  return { mode, gpus: await make(architecture, gpus), switches: await make('LS10', switches) }
}

/** Reports of every device, GPUs first. @param nonces - 32 bytes each, one for each device or one for all. */
export function attestDevices({ mode, gpus, switches }: AttestedDevices, nonces: readonly Uint8Array[]): readonly DeviceEvidence[] {
  const pdis = (devices: readonly AttestedDevice[]): readonly Uint8Array[] => devices.map(({ pdi }) => pdi)
  const peers = { gpu: pdis(switches), nvswitch: pdis(gpus) }
  return [...gpus, ...switches].map((device, i) => {
    const { type } = ARCHITECTURES[device.architecture]
    const nonce = nonces[i] ?? nonces[0] ?? new Uint8Array(32)
    const unsigned = encodeDeviceReport(reportFields(device, nonce, mode, peers[type]))
    return { type, report: signDeviceReport(unsigned, device.leaf.key), certificateChain: encodeChain(device.chain) }
  })
}

/** Manifests of everything that these devices run, and an answer of `at` for every certificate that has one, good for `days`. */
export function endorseDevices(
  nvidia: SimulatedNvidia,
  { gpus, switches }: SimulatedDevices,
  at: Date,
  days: number = 1,
): readonly Uint8Array[] {
  const nextUpdate = new Date(at.getTime() + days * DAY_MS)
  const all = [...gpus, ...switches]
  const architectures = [...new Set(all.map(({ architecture }) => architecture))]
  const pairs = [...all.flatMap((device) => devicePairs(nvidia, device)), ...architectures.flatMap((a) => rimPairs(nvidia, a))]
  const answers = new Map(pairs.map((pair) => [Buffer.from(pair.certificate).toString('hex'), answer(pair, at, { nextUpdate })]))
  return [...architectures.flatMap((architecture) => rimsOf(nvidia, architecture)), ...answers.values()]
}

/** Driver and firmware manifests of an architecture; switches have only the second. */
export function rimsOf(nvidia: SimulatedNvidia, architecture: Architecture): readonly Uint8Array[] {
  const firmware = FIRMWARE[architecture]
  const isGpu = ARCHITECTURES[architecture].type === 'gpu'
  const fields = [...(isGpu ? [driverRim(architecture, firmware)] : []), biosRim(architecture, firmware)]
  return fields.map((rim) => encodeRim(rim, rimSigner(nvidia, architecture)))
}

export function rimSigner({ rims, rimRoot }: SimulatedNvidia, architecture: Architecture): RimSigner {
  const { signer, intermediate, ca } = rims[architecture]
  return { key: signer.key, certificates: [signer, intermediate, ca, rimRoot].map(({ certificate }) => certificate) }
}

/** A certificate and who answers for it. */
export interface OcspPair {
  readonly certificate: Uint8Array
  readonly issuer: NvidiaAuthority
}

/** What NVIDIA's responder answers for in a device's chain: BROM, provisioner, identity. */
export function devicePairs(nvidia: SimulatedNvidia, { architecture, brom }: SimulatedDevice): readonly OcspPair[] {
  const provisioner = nvidia.provisioners[architecture]
  const identity = nvidia.identities[ARCHITECTURES[architecture].identity]
  return [
    { certificate: brom.certificate, issuer: provisioner },
    { certificate: provisioner.certificate, issuer: identity },
    { certificate: identity.certificate, issuer: nvidia.deviceRoot },
  ]
}

/** And in a manifest's: signer, intermediate, CA. */
export function rimPairs({ rims, rimRoot }: SimulatedNvidia, architecture: Architecture): readonly OcspPair[] {
  const { signer, intermediate, ca }: RimAuthorities = rims[architecture]
  return [
    { certificate: signer.certificate, issuer: intermediate },
    { certificate: intermediate.certificate, issuer: ca },
    { certificate: ca.certificate, issuer: rimRoot },
  ]
}

/** An answer of `at` that the certificate is good, by the issuer's responder, unless told otherwise. @returns DER. */
export function answer(
  { certificate, issuer }: OcspPair,
  at: Date,
  change: Partial<OcspFields> = {},
  responder: NamedKey = issuer.responder,
): Uint8Array {
  const nextUpdate = new Date(at.getTime() + DAY_MS)
  const fields = {
    certificate,
    issuer: issuer.certificate,
    status: 'good',
    thisUpdate: at,
    nextUpdate,
    hash: 'sha384',
    nonce: null,
  } as const
  return answerOcsp({ ...fields, ...change }, responder)
}
