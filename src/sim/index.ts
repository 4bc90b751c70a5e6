export { type CrlContent, USAGE } from './certificates.ts'
export type { IntelCertificateChange, IntelRole, PckFields } from './intel/certificates.ts'
export { EARLIER, FMSPC, type IntelDates, type IntelTee, LATEST, qeIdentity, svnLevel, tcbInfo, tcbLevel } from './intel/collateral.ts'
export {
  attestIntel,
  createIntelKeys,
  type IntelEvidence,
  type IntelFields,
  type IntelKeys,
  intelFields,
  signIntelDocument,
} from './intel/intel.ts'
export {
  attestTd,
  createSimulatedTdx,
  encodeSimulatedTdx,
  parseSimulatedTdx,
  type SimulatedTdxPlatform,
  type TdAttestRequest,
  type TdxPlatformOptions,
} from './intel/platform.ts'
export { assembleQuote, type EnclaveFields, enclaveReport, quoteHead, type TdFields, tdReport } from './intel/quote.ts'
export type { SimulatedKey } from './keys.ts'
export { ARCHITECTURES, type Architecture } from './nvidia/architectures.ts'
export {
  answer,
  attestDevices,
  createSimulatedDevices,
  type DeviceEvidence,
  type DevicesOptions,
  devicePairs,
  endorseDevices,
  type OcspPair,
  rimPairs,
  rimSigner,
  rimsOf,
  type SimulatedDevices,
} from './nvidia/attest.ts'
export {
  AUTHORITY,
  createSimulatedNvidia,
  issueNvidia,
  issueResponder,
  issueRimSigner,
  type NamedKey,
  type NvidiaCertificate,
  nameOf,
  responderExtensions,
  type SimulatedNvidia,
} from './nvidia/authority.ts'
export { createSimulatedDevice, type DeviceOptions, encodeChain, fwidExtension, type SimulatedDevice } from './nvidia/device.ts'
export { createSimulatedGpus, parseSimulatedGpus, type SimulatedGpus } from './nvidia/devices-file.ts'
export { biosRim, driverRim, FIRMWARE, type Firmware, reportFields } from './nvidia/firmware.ts'
export type { OcspFields, OcspStatus } from './nvidia/ocsp.ts'
export { type DeviceReportFields, encodeDeviceReport, signDeviceReport } from './nvidia/report.ts'
export { encodeRim, type RimFields, type RimMeasurement, type RimSigner } from './nvidia/rim.ts'
export { encodePem } from './pem.ts'
export { type AttestRequest, attest, type ReportFault, type SimulatedEvidence } from './sev-snp/attest.ts'
export type { Authority, CertificateFields, VekFields } from './sev-snp/certificates.ts'
export {
  createSimulatedPlatform,
  INTERMEDIATE_SERIAL,
  issueSimulatedPlatform,
  type PlatformKeys,
  type PlatformOptions,
  reissueCrl,
  reissueIntermediate,
  reissueVek,
  type SimulatedPlatform,
} from './sev-snp/platform.ts'
export { encodeSimulatedPlatform, parseSimulatedPlatform } from './sev-snp/platform-file.ts'
export type { ReportFields } from './sev-snp/report.ts'
export { createSimulatedTee, parseSimulatedTee, type SimulatedFormat, type SimulatedTee, sevSnpTee } from './tee.ts'
