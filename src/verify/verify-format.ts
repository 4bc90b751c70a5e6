import { AttestError } from './errors.ts'
import type { CcaClaims, CcaParsed, PsaClaims, PsaParsed } from './evidence/arm-cca/claims.ts'
import { type CcaResult, verifyCca } from './evidence/arm-cca/verify.ts'
import type { AzureClaims, AzureParsed } from './evidence/azure-cvm/claims.ts'
import { type AzureParts, azureParts } from './evidence/azure-cvm/parts.ts'
import { type AzureResult, verifyAzureCvm } from './evidence/azure-cvm/verify.ts'
import type { VerifyCache } from './evidence/cache.ts'
import { nowAt } from './evidence/check.ts'
import type { Collateral } from './evidence/collateral.ts'
import { dcapRoots } from './evidence/dcap/roots.ts'
import { nitroRoots } from './evidence/nitro/chain.ts'
import type { NitroClaims, NitroParsed } from './evidence/nitro/claims.ts'
import { type NitroResult, verifyNitro } from './evidence/nitro/verify.ts'
import type { DeviceClaims, DeviceParsed } from './evidence/nvidia/claims.ts'
import { type DevicesClaims, type DevicesParsed, type DevicesResult, verifyDevices } from './evidence/nvidia/devices.ts'
import { nvidiaRoots } from './evidence/nvidia/roots.ts'
import { snpRoots } from './evidence/sev-snp/chain.ts'
import type { SnpClaims, SnpParsed } from './evidence/sev-snp/claims.ts'
import { type SnpResult, verifyReport } from './evidence/sev-snp/verify.ts'
import type { SgxClaims, SgxParsed } from './evidence/sgx/claims.ts'
import { type SgxResult, verifySgxQuote } from './evidence/sgx/verify.ts'
import type { TdxClaims, TdxParsed } from './evidence/tdx/claims.ts'
import { type TdxResult, verifyTdxQuote } from './evidence/tdx/verify.ts'
import type { TokenClaims, TokenParsed } from './evidence/tokens/claims.ts'
import type { TokenResult } from './evidence/tokens/types.ts'
import { verifyToken } from './evidence/tokens/verify.ts'
import { tpmTrust } from './evidence/tpm/chain.ts'
import type { TpmClaims, TpmParsed } from './evidence/tpm/claims.ts'
import { type TpmResult, verifyTpmQuote } from './evidence/tpm/verify.ts'
import type { TrustAnchors } from './evidence/trust-anchors.ts'
import type { Format, VerifyOptions } from './evidence/types.ts'

/** What was read and what is proven, by format. */
export type EvidenceParsed =
  | SnpParsed
  | TdxParsed
  | SgxParsed
  | NitroParsed
  | CcaParsed
  | PsaParsed
  | TpmParsed
  | AzureParsed
  | DeviceParsed
  | DevicesParsed
  | TokenParsed
/** Of the evidence of a machine's CPU: what a policy appraises. */
export type CpuClaims = SnpClaims | TdxClaims | SgxClaims | NitroClaims | CcaClaims | PsaClaims | TpmClaims | AzureClaims
export type EvidenceClaims = CpuClaims | DeviceClaims | DevicesClaims | TokenClaims

/** Formats that stand for a machine by themselves: no devices, no words of a vendor's service. */
const CPU_FORMATS: readonly Format[] = ['sev-snp', 'tdx', 'sgx', 'nitro', 'arm-cca', 'tpm', 'azure-cvm']

export function isCpuFormat(format: string): format is Format {
  return CPU_FORMATS.some((f) => f === format)
}

/** @param format - Of the verdict that the claims are of. */
export function isCpuClaims<C extends EvidenceClaims>(format: string, _claims: C): _claims is C & CpuClaims {
  return isCpuFormat(format)
}

/** What a format's verifier came to. */
export type FormatResult =
  | SnpResult
  | TdxResult
  | SgxResult
  | NitroResult
  | CcaResult
  | TpmResult
  | AzureResult
  | DevicesResult
  | TokenResult

/** What every format is verified with, beside what was asked for. */
export interface Loaded {
  readonly collateral: Collateral
  readonly anchors: TrustAnchors
  /** Null: no forecast was asked for. */
  readonly early: Collateral | null
  readonly cache: VerifyCache
}

const NONE = {}
const NO_LOGS: readonly Uint8Array[] = []

/** The verifier of a format, with what it needs of all that there is. */
export function verifyFormat(format: Format, evidence: Uint8Array, loaded: Loaded, options: VerifyOptions): Promise<FormatResult> {
  const { collateral, anchors, early, cache } = loaded
  const { nonce = null, measurement = null } = options
  const { roots, keys } = anchors
  const at = options.at.getTime()
  const common = { nonce, measurement, cache }
  switch (format) {
    case 'tdx': {
      const { tdx: requirements = NONE, eventLogs = NO_LOGS } = options
      return verifyTdxQuote({ quote: evidence, collateral, roots: dcapRoots(roots), at, eventLogs, early, requirements, ...common })
    }
    case 'sgx':
      return verifySgxQuote({
        quote: evidence,
        collateral,
        roots: dcapRoots(roots),
        at,
        early,
        requirements: options.sgx ?? NONE,
        ...common,
      })
    case 'nvidia-gpu':
    case 'nvidia-switch': {
      const kind = format === 'nvidia-gpu' ? 'gpu' : 'switch'
      return verifyDevices({ kind, evidence, collateral, roots: nvidiaRoots(roots), at, requirements: options.nvidia ?? NONE, ...common })
    }
    case 'nitro':
      return verifyNitro({ document: evidence, roots: nitroRoots(roots), now: nowAt(at), requirements: options.nitro ?? NONE, ...common })
    case 'arm-cca':
      return verifyCca({ token: evidence, keys, requirements: options.armCca ?? NONE, ...common })
    case 'sev-snp':
      return verifyReport({
        report: evidence,
        collateral,
        roots: snpRoots(roots),
        now: nowAt(at),
        requirements: options.sevSnp ?? NONE,
        ...common,
      })
    case 'tpm':
    case 'azure-cvm': {
      const azure = azureParts(format, evidence, collateral)
      if (azure !== null) return verifyAzure(azure, loaded, options)
      const { tpm: requirements = NONE, eventLogs = NO_LOGS } = options
      return verifyTpmQuote({ quote: evidence, collateral, trust: tpmTrust(anchors), now: nowAt(at), requirements, eventLogs, ...common })
    }
    case 'nras-eat':
    case 'ita-jwt':
    case 'maa-jwt':
      return verifyToken(format, { token: evidence, keys, now: nowAt(at), requirements: options.tokens ?? NONE, ...common })
    case 'bundle':
      throw new AttestError('EVIDENCE_UNSUPPORTED', 'a bundle is for verifyBundle', { at: 'evidence' })
  }
}

function verifyAzure(parts: AzureParts, { collateral, anchors, early, cache }: Loaded, options: VerifyOptions): Promise<AzureResult> {
  const { nonce = null, measurement = null, sevSnp = NONE, tdx = NONE, tpm = NONE, azureCvm = NONE, eventLogs = NO_LOGS } = options
  return verifyAzureCvm({
    ...parts,
    snpRoots: snpRoots(anchors.roots),
    dcapRoots: dcapRoots(anchors.roots),
    collateral,
    early,
    nonce,
    measurement,
    now: nowAt(options.at.getTime()),
    sevSnp,
    tdx,
    tpm,
    requirements: azureCvm,
    eventLogs,
    cache,
  })
}
