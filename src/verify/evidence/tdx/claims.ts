import { toHex } from '../../bytes/bytes.ts'
import { type DcapFields, describeQuote, tcbStatusOf } from '../dcap/claims.ts'
import type { Quote } from '../dcap/quote.ts'
import type { QuoteFindings } from '../dcap/verify.ts'
import { maskText } from '../mask.ts'
import type { CommonClaims } from '../types.ts'
import { hasTdAttribute, isUnderDebug, TD_ATTRIBUTE_BIT, type TdAttributeName } from './attributes.ts'
import type { EventLogFindings, MeasuredEvent, RegisterName } from './event-log/replay.ts'
import type { TdReport, TdReportField } from './td-report.ts'

/** A TD report as JSON. Byte strings are hexadecimal in the order of the report. */
export interface TdFields {
  readonly teeTcbSvn: string
  readonly mrSeam: string
  readonly mrSignerSeam: string
  readonly seamAttributes: string
  readonly tdAttributes: string
  readonly tdAttributeBits: Readonly<Record<TdAttributeName, boolean>> & { readonly raw: string }
  readonly xfam: string
  readonly mrTd: string
  readonly mrConfigId: string
  readonly mrOwner: string
  readonly mrOwnerConfig: string
  readonly rtmr0: string
  readonly rtmr1: string
  readonly rtmr2: string
  readonly rtmr3: string
  readonly reportData: string
  /** TDX 1.5. */
  readonly teeTcbSvn2: string | null
  readonly mrServiceTd: string | null
}

/** What was read, whether or not it verified. */
export interface TdxParsed extends DcapFields {
  readonly bodyType: 'td-report-1.0' | 'td-report-1.5'
  readonly tdReport: TdFields
  /** Null: no event log given. */
  readonly eventLog: { readonly events: number; readonly replayed: Readonly<Record<RegisterName, string>> } | null
}

/** What an accepted TDX quote proves. */
export interface TdxClaims extends CommonClaims, TdFields, Omit<DcapFields, 'qeReport'> {
  readonly tee: 'tdx'
  /** MRTD. */
  readonly measurement: string
  /** Events of the registers that were compared, in the order in which they happened. Null: no event log given. */
  readonly events: readonly MeasuredEvent[] | null
}

export function describeTd(quote: Quote, report: TdReport, findings: QuoteFindings, eventLog: EventLogFindings | null): TdxParsed {
  return {
    ...describeQuote(quote, findings),
    bodyType: report.is15 ? 'td-report-1.5' : 'td-report-1.0',
    tdReport: describeReport(report),
    eventLog: eventLog === null ? null : { events: eventLog.count, replayed: eventLog.replayed },
  }
}

/** @param parsed - Of the same quote. */
export function tdxClaims(parsed: TdxParsed, report: TdReport, findings: QuoteFindings, eventLog: EventLogFindings | null): TdxClaims {
  const { qeReport: _, bodyType: __, tdReport, eventLog: ___, ...common } = parsed
  return {
    ...common,
    ...tdReport,
    tee: 'tdx',
    measurement: tdReport.mrTd,
    debug: isUnderDebug(report.tdAttributes),
    tcbStatus: tcbStatusOf(findings),
    simulated: findings.platform.facts?.root.simulated === true,
    events: eventLog?.events ?? null,
  }
}

export function describeReport(report: TdReport): TdFields {
  const names = Object.keys(TD_ATTRIBUTE_BIT) as TdAttributeName[]
  const bits = Object.fromEntries(names.map((n) => [n, hasTdAttribute(report.tdAttributes, n)])) as Record<TdAttributeName, boolean>
  const hex = (name: TdReportField): string => toHex(report.field(name))
  return {
    teeTcbSvn: hex('teeTcbSvn'),
    mrSeam: hex('mrSeam'),
    mrSignerSeam: hex('mrSignerSeam'),
    seamAttributes: hex('seamAttributes'),
    tdAttributes: hex('tdAttributes'),
    tdAttributeBits: { ...bits, raw: maskText(report.tdAttributes) },
    xfam: hex('xfam'),
    mrTd: hex('mrTd'),
    mrConfigId: hex('mrConfigId'),
    mrOwner: hex('mrOwner'),
    mrOwnerConfig: hex('mrOwnerConfig'),
    rtmr0: hex('rtmr0'),
    rtmr1: hex('rtmr1'),
    rtmr2: hex('rtmr2'),
    rtmr3: hex('rtmr3'),
    reportData: hex('reportData'),
    teeTcbSvn2: report.is15 ? hex('teeTcbSvn2') : null,
    mrServiceTd: report.is15 ? hex('mrServiceTd') : null,
  }
}
