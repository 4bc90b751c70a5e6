import { instant } from './check.ts'
import type { TcbStatus } from './dcap/tcb-status.ts'

/** One thing that a verdict rests upon and the last instant at which it holds. */
export interface Expiry {
  readonly what:
    | 'leaf'
    | 'vek'
    | 'ak'
    | 'issuer'
    | 'crl'
    | 'pck'
    | 'pck-issuer'
    | 'root'
    | 'tcb-signer'
    | 'root-crl'
    | 'pck-crl'
    | 'tcb-info'
    | 'qe-identity'
    | 'device-chain'
    | 'rim-signer'
    | 'ocsp'
  readonly name: string
  /** RFC 3339. */
  readonly expires: string
}

/** What Intel's early TCB info says, which becomes the standard one later. */
export interface EarlyOutlook {
  readonly status: TcbStatus
  readonly tcbEvaluationDataNumber: number
  /** The status is another one than today's. */
  readonly changes: boolean
  /** Latest instant up to which today's TCB info can still be used: from then on the early word, or a newer one, decides. */
  readonly from: string
  /** What falls short: `SGX component 8 is 5, needs 6`. */
  readonly reasons: readonly string[]
}

/** How long the answer can stand. */
export interface Forecast {
  /** Earliest first. */
  readonly expiries: readonly Expiry[]
  /** Null: no early TCB info for this platform was given, or there is no such thing for this TEE. */
  readonly early: EarlyOutlook | null
}

/** The same before it is put into words. */
export interface Dated extends Pick<Expiry, 'what' | 'name'> {
  /** Milliseconds since 1970. */
  readonly at: number
}

export function earliestFirst(dated: readonly Dated[]): readonly Expiry[] {
  return [...dated].sort((a, b) => a.at - b.at).map(({ what, name, at }) => ({ what, name, expires: instant(at) }))
}

/** Of several pieces of evidence that stand or fall together. What they share is said once. */
export function joinForecasts(forecasts: readonly Forecast[]): Forecast {
  const all = forecasts.flatMap((f) => f.expiries)
  const expiries = [...new Map(all.map((e) => [`${e.what} ${e.expires} ${e.name}`, e])).values()]
  const early = forecasts.find((f) => f.early !== null)?.early ?? null
  return { expiries: expiries.sort((a, b) => Date.parse(a.expires) - Date.parse(b.expires)), early }
}
