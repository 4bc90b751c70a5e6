import type { Group } from '../verdict.ts'
import type { VerifyCache } from './cache.ts'
import type { Collateral } from './collateral.ts'
import type { NvidiaRequirements } from './nvidia/appraise.ts'
import type { SnpRequirements } from './sev-snp/requirements.ts'
import type { SgxRequirements } from './sgx/requirements.ts'
import type { TdxRequirements } from './tdx/requirements.ts'

/** Formats of evidence by the names of the command line. */
export const FORMATS = [
  'sev-snp',
  'tdx',
  'sgx',
  'nvidia-gpu',
  'nvidia-switch',
  'nitro',
  'arm-cca',
  'tpm',
  'azure-cvm',
  'bundle',
  'nras-eat',
  'ita-jwt',
  'maa-jwt',
] as const

export type Format = (typeof FORMATS)[number]

/** What claims of every format have in common. Byte strings are hexadecimal in the structure's byte order. */
export interface CommonClaims {
  readonly tee: string
  /** Launch measurement; null where the format has none. */
  readonly measurement: string | null
  readonly reportData: string
  readonly debug: boolean
  /** The vendor's word, or `not-applicable`. */
  readonly tcbStatus: string
  /** True: signed under a root that the caller named, which proves nothing about hardware. */
  readonly simulated: boolean
}

/** What a caller asks of {@link verifyEvidence}. */
export interface VerifyOptions {
  /** `auto`, the default, goes by content. */
  readonly format?: Format | 'auto'
  /**
   * Certificates, chains and CRLs, PEM or DER, OCSP responses, Intel's collateral as JSON and NVIDIA's manifests, each recognised by content. They never add
   * trust. Who calls often with the same loads it once: {@link loadCollateral}.
   */
  readonly collateral: readonly Uint8Array[] | Collateral
  /** Root certificates of simulators, PEM or DER, or loaded once like collateral. What verifies under one has `simulated: true`. */
  readonly trustAnchors: readonly Uint8Array[] | Collateral
  /** Instant at which certificates and CRLs must be valid. No clock is read. */
  readonly at: Date
  /** REPORT_DATA that is wanted: 1 to 64 bytes, zero-padded on the right. Not given: stands in `notChecked`. */
  readonly nonce?: Uint8Array
  /** Launch measurement that is wanted. Not given: stands in `notChecked`. */
  readonly measurement?: Uint8Array
  /** Groups whose `unknown` is accepted. Signatures, chains, validity and form cannot be among them. */
  readonly allowUnknown: readonly Group[]
  /** Rules for SEV-SNP beyond the default. */
  readonly sevSnp?: SnpRequirements
  /** Rules for TDX beyond the default. */
  readonly tdx?: TdxRequirements
  /** Rules for SGX beyond the default. */
  readonly sgx?: SgxRequirements
  /** Rules for NVIDIA GPUs and switches beyond the default. */
  readonly nvidia?: NvidiaRequirements
  /** TDX: CCELs and runtime logs, in the order in which they were written. Not given: stands in `notChecked`. */
  readonly eventLogs?: readonly Uint8Array[]
  /** Asks for a forecast. `early`: Intel's early TCB info and what belongs to it, which never decides a verdict; may be empty. */
  readonly forecast?: { readonly early: readonly Uint8Array[] }
  /** Facts about bytes seen before; see {@link createVerifyCache}. Not given: nothing outlives the call. */
  readonly cache?: VerifyCache
}
