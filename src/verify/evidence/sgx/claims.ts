import { toHex } from '../../bytes/bytes.ts'
import { type DcapFields, describeEnclave, describeQuote, type EnclaveFields, tcbStatusOf } from '../dcap/claims.ts'
import type { EnclaveReport } from '../dcap/enclave-report.ts'
import type { Quote } from '../dcap/quote.ts'
import type { QuoteFindings } from '../dcap/verify.ts'
import type { CommonClaims } from '../types.ts'
import { hasSgxFlag, SGX_FLAG_BIT, type SgxFlagName } from './attributes.ts'

/** ATTRIBUTES put into words; `xfrm` is hexadecimal in the report's order. */
export type SgxAttributeBits = Readonly<Record<SgxFlagName, boolean>> & { readonly xfrm: string }

/** What was read, whether or not it verified. */
export interface SgxParsed extends DcapFields {
  readonly enclave: EnclaveFields & { readonly attributeBits: SgxAttributeBits }
}

/** What an accepted SGX quote proves. */
export interface SgxClaims extends CommonClaims, EnclaveFields, Omit<DcapFields, 'qeReport'> {
  readonly tee: 'sgx'
  /** MRENCLAVE. */
  readonly measurement: string
  readonly attributeBits: SgxAttributeBits
}

export function describeSgx(quote: Quote, report: EnclaveReport, findings: QuoteFindings): SgxParsed {
  return { ...describeQuote(quote, findings), enclave: describeReport(report) }
}

export function describeReport(report: EnclaveReport): SgxParsed['enclave'] {
  return { ...describeEnclave(report), attributeBits: attributeBits(report) }
}

/** @param parsed - Of the same quote. */
export function sgxClaims(parsed: SgxParsed, findings: QuoteFindings): SgxClaims {
  const { qeReport: _, enclave, ...common } = parsed
  return {
    ...common,
    ...enclave,
    tee: 'sgx',
    measurement: enclave.mrEnclave,
    debug: enclave.attributeBits.debug,
    tcbStatus: tcbStatusOf(findings),
    simulated: findings.platform.facts?.root.simulated === true,
  }
}

function attributeBits({ attributes }: EnclaveReport): SgxAttributeBits {
  const names = Object.keys(SGX_FLAG_BIT) as SgxFlagName[]
  const bits = Object.fromEntries(names.map((n) => [n, hasSgxFlag(attributes, n)])) as Record<SgxFlagName, boolean>
  return { ...bits, xfrm: toHex(attributes.subarray(8)) }
}
