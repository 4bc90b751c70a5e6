import { AttestError } from '../../errors.ts'
import type { Check } from '../../verdict.ts'
import { check } from '../check.ts'
import type { Collateral } from '../collateral.ts'
import { checkMeasurement, checkNonce } from '../dcap/appraise.ts'
import { type EnclaveReport, parseEnclaveReport } from '../dcap/enclave-report.ts'
import { forecast } from '../dcap/forecast.ts'
import { parseQuote, type Quote } from '../dcap/quote.ts'
import { type DcapInput, type QuoteFindings, verifyQuote } from '../dcap/verify.ts'
import type { Forecast } from '../forecast.ts'
import { appraiseEnclave } from './appraise.ts'
import { hasSgxFlag } from './attributes.ts'
import { describeReport, describeSgx, type SgxClaims, type SgxParsed, sgxClaims } from './claims.ts'
import type { SgxRequirements } from './requirements.ts'

/** Everything that {@link verifySgxQuote} needs. Nothing is fetched, no clock is read. */
export interface SgxInput extends DcapInput {
  /** An SGX quote, version 3, 4 or 5, with or without zero padding. */
  readonly quote: Uint8Array
  readonly nonce: Uint8Array | null
  readonly measurement: Uint8Array | null
  /** Intel's early TCB info and what belongs to it, for the forecast. */
  readonly early: Collateral | null
  readonly requirements: SgxRequirements
}

/** Every rule with its outcome. What was read is put into words when it is asked for: most callers of a gateway never do. */
export class SgxResult {
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[] = []
  readonly #input: SgxInput
  readonly #quote: Quote
  readonly #report: EnclaveReport
  readonly #findings: QuoteFindings
  #parsed: SgxParsed | null = null
  #claims: SgxClaims | null = null

  constructor(input: SgxInput, quote: Quote, report: EnclaveReport, findings: QuoteFindings) {
    this.checks = findings.checks
    this.#input = input
    this.#quote = quote
    this.#report = report
    this.#findings = findings
  }

  get parsed(): SgxParsed {
    this.#parsed ??= describeSgx(this.#quote, this.#report, this.#findings)
    return this.#parsed
  }

  /** Not trusted until the checks are accepted. */
  get claims(): SgxClaims {
    this.#claims ??= sgxClaims(this.parsed, this.#findings)
    return this.#claims
  }

  /** What expires when, and what early TCB info would change. */
  forecast(): Promise<Forecast> {
    const { early, at, cache } = this.#input
    return forecast('sgx', this.#findings, early, at, cache)
  }
}

/**
 * Checks an Intel SGX quote in the order of docs/formats/sgx.md: platform and TCB, attributes, what is wanted of the enclave.
 * @throws AttestError `EVIDENCE_*` for bytes that are no SGX quote.
 * @see Intel SGX ECDSA QuoteLibReference (quote), Intel SDM volume 3D (report).
 */
export async function verifySgxQuote(input: SgxInput): Promise<SgxResult> {
  const quote = parseQuote(input.quote)
  if (quote.tee !== 'sgx') throw new AttestError('EVIDENCE_UNSUPPORTED', 'quote of TDX, want SGX', { at: 'quote@0x004' })
  const report = parseEnclaveReport(quote.body, 'quote.enclave-report')
  const findings = await verifyQuote(quote, null, input)
  const { checks } = findings
  checks.push(checkFlag('debug.attributes', report, 'debug', false))
  checks.push(checkFlag('policy.mode64', report, 'mode64bit', true))
  if (input.nonce !== null) checks.push(checkNonce(input.nonce, report.reportData))
  if (input.measurement !== null) checks.push(checkMeasurement(input.measurement, report.mrEnclave))
  // Most callers ask for nothing here, and should not wait for words.
  if (Object.keys(input.requirements).length > 0) checks.push(...appraiseEnclave(describeReport(report), input.requirements))
  return new SgxResult(input, quote, report, findings)
}

function checkFlag(rule: Check['rule'], { attributes }: EnclaveReport, name: 'debug' | 'mode64bit', want: boolean): Check {
  const text = (is: boolean): string => `${name.toUpperCase()} ${is ? 1 : 0}`
  const is = hasSgxFlag(attributes, name)
  return check(rule, is === want, text(want), text(is))
}
