import type { SnpClaims, SnpParsed } from '../sev-snp/claims.ts'
import type { TdxClaims, TdxParsed } from '../tdx/claims.ts'
import type { AkFields, TpmFields } from '../tpm/claims.ts'
import type { PcrEvent } from '../tpm/event-log.ts'
import type { CommonClaims } from '../types.ts'
import type { HclReport } from './hcl-report.ts'
import type { RuntimeData, VmConfiguration } from './runtime-data.ts'

/** What the paravisor says of itself and of the machine, as JSON. */
export interface HclFields {
  readonly hclVersion: number
  readonly hardwareTee: 'sev-snp' | 'tdx'
  readonly runtimeDataHash: string
  /** SHA-256 of HCLAkPub's SubjectPublicKeyInfo, hexadecimal. */
  readonly akSpkiSha256: string
  readonly vmConfiguration: VmConfiguration
  readonly userData: string | null
}

/** What was read, whether or not it verified. */
export interface AzureParsed extends HclFields {
  /** Null: no TD quote beside the TDREPORT. */
  readonly hardware: SnpParsed | TdxParsed | null
  /** Null: no quote of the virtual TPM given. */
  readonly tpm: TpmFields | null
}

/** What accepted evidence of an Azure confidential VM proves. */
export interface AzureClaims extends CommonClaims, HclFields {
  readonly tee: 'azure-cvm'
  /** MEASUREMENT or MRTD: of the paravisor. The guest is in the PCRs alone. */
  readonly measurement: string | null
  /** `extraData` of the virtual TPM's quote: what the guest can choose. */
  readonly reportData: string
  readonly pcrDigest: string
  readonly hardware: SnpClaims | TdxClaims | null
  readonly tpm: TpmFields | null
  readonly ak: AkFields | null
  /** Events of the PCRs that were compared. Null: no event log given. */
  readonly events: readonly PcrEvent[] | null
}

export function describeHcl(report: HclReport, runtime: RuntimeData, akSpkiSha256: string): HclFields {
  return {
    hclVersion: report.version,
    hardwareTee: report.hardware.tee,
    runtimeDataHash: report.hash,
    akSpkiSha256,
    vmConfiguration: runtime.vmConfiguration,
    userData: runtime.userData,
  }
}
