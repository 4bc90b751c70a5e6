import { AttestError } from '../../errors.ts'
import type { Check } from '../../verdict.ts'
import { check } from '../check.ts'
import type { Collateral } from '../collateral.ts'
import { checkMeasurement, checkNonce } from '../dcap/appraise.ts'
import { forecast } from '../dcap/forecast.ts'
import { parseQuote, type Quote } from '../dcap/quote.ts'
import { type DcapInput, type QuoteFindings, verifyQuote } from '../dcap/verify.ts'
import type { Forecast } from '../forecast.ts'
import { maskText } from '../mask.ts'
import { appraiseTd } from './appraise.ts'
import { isUnderDebug } from './attributes.ts'
import { describeReport, describeTd, type TdxClaims, type TdxParsed, tdxClaims } from './claims.ts'
import { type EventLogFindings, replayEventLogs } from './event-log/replay.ts'
import type { TdxRequirements } from './requirements.ts'
import { TdReport } from './td-report.ts'

/** Everything that {@link verifyTdxQuote} needs. Nothing is fetched, no clock is read. */
export interface TdxInput extends DcapInput {
  /** A TDX quote, version 4 or 5, with or without zero padding. */
  readonly quote: Uint8Array
  readonly nonce: Uint8Array | null
  readonly measurement: Uint8Array | null
  /** CCELs and runtime logs, in the order in which they were written. */
  readonly eventLogs: readonly Uint8Array[]
  /** Intel's early TCB info and what belongs to it, for the forecast. */
  readonly early: Collateral | null
  readonly requirements: TdxRequirements
}

/** Every rule with its outcome. What was read is put into words when it is asked for: most callers of a gateway never do. */
export class TdxResult {
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  readonly #input: TdxInput
  readonly #quote: Quote
  readonly #report: TdReport
  readonly #findings: QuoteFindings
  readonly #eventLog: EventLogFindings | null
  #parsed: TdxParsed | null = null
  #claims: TdxClaims | null = null

  constructor(input: TdxInput, quote: Quote, report: TdReport, findings: QuoteFindings, eventLog: EventLogFindings | null) {
    this.checks = findings.checks
    this.notChecked = eventLog === null ? NO_EVENT_LOG : eventLog.notChecked
    this.#input = input
    this.#quote = quote
    this.#report = report
    this.#findings = findings
    this.#eventLog = eventLog
  }

  get parsed(): TdxParsed {
    this.#parsed ??= describeTd(this.#quote, this.#report, this.#findings, this.#eventLog)
    return this.#parsed
  }

  /** Not trusted until the checks are accepted. */
  get claims(): TdxClaims {
    this.#claims ??= tdxClaims(this.parsed, this.#report, this.#findings, this.#eventLog)
    return this.#claims
  }

  /** What expires when, and what early TCB info would change. */
  forecast(): Promise<Forecast> {
    const { early, at, cache } = this.#input
    return forecast('tdx', this.#findings, early, at, cache)
  }
}

const NO_EVENT_LOG: readonly string[] = ['event-log']

/**
 * Checks an Intel TDX quote in the order of docs/formats/tdx.md: platform and TCB, debugging, what is wanted of the TD, and
 * the event logs against its registers.
 * @throws AttestError `EVIDENCE_*` for bytes that are no TDX quote, and those of event logs that cannot be read.
 * @see Intel TDX DCAP Quoting Library API (quote), Intel TDX Module ABI specification (TD report).
 */
export async function verifyTdxQuote(input: TdxInput): Promise<TdxResult> {
  const quote = parseQuote(input.quote)
  if (quote.tee !== 'tdx') throw new AttestError('EVIDENCE_UNSUPPORTED', 'quote of SGX, want TDX', { at: 'quote@0x004' })
  const report = new TdReport(quote.body)
  const findings = await verifyQuote(quote, report, input)
  const { checks } = findings
  checks.push(checkDebug(report))
  if (input.nonce !== null) checks.push(checkNonce(input.nonce, report.field('reportData')))
  if (input.measurement !== null) checks.push(checkMeasurement(input.measurement, report.field('mrTd')))
  // Most callers ask for nothing here, and should not wait for words.
  if (Object.keys(input.requirements).length > 0) checks.push(...appraiseTd(describeReport(report), input.requirements))
  const eventLog = input.eventLogs.length === 0 ? null : await replayEventLogs(input.eventLogs, report)
  if (eventLog !== null) checks.push(...eventLog.checks)
  return new TdxResult(input, quote, report, findings, eventLog)
}

function checkDebug({ tdAttributes }: TdReport): Check {
  const got = isUnderDebug(tdAttributes) ? `TDATTRIBUTES ${maskText(tdAttributes)}` : 'none set'
  return check('debug.td-attributes', !isUnderDebug(tdAttributes), 'no bit of the group "TD under debug"', got)
}
