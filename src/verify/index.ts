export * from './appraise/index.ts'
export {
  compare,
  concat,
  equal,
  fromBase64,
  fromBase64Url,
  fromHex,
  fromUtf8,
  isZero,
  toBase64,
  toBase64Url,
  toHex,
  utf8,
} from './bytes/bytes.ts'
export * from './documents/binding.ts'
export * from './documents/contract.ts'
export * from './documents/device-nonce.ts'
export * from './documents/erasure.ts'
export * from './documents/event-file.ts'
export * from './documents/event-statement.ts'
export * from './documents/evidence-bundle.ts'
export * from './documents/grant.ts'
export * from './documents/header.ts'
export * from './documents/intent.ts'
export * from './documents/job-nonce.ts'
export * from './documents/keys.ts'
export * from './documents/leaf.ts'
export * from './documents/policy.ts'
export * from './documents/receipt-file.ts'
export * from './documents/session.ts'
export * from './documents/statement.ts'
export * from './documents/succession.ts'
export * from './documents/trust.ts'
export * from './documents/use-slot.ts'
export { AttestError, ERROR_CODES, type ErrorCode, type ErrorPlace } from './errors.ts'
export type { CcaRequirements, ComponentValue } from './evidence/arm-cca/appraise.ts'
export type {
  CcaClaims,
  CcaParsed,
  PlatformFields as CcaPlatformFields,
  PsaClaims,
  PsaParsed,
  RealmFields,
  SoftwareComponentFields,
} from './evidence/arm-cca/claims.ts'
export type { AzureClaims, AzureParsed, HclFields } from './evidence/azure-cvm/claims.ts'
export { type HclReport, parseHclReport } from './evidence/azure-cvm/hcl-report.ts'
export type { VmConfiguration } from './evidence/azure-cvm/runtime-data.ts'
export type { AzureRequirements } from './evidence/azure-cvm/verify.ts'
export { createVerifyCache, type VerifyCache } from './evidence/cache.ts'
export {
  type CertificateChain,
  type Collateral,
  type CollateralItem,
  type KnownCertificate,
  type KnownCrl,
  type KnownOcsp,
  type KnownRim,
  loadCollateral,
} from './evidence/collateral.ts'
export type { Companion, CompanionKind } from './evidence/companions.ts'
export { ALLOWABLE_GROUPS } from './evidence/conclude.ts'
export type { AcceptableTcbStatus, DcapRequirements } from './evidence/dcap/appraise.ts'
export type {
  DcapFields,
  EnclaveFields,
  PckFields,
  PlatformFields,
  QuoteFields,
  TcbFields,
} from './evidence/dcap/claims.ts'
export type { Tee } from './evidence/dcap/layout.ts'
export { type PckConfiguration, type PckExtension, parsePckExtension } from './evidence/dcap/pck.ts'
export { type BodyKind, parseQuote, type Quote, type QuoteHeader } from './evidence/dcap/quote.ts'
export type { TcbStatus } from './evidence/dcap/tcb-status.ts'
export type { EarlyOutlook, Expiry, Forecast } from './evidence/forecast.ts'
export type { NitroRequirements, PcrValues } from './evidence/nitro/appraise.ts'
export type { NitroCertificateFields, NitroClaims, NitroParsed } from './evidence/nitro/claims.ts'
export type { NvidiaRequirements } from './evidence/nvidia/appraise.ts'
export type { Architecture } from './evidence/nvidia/architecture.ts'
export type { DeviceClaims, DeviceIdentity, DeviceParsed, OpaqueField } from './evidence/nvidia/claims.ts'
export type { Comparison, Mismatch } from './evidence/nvidia/compare.ts'
export type { DevicesClaims, DevicesParsed } from './evidence/nvidia/devices.ts'
export { type DeviceEvidence, readDevices } from './evidence/nvidia/evidence-list.ts'
export type { DeviceKind, Mode } from './evidence/nvidia/layout.ts'
export { type DeviceReport, parseDeviceReport } from './evidence/nvidia/parse.ts'
export { parseRim, type Rim } from './evidence/nvidia/rim/parse.ts'
export { type NvidiaRoot, type NvidiaRoots, nvidiaRoots } from './evidence/nvidia/roots.ts'
export { verifyDeviceSet } from './evidence/nvidia/topology.ts'
export { type DeviceInput, type DeviceResult, verifyDevice } from './evidence/nvidia/verify.ts'
export { parseCertificateTable } from './evidence/sev-snp/certificate-table.ts'
export type { SnpClaims, SnpFields, SnpParsed, VekFields } from './evidence/sev-snp/claims.ts'
export { SNP_FLOORS, type SnpFloor, type SnpFloorName } from './evidence/sev-snp/floors.ts'
export type { Cpuid, SigningKey as SnpSigningKey, TcbVersion } from './evidence/sev-snp/layout.ts'
export { parseReport, type SnpReport } from './evidence/sev-snp/parse.ts'
export type { GuestPolicyName, PlatformInfoName, SnpRequirements, TcbFloor } from './evidence/sev-snp/requirements.ts'
export { parseVek, type Vek } from './evidence/sev-snp/vek.ts'
export type { SgxFlagName } from './evidence/sgx/attributes.ts'
export type { SgxAttributeBits, SgxClaims, SgxParsed } from './evidence/sgx/claims.ts'
export type { SgxRequirements } from './evidence/sgx/requirements.ts'
export type { TdAttributeName } from './evidence/tdx/attributes.ts'
export type { TdFields, TdxClaims, TdxParsed } from './evidence/tdx/claims.ts'
export type { EventContent } from './evidence/tdx/event-log/content.ts'
export type { MeasuredEvent, RegisterName } from './evidence/tdx/event-log/replay.ts'
export type { TdReferenceName, TdxRequirements } from './evidence/tdx/requirements.ts'
export { TdReport, type TdReportField } from './evidence/tdx/td-report.ts'
export type { SubmoduleFields, TokenClaims, TokenParsed, TokenVerifier } from './evidence/tokens/claims.ts'
export type { TokenRequirements } from './evidence/tokens/types.ts'
export type { TpmRequirements } from './evidence/tpm/appraise.ts'
export { type PcrSelection, parseAttest, type TpmQuote } from './evidence/tpm/attest.ts'
export type { AkFields, TpmClaims, TpmFields, TpmParsed } from './evidence/tpm/claims.ts'
export type { PcrEvent } from './evidence/tpm/event-log.ts'
export { type PcrBank, parsePcrs } from './evidence/tpm/pcrs.ts'
export { type ObjectAttribute, parsePublic, type TpmPublic } from './evidence/tpm/public.ts'
export { parseSignature, type TpmSignature } from './evidence/tpm/signature.ts'
export { type KeyAnchor, loadTrustAnchors, type TrustAnchors } from './evidence/trust-anchors.ts'
export { type CommonClaims, FORMATS, type Format, type VerifyOptions } from './evidence/types.ts'
export { isBundle, MAX_EVIDENCE_SIZE } from './evidence/unwrap.ts'
export { encodeCanonical, type Json, parseCanonical } from './formats/canonical-json.ts'
export { type Crl, parseCrl } from './formats/crl.ts'
export { type JwsSigner, type VerifiedJws, verifyFlattenedJws, verifyGeneralJws } from './formats/jws.ts'
export { type OcspResponse, parseOcspResponse, type SingleResponse } from './formats/ocsp.ts'
export { type PemBlock, parsePem } from './formats/pem.ts'
export { type Certificate, type Extension, parseCertificate } from './formats/x509.ts'
export * from './receipt/index.ts'
export * from './tlog/index.ts'
export { AMD_HIERARCHIES, type AmdAuthority, type AmdHierarchy, type AmdProduct } from './trust/amd.ts'
export type { Anchor } from './trust/anchor.ts'
export { AWS_NITRO_ROOT } from './trust/aws.ts'
export { INTEL_SGX_ROOT } from './trust/intel.ts'
export { NVIDIA_DEVICE_ROOT, NVIDIA_RIM_ROOT } from './trust/nvidia.ts'
export { VTPM_ROOTS } from './trust/vtpm.ts'
export {
  accepts,
  allowUnknown,
  type Check,
  exitCodeOf,
  type Group,
  groupOf,
  isAuthentic,
  type Verdict,
  type VerdictError,
  type Verified,
} from './verdict.ts'
export { type BundleClaims, type BundleOptions, type BundleParsed, type BundleVerdict, verifyBundle } from './verify-bundle.ts'
export { type EvidenceVerdict, verifyEvidence } from './verify-evidence.ts'
export type { CpuClaims, EvidenceClaims, EvidenceParsed } from './verify-format.ts'
