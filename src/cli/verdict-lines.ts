import { ERROR_CODES } from '../verify/errors.ts'
import { type Check, exitCodeOf, type Verdict, type VerdictError } from '../verify/verdict.ts'
import type { Paint } from './output.ts'

/** Claims that a person wants to see first. */
export interface Shown {
  readonly tee?: string
  readonly measurement?: string | null
  readonly simulated?: boolean
  readonly reportData?: string
  readonly product?: string | null
}

/** A verdict for people: the answer, what is proven, every rule, what nobody looked at, and what to do. */
export function verdictLines(verdict: Verdict<unknown, Shown>, at: Date, paint: Paint): readonly string[] {
  const when = `${verdict.format} at ${at.toISOString().replace(/\.\d+Z$/, 'Z')}`
  const answer = verdict.decision === 'accept' ? paint.good(`accepted: ${when}`) : paint.bad(`rejected: ${when}`)
  return [
    answer,
    ...(verdict.decision === 'accept' ? provenLines(verdict.claims, paint) : reasonLines(verdict.error)),
    'checks:',
    ...verdict.checks.flatMap((c) => checkLines(c, paint)),
    ...(verdict.notChecked.length === 0 ? [] : ['not checked:', ...verdict.notChecked.map((n) => `  ${noteOf(n)}`)]),
    ...allowedLines(verdict.checks, paint),
  ]
}

function reasonLines(error: VerdictError | null): readonly string[] {
  return error === null ? [] : [`  ${error.code}: ${error.message}`, `  fix: ${ERROR_CODES[error.code].fix}`]
}

function provenLines(claims: Shown, paint: Paint): readonly string[] {
  const product = claims.product == null ? '' : `, ${claims.product}`
  return [
    'proven:',
    ...(claims.simulated === true ? [paint.warn('  SIMULATED: signed under a root that you named; nothing is proven about hardware')] : []),
    `  tee          ${claims.tee ?? ''}${product}`,
    `  measurement  ${claims.measurement ?? 'none'}`,
    ...(claims.reportData === undefined ? [] : [`  report data  ${claims.reportData}`]),
  ]
}

function checkLines({ rule, outcome, allowed, want, got }: Check, paint: Paint): readonly string[] {
  if (outcome === 'pass')
    return [`  ${paint.good('pass')}     ${rule}`, paint.dim(`             want ${want}`), paint.dim(`             got  ${got}`)]
  const word = outcome === 'fail' ? paint.bad('fail   ') : allowed === true ? paint.warn('allowed') : paint.bad('unknown')
  return [`  ${word}  ${rule}`, `             want ${want}`, `             got  ${got}`]
}

const NOTES: Readonly<Record<string, string>> = {
  nonce: 'nonce: the evidence may be old; ask with --nonce',
  measurement: 'measurement: any software may have started; ask with --measurement or --policy',
  policy: 'policy: not asked, since the evidence is rejected already',
}

function noteOf(name: string): string {
  return NOTES[name] ?? name
}

function allowedLines(checks: readonly Check[], paint: Paint): readonly string[] {
  const groups = checks.filter((c) => c.allowed === true).map((c) => c.rule)
  return groups.length === 0 || exitCodeOf(checks) !== 0 ? [] : [paint.warn(`You allowed what could not be decided: ${groups.join(', ')}.`)]
}
