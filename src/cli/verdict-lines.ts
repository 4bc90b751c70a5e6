import { ERROR_CODES } from '../verify/errors.ts'
import type { Forecast } from '../verify/evidence/forecast.ts'
import { type Check, exitCodeOf, type Verdict, type VerdictError } from '../verify/verdict.ts'
import { forecastLines } from './forecast-lines.ts'
import type { Paint } from './output.ts'

/** Claims that a person wants to see first. */
export interface Shown {
  readonly tee?: string
  readonly measurement?: string | null
  readonly simulated?: boolean
  readonly debug?: boolean
  readonly tcbStatus?: string
  readonly reportData?: string
  readonly product?: string | null
  readonly bindingGrade?: string
  readonly devices?: readonly ShownDevice[]
}

/** Of one device. */
export interface ShownDevice {
  readonly tee: string
  readonly mode?: string
  readonly driverVersion?: string
  readonly vbiosVersion?: string
  readonly biosVersion?: string
  readonly identity: { readonly hwmodel: string | null; readonly pdi: string | null } | null
}

/** When it was asked, and what comes. */
export interface Outlook {
  readonly at: Date
  readonly forecast: Forecast | null
  readonly isEarlyGiven: boolean
}

/** A verdict for people: the answer, what is proven, every rule, what nobody looked at, what comes, and what to do. */
export function verdictLines(verdict: Verdict<unknown, Shown>, { at, forecast, isEarlyGiven }: Outlook, paint: Paint): readonly string[] {
  const when = `${verdict.format} at ${at.toISOString().replace(/\.\d+Z$/, 'Z')}`
  const answer = verdict.decision === 'accept' ? paint.good(`accepted: ${when}`) : paint.bad(`rejected: ${when}`)
  const { checks, notChecked } = verdict
  return [
    answer,
    ...(verdict.decision === 'accept' ? provenLines(verdict.claims, paint) : reasonLines(verdict, verdict.error)),
    `checks: ${countText(checks)}`,
    ...checks.flatMap((c) => checkLines(c, paint)),
    ...(notChecked.length === 0 ? [] : ['not checked:', ...notChecked.map((n) => `  ${noteOf(n)}`)]),
    ...(forecast === null ? [] : forecastLines(forecast, at, isEarlyGiven, paint)),
    ...allowedLines(checks, paint),
  ]
}

/** Everything that stands in the way, before the list in which it could be overlooked. */
function reasonLines({ authentic, checks }: Verdict<unknown, Shown>, error: VerdictError | null): readonly string[] {
  const said = error?.message ?? ''
  const others = checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true && !said.startsWith(`${c.rule}: `))
  return [
    ...(error === null ? [] : [`  ${error.code}: ${error.message}`]),
    ...others.filter((c) => c.rule !== 'format.well-formed').map((c) => `  also: ${c.rule}: want ${c.want}; got ${c.got}`),
    ...(error === null ? [] : [`  fix: ${ERROR_CODES[error.code].fix}`]),
    ...(error?.code === 'COLLATERAL_MISSING'
      ? ['       To ask the vendor: sealgate collateral fetch certs FILE, then --collateral certs']
      : []),
    authentic ? 'proven: genuine evidence, which is not accepted for what stands above' : 'proven: nothing',
  ]
}

function provenLines(claims: Shown, paint: Paint): readonly string[] {
  const product = claims.product == null ? '' : `, ${claims.product}`
  const hasStatus = claims.tcbStatus !== undefined && claims.tcbStatus !== 'not-applicable'
  return [
    'proven:',
    ...(claims.simulated === true ? [paint.warn('  SIMULATED: signed under a root that you named; nothing is proven about hardware')] : []),
    `  tee          ${claims.tee ?? ''}${product}`,
    ...(hasStatus ? [`  tcb status   ${claims.tcbStatus}`] : []),
    ...(claims.debug === undefined ? [] : [`  debugging    ${claims.debug ? paint.warn('on') : 'off'}`]),
    `  measurement  ${claims.measurement ?? 'none'}`,
    ...(claims.reportData === undefined ? [] : [`  report data  ${reportDataText(claims.reportData)}`]),
    ...(claims.bindingGrade === undefined ? [] : [`  binding      ${claims.bindingGrade}`]),
    ...(claims.devices ?? []).map((device, i) => `  device ${`${i}`.padEnd(5)} ${deviceText(device)}`),
  ]
}

function deviceText({ tee, mode, driverVersion, vbiosVersion, biosVersion, identity }: ShownDevice): string {
  const facts = { mode, driver: driverVersion, vBIOS: vbiosVersion, BIOS: biosVersion, id: identity?.pdi ?? undefined }
  const named = Object.entries(facts).flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${value}`]))
  return [tee, ...(identity?.hwmodel == null ? [] : [identity.hwmodel]), ...named].join(', ')
}

function reportDataText(hex: string): string {
  return /^0*$/.test(hex) ? 'all zero: tied to no key and no question' : hex
}

function countText(checks: readonly Check[]): string {
  const count = (holds: (c: Check) => boolean): number => checks.filter(holds).length
  const parts = [
    [count((c) => c.outcome === 'pass'), 'passed'],
    [count((c) => c.outcome === 'fail'), 'failed'],
    [count((c) => c.outcome === 'unknown' && c.allowed !== true), 'unknown'],
    [count((c) => c.allowed === true), 'unknown but allowed'],
  ] as const
  return parts.flatMap(([n, word]) => (n === 0 ? [] : [`${n} ${word}`])).join(', ')
}

function checkLines(check: Check, paint: Paint): readonly string[] {
  const { rule, outcome, want, got } = check
  const plain = (text: string): string => (outcome === 'pass' ? paint.dim(text) : text)
  return [`  ${wordOf(check, paint)}  ${rule}`, plain(`             want ${want}`), plain(`             got  ${got}`)]
}

function wordOf({ outcome, allowed }: Check, paint: Paint): string {
  if (outcome === 'pass') return `${paint.good('pass')}   `
  return outcome === 'fail' ? paint.bad('fail   ') : allowed === true ? paint.warn('allowed') : paint.bad('unknown')
}

const NOTES: Readonly<Record<string, string>> = {
  nonce: 'nonce: the evidence may be old; ask with --nonce',
  measurement: 'measurement: any software may have started; ask with --measurement or --policy',
  policy: 'policy: not asked, since the evidence is rejected already',
  job: 'job: whichever it was made for',
  'event-log': 'event-log: what was started after the launch is not known; replay it with --event-log',
}

function noteOf(name: string): string {
  return NOTES[name] ?? name
}

function allowedLines(checks: readonly Check[], paint: Paint): readonly string[] {
  const groups = checks.filter((c) => c.allowed === true).map((c) => c.rule)
  return groups.length === 0 || exitCodeOf(checks) !== 0 ? [] : [paint.warn(`You allowed what could not be decided: ${groups.join(', ')}.`)]
}
