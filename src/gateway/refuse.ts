import { AttestError, type ErrorCode } from '../verify/errors.ts'
import { accepts, type Check } from '../verify/verdict.ts'

const MAX_TEXT = 480

/** The checks that do not hold, for people: rule, what it wanted and what it found. */
export function describeFailures(checks: readonly Check[]): string {
  const bad = checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true)
  const text = bad.map((c) => `${c.rule}: want ${c.want}, got ${c.got}`).join('; ')
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
}

/** @throws AttestError `code` naming every check that does not hold. No check at all is a refusal too. */
export function refuseUnless(checks: readonly Check[], code: ErrorCode, at: string): void {
  if (!accepts(checks)) throw new AttestError(code, describeFailures(checks) || 'nothing was checked', { at })
}
