export type { CrlContent } from './certificates.ts'
export type { SimulatedKey } from './keys.ts'
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
