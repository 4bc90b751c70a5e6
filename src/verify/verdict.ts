import type { ErrorCode } from './errors.ts'

/** Rule groups, in the order in which a verifier works. */
export type Group =
  | 'format'
  | 'signature'
  | 'chain'
  | 'validity'
  | 'revocation'
  | 'tcb'
  | 'debug'
  | 'freshness'
  | 'binding'
  | 'reference-values'
  | 'policy'

/** One rule, what it wanted and what it found. `allowed` marks an `unknown` that the caller chose to accept. */
export interface Check {
  readonly rule: `${Group}.${string}`
  readonly outcome: 'pass' | 'fail' | 'unknown'
  readonly allowed?: true
  readonly want: string
  readonly got: string
}

/** Why the input could not be appraised at all. */
export interface VerdictError {
  readonly code: ErrorCode
  readonly at: string | null
  readonly message: string
}

declare const verified: unique symbol
/** A value whose signatures were checked. Only `verify*` functions make one. */
export type Verified<T> = T & { readonly [verified]: true }

/** The answer to "do I trust this?": claims exist only on acceptance. */
export type Verdict<P, C> = {
  readonly format: string
  readonly authentic: boolean
  readonly parsed: P | null
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
} & ({ readonly decision: 'accept'; readonly claims: Verified<C> } | { readonly decision: 'reject'; readonly error: VerdictError | null })

export function groupOf(check: Check): Group {
  return check.rule.slice(0, check.rule.indexOf('.')) as Group
}

/** Accept = at least one check, and every check passes or is an unknown that the caller allowed. */
export function accepts(checks: readonly Check[]): boolean {
  return checks.length > 0 && checks.every((c) => c.outcome === 'pass' || (c.outcome === 'unknown' && c.allowed === true))
}

/** Marks unknowns of the named groups as allowed. Failures stay failures. */
export function allowUnknown(checks: readonly Check[], groups: ReadonlySet<Group>): readonly Check[] {
  return checks.map((c) => (c.outcome === 'unknown' && groups.has(groupOf(c)) ? { ...c, allowed: true as const } : c))
}

const AUTHENTICITY: ReadonlySet<Group> = new Set(['format', 'signature', 'chain', 'validity'])

/** True when every rule about genuineness passed, whatever policy says. A revoked certificate is not authentic. */
export function isAuthentic(checks: readonly Check[]): boolean {
  const isOfAuthenticity = (c: Check): boolean => AUTHENTICITY.has(groupOf(c))
  const refutes = (c: Check): boolean =>
    c.outcome !== 'pass' && (isOfAuthenticity(c) || (groupOf(c) === 'revocation' && c.outcome === 'fail'))
  return checks.some(isOfAuthenticity) && !checks.some(refutes)
}

/** Exit code of a list of checks: 3 before 4 before 6 before 5 (design section 8); 0 when accepted. */
export function exitCodeOf(checks: readonly Check[]): 0 | 3 | 4 | 5 | 6 {
  if (accepts(checks)) return 0
  const bad = checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true)
  const has = (want: (c: Check) => boolean): boolean => bad.some(want)
  if (has((c) => groupOf(c) === 'format')) return 3
  if (has((c) => ['signature', 'chain', 'validity'].includes(groupOf(c)) && c.outcome === 'fail')) return 4
  if (has((c) => groupOf(c) === 'revocation' && c.outcome === 'fail')) return 4
  if (has((c) => ['signature', 'chain', 'validity', 'revocation'].includes(groupOf(c)))) return 6
  return 5
}
