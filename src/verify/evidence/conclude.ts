import { AttestError, ERROR_CODES, type ErrorCode } from '../errors.ts'
import {
  accepts,
  allowUnknown,
  type Check,
  exitCodeOf,
  type Group,
  groupOf,
  isAuthentic,
  type Verdict,
  type VerdictError,
  type Verified,
} from '../verdict.ts'
import { check } from './check.ts'

/** Groups whose `unknown` a caller may accept. The others say whether the evidence is genuine at all. */
export const ALLOWABLE_GROUPS: readonly Group[] = ['revocation', 'tcb', 'debug', 'freshness', 'binding', 'reference-values', 'policy']

/** What a verifier found out, before it is decided upon. `parsed` and `claims` may be getters: they are asked when the verdict's are. */
export interface Findings<P, C> {
  readonly format: string
  readonly parsed: P | null
  readonly claims: C
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
}

/**
 * Decides. Accepted is what is authentic and whose every check passes, save unknowns of the groups in `allow`.
 * This is the one place where claims become {@link Verified}.
 */
export function conclude<P, C>(findings: Findings<P, C>, allow: readonly Group[]): Verdict<P, C> {
  const allowed = allow.filter((g) => ALLOWABLE_GROUPS.includes(g))
  const checks = allowed.length === 0 ? findings.checks : allowUnknown(findings.checks, new Set(allowed))
  const authentic = isAuthentic(checks)
  if (!authentic || !accepts(checks)) {
    return {
      decision: 'reject',
      format: findings.format,
      authentic,
      get parsed() {
        return findings.parsed
      },
      checks,
      notChecked: findings.notChecked,
      error: errorOf(checks),
    }
  }
  return new Accepted<P, C>(findings, checks)
}

/**
 * An accepted verdict, `parsed` and `claims` put into words when they are asked for. They are members of its own, so that a copy
 * has them, with one pair of getters for all: getters made anew for each verdict cost more than all of its checks.
 */
class Accepted<P, C> {
  readonly decision = 'accept'
  readonly format: string
  readonly authentic = true
  declare readonly parsed: P | null
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  declare readonly claims: Verified<C>
  readonly #findings: Findings<P, C>

  static readonly #parsed: PropertyDescriptor & ThisType<Accepted<unknown, unknown>> = {
    enumerable: true,
    get() {
      return this.#findings.parsed
    },
  }
  static readonly #claims: PropertyDescriptor & ThisType<Accepted<unknown, unknown>> = {
    enumerable: true,
    get() {
      return this.#findings.claims
    },
  }

  constructor(findings: Findings<P, C>, checks: readonly Check[]) {
    this.#findings = findings
    this.format = findings.format
    Object.defineProperty(this, 'parsed', Accepted.#parsed)
    this.checks = checks
    this.notChecked = findings.notChecked
    Object.defineProperty(this, 'claims', Accepted.#claims)
  }
}

/** The answer to an input that cannot be read: rejected for its form. */
export function rejectMalformed<P, C>(format: string, error: AttestError, notChecked: readonly string[]): Verdict<P, C> {
  const where = error.at === undefined ? '' : ` at ${error.at}`
  const checks = [check('format.well-formed', false, 'evidence and collateral that can be read', `${error.code}${where}: ${error.message}`)]
  const verdictError = { code: error.code, at: error.at ?? null, message: error.message }
  return { decision: 'reject', format, authentic: false, parsed: null, checks, notChecked, error: verdictError }
}

/** True for errors that the input caused. Ours are not answers about it. */
export function isInputError(error: unknown): error is AttestError {
  return error instanceof AttestError && error.code !== 'INTERNAL' && error.code !== 'USAGE'
}

/** The first rule that stands in the way, in the order of the exit codes (3, 4, 6, 5). */
function errorOf(checks: readonly Check[]): VerdictError | null {
  const exit = exitCodeOf(checks)
  const culprit = checks.find((c) => c.outcome !== 'pass' && c.allowed !== true && exitCodeOf([c]) === exit)
  if (culprit === undefined) return null
  return { code: codeOf(culprit), at: null, message: `${culprit.rule}: want ${culprit.want}; got ${culprit.got}` }
}

const FAILED: Partial<Record<Group, ErrorCode>> = {
  format: 'EVIDENCE_UNSUPPORTED',
  signature: 'SIGNATURE_INVALID',
  chain: 'CHAIN_INVALID',
  validity: 'COLLATERAL_EXPIRED',
  revocation: 'COLLATERAL_REVOKED',
}

function codeOf(culprit: Check): ErrorCode {
  const exit = exitCodeOf([culprit])
  const code = exit === 6 ? 'COLLATERAL_MISSING' : (FAILED[groupOf(culprit)] ?? 'EVIDENCE_REJECTED')
  return ERROR_CODES[code].exit === exit ? code : 'EVIDENCE_REJECTED'
}
