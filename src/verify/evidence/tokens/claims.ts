import type { CommonClaims } from '../types.ts'

/** Whose service made a token. */
export type TokenVerifier = 'nras' | 'ita' | 'maa'

/** One device that NVIDIA's service looked at. Values are the service's own words; null where it says nothing. */
export interface SubmoduleFields {
  readonly name: string
  readonly result: string | null
  readonly debugStatus: string | null
  readonly hwmodel: string | null
  readonly ueid: string | null
  readonly driverVersion: string | null
  readonly vbiosVersion: string | null
}

/** What was read, whether or not it verified. */
export interface TokenParsed {
  readonly verifier: TokenVerifier
  readonly issuer: string
  readonly issuedAt: string
  readonly expires: string
  /** NVIDIA's service alone. */
  readonly submodules: readonly SubmoduleFields[]
}

/** What a service says that it verified. Nobody looked at the evidence here: trust is in the service, its policy and its keys. */
export interface TokenClaims extends CommonClaims, TokenParsed {
  readonly tee: 'nvidia-gpu' | 'nvidia-switch' | 'tdx' | 'sgx' | 'sev-snp'
  readonly verifier: TokenVerifier
}
