import { equal, fromUtf8 } from '../../../verify/bytes/bytes.ts'
import { AttestError } from '../../../verify/errors.ts'

// Structures of nvml.h, little-endian; all members are u32 or bytes, so there is no padding.

/** `nvmlConfComputeGpuAttestationReport_t`. */
export const REPORT_STRUCT = { size: 12332, reportSize: 4, nonce: 12, report: 44, maxReport: 0x2000 } as const
/** `nvmlConfComputeGpuCertificate_t`. */
export const CERTIFICATE_STRUCT = { size: 9224, attestationChainSize: 4, attestationChain: 4104, maxChain: 0x1400 } as const
/** `nvmlConfComputeSystemState_t`: environment, ccFeature, devToolsMode. */
export const STATE_SIZE = 12
/** `nvmlSystemConfComputeSettings_t`: version, environment, ccFeature, devToolsMode, multiGpuMode. */
export const SETTINGS_SIZE = 20
/** NVML_STRUCT_VERSION(SystemConfComputeSettings, 1): size | version << 24. */
export const SETTINGS_VERSION: number = SETTINGS_SIZE | (1 << 24)

const NONCE_SIZE = 32

/**
 * A zeroed structure with the nonce at its place: NVML reads it from there.
 * @param nonce - 32 bytes.
 */
export function encodeReportStruct(nonce: Uint8Array): Uint8Array {
  if (nonce.length !== NONCE_SIZE) throw new AttestError('INTERNAL', `device nonce of ${nonce.length} bytes`)
  const bytes = new Uint8Array(REPORT_STRUCT.size)
  bytes.set(nonce, REPORT_STRUCT.nonce)
  return bytes
}

/**
 * The report that NVML wrote: an SPDM request with the nonce at offset 4, then the response (DMTF DSP0274 1.1,
 * GET_MEASUREMENTS).
 * @throws AttestError `ATTESTER_UNAVAILABLE` for a size that cannot be, or a report over another nonce.
 */
export function readReportStruct(bytes: Uint8Array, nonce: Uint8Array): Uint8Array {
  const at = 'nvml.attestationReport'
  const { reportSize, report, maxReport } = REPORT_STRUCT
  const content = sized(bytes, reportSize, report, maxReport, at)
  if (!equal(content.subarray(4, 4 + NONCE_SIZE), nonce)) {
    throw new AttestError('ATTESTER_UNAVAILABLE', 'the GPU answered another nonce than ours', { at })
  }
  return content
}

/** The attestation certificate chain, PEM. @throws AttestError `ATTESTER_UNAVAILABLE` for a size that cannot be. */
export function readCertificateStruct(bytes: Uint8Array): Uint8Array {
  const { attestationChainSize, attestationChain, maxChain } = CERTIFICATE_STRUCT
  const chain = sized(bytes, attestationChainSize, attestationChain, maxChain, 'nvml.attestationCertChain')
  // The size may count the zero that ends a C string.
  return chain.at(-1) === 0 ? chain.subarray(0, -1) : chain
}

function sized(bytes: Uint8Array, sizeAt: number, from: number, max: number, at: string): Uint8Array {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(sizeAt, true)
  if (size === 0 || size > max) throw new AttestError('ATTESTER_UNAVAILABLE', `NVML says ${size} bytes, want 1 to ${max}`, { at })
  return bytes.slice(from, from + size)
}

/** A C string in a buffer of fixed size. @throws AttestError `ATTESTER_UNAVAILABLE` without an end. */
export function readText(bytes: Uint8Array, at: string): string {
  const end = bytes.indexOf(0)
  if (end < 0) throw new AttestError('ATTESTER_UNAVAILABLE', 'text without an end', { at })
  try {
    return fromUtf8(bytes.subarray(0, end))
  } catch (cause) {
    throw new AttestError('ATTESTER_UNAVAILABLE', 'text that is not UTF-8', { at, cause })
  }
}

/** NVML_CC_SYSTEM_*: what the driver says of confidential computing. Not signed; only reports are. */
export interface CcState {
  readonly environment: 'unavailable' | 'simulated' | 'production'
  readonly ccFeature: boolean
  /** True: the GPU can be debugged. */
  readonly devToolsMode: boolean
  /** Null where the driver does not know the question. */
  readonly multiGpuMode: 'none' | 'protected-pcie' | 'nvlink-encryption' | null
}

/** Whether GPUs give reports. Protected PCIe is a mode of its own: drivers may say there that `ccFeature` is off. */
export function isConfidential(state: CcState | null): state is CcState {
  return state !== null && (state.ccFeature || state.multiGpuMode === 'protected-pcie')
}

/** @param settings - `nvmlSystemConfComputeSettings_t`, or `nvmlConfComputeSystemState_t`, which lacks the last answer. */
export function readState(settings: Uint8Array): CcState {
  const hasMode = settings.length === SETTINGS_SIZE
  const view = new DataView(settings.buffer, settings.byteOffset)
  const from = hasMode ? 4 : 0
  return {
    environment: oneOf(['unavailable', 'simulated', 'production'], view.getUint32(from, true), 'environment'),
    ccFeature: oneOf([false, true], view.getUint32(from + 4, true), 'ccFeature'),
    devToolsMode: oneOf([false, true], view.getUint32(from + 8, true), 'devToolsMode'),
    multiGpuMode: hasMode ? oneOf(['none', 'protected-pcie', 'nvlink-encryption'], view.getUint32(from + 12, true), 'multiGpuMode') : null,
  }
}

function oneOf<const T>(values: readonly T[], index: number, name: string): T {
  const value = values[index]
  if (value === undefined) throw new AttestError('ATTESTER_UNAVAILABLE', `unknown value ${index}`, { at: `nvml.${name}` })
  return value
}
