import { toHex } from '../../bytes/bytes.ts'
import { instant } from '../check.ts'
import type { EnclaveReport } from './enclave-report.ts'
import type { PckConfiguration } from './pck.ts'
import type { PckChain, Platform } from './platform.ts'
import type { Quote } from './quote.ts'
import type { SvnLevel } from './tcb-info.ts'
import { advisoriesOf, type TcbStatus, tcbDateOf } from './tcb-status.ts'
import type { QuoteFindings } from './verify.ts'

/** Header and certification data of a quote as JSON. Byte strings are hexadecimal in the quote's order. */
export interface QuoteFields {
  readonly quoteVersion: number
  readonly attestationKeyType: number
  readonly teeType: string
  readonly qeSvn: number
  readonly pceSvn: number
  readonly qeVendorId: string
  readonly headerUserData: string
  readonly quoteSizeBytes: number
  readonly trailingBytes: number
  readonly certificationDataType: number
  readonly qeAuthDataSizeBytes: number
}

/** A PCK certificate as JSON: what it says of its platform. */
export interface PckFields {
  readonly fmspc: string
  readonly pceId: string
  readonly ppid: string
  readonly tcbComponentSvns: readonly number[]
  readonly pceSvn: number
  readonly cpuSvn: string
  /** 0 standard, 1 scalable, 2 scalable with integrity. */
  readonly sgxType: number
  readonly platformInstanceId: string | null
  readonly configuration: PckConfiguration | null
  readonly issuer: string
  readonly serial: string
  readonly notBefore: string
  readonly notAfter: string
}

/** Intel's TCB evaluation as JSON. */
export interface TcbFields {
  readonly status: TcbStatus
  /** Words of the matched levels; null where none fits or, for the module, where it has none of its own. */
  readonly platformStatus: string | null
  readonly qeStatus: string | null
  readonly tdxModuleStatus: string | null
  /** TDX 1.5: status of what runs now, as against what launched the TD. */
  readonly currentStatus: TcbStatus | null
  /** Earliest date of the levels that platform, QE and TDX module are on. */
  readonly tcbDate: string | null
  readonly platformTcbDate: string | null
  readonly advisoryIds: readonly string[]
  readonly tcbEvaluationDataNumber: number
  readonly qeTcbEvaluationDataNumber: number
}

/** The platform and its quoting enclave as JSON. */
export interface PlatformFields {
  /** Null: no PCK certificate found. */
  readonly pck: PckFields | null
  readonly qeReport: EnclaveFields
}

/** What SGX and TDX quotes have in common. */
export interface DcapFields extends QuoteFields, PlatformFields {
  /** Null: no authentic documents for this platform. */
  readonly tcb: TcbFields | null
}

/** An enclave report as JSON. */
export interface EnclaveFields {
  readonly cpuSvn: string
  readonly miscSelect: string
  readonly isvExtProdId: string
  readonly attributes: string
  readonly mrEnclave: string
  readonly mrSigner: string
  readonly configId: string
  readonly isvProdId: number
  readonly isvSvn: number
  readonly configSvn: number
  readonly isvFamilyId: string
  readonly reportData: string
}

export function describeQuote(quote: Quote, findings: QuoteFindings): DcapFields {
  const { header } = quote
  return {
    quoteVersion: header.version,
    attestationKeyType: header.attestationKeyType,
    teeType: `0x${header.teeType.toString(16)}`,
    qeSvn: header.qeSvn,
    pceSvn: header.pceSvn,
    qeVendorId: toHex(header.qeVendorId),
    headerUserData: toHex(header.userData),
    quoteSizeBytes: quote.sizeBytes,
    trailingBytes: quote.padding.length,
    certificationDataType: quote.certificationType,
    qeAuthDataSizeBytes: quote.qeAuthData.length,
    ...describePlatform(findings.platform),
    tcb: describeTcb(findings),
  }
}

/** What is the same in every quote of one quoting enclave. */
function describePlatform({ chain, qeReport }: Platform): PlatformFields {
  return { pck: chain.leaf === null ? null : describePck(chain), qeReport: describeEnclave(qeReport) }
}

function describePck({ leaf, extension }: PckChain): PckFields {
  return {
    fmspc: extension.fmspc,
    pceId: extension.pceId,
    ppid: extension.ppid,
    tcbComponentSvns: [...extension.sgx],
    pceSvn: extension.pceSvn,
    cpuSvn: extension.cpuSvn,
    sgxType: extension.sgxType,
    platformInstanceId: extension.platformInstanceId,
    configuration: extension.configuration,
    issuer: leaf.issuer.commonName ?? leaf.issuer.text,
    serial: leaf.serial,
    notBefore: instant(leaf.notBefore),
    notAfter: instant(leaf.notAfter),
  }
}

export function describeEnclave(report: EnclaveReport): EnclaveFields {
  return {
    cpuSvn: toHex(report.cpuSvn),
    miscSelect: toHex(report.miscSelect),
    isvExtProdId: toHex(report.isvExtProdId),
    attributes: toHex(report.attributes),
    mrEnclave: toHex(report.mrEnclave),
    mrSigner: toHex(report.mrSigner),
    configId: toHex(report.configId),
    isvProdId: report.isvProdId,
    isvSvn: report.isvSvn,
    configSvn: report.configSvn,
    isvFamilyId: toHex(report.isvFamilyId),
    reportData: toHex(report.reportData),
  }
}

function describeTcb({ evaluation, tcbInfo, qeIdentity }: QuoteFindings): TcbFields | null {
  if (evaluation === null || tcbInfo === null || qeIdentity === null) return null
  const date = tcbDateOf(evaluation)
  const word = (level: Pick<SvnLevel, 'status'> | null): string | null => level?.status ?? null
  return {
    status: evaluation.status,
    platformStatus: word(evaluation.platform),
    qeStatus: word(evaluation.qe),
    tdxModuleStatus: word(evaluation.module),
    currentStatus: evaluation.current,
    tcbDate: date === null ? null : instant(date),
    platformTcbDate: evaluation.platform === null ? null : instant(evaluation.platform.date),
    advisoryIds: advisoriesOf(evaluation),
    tcbEvaluationDataNumber: tcbInfo.content.tcbEvaluationDataNumber,
    qeTcbEvaluationDataNumber: qeIdentity.document.content.tcbEvaluationDataNumber,
  }
}

/** Intel's word, or `unknown` where an evaluation was not possible and the caller chose to accept that. */
export function tcbStatusOf({ evaluation }: QuoteFindings): string {
  return evaluation?.status ?? 'unknown'
}
