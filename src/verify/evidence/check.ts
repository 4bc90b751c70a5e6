import type { Check } from '../verdict.ts'

/** One rule that either holds or does not. */
export function check(rule: Check['rule'], holds: boolean, want: string, got: string): Check {
  return { rule, outcome: holds ? 'pass' : 'fail', want, got }
}

/** One rule that cannot be decided with what was given. */
export function unknown(rule: Check['rule'], want: string, got: string): Check {
  return { rule, outcome: 'unknown', want, got }
}

/** Text for a list of what is allowed. An empty list allows nothing, and says so. */
export function oneOf(list: readonly string[]): string {
  if (list.length === 0) return 'nothing is allowed'
  return list.length === 1 ? (list[0] as string) : `one of ${list.join(', ')}`
}

/** One rule that a value must stand in a list. No list: nothing is asked. */
export function memberChecks(rule: Check['rule'], list: readonly string[] | undefined, got: string | null): readonly Check[] {
  return list === undefined ? [] : [check(rule, got !== null && list.includes(got), oneOf(list), got ?? 'none')]
}

/** Bits that must be one and bits that must be zero, by name. */
export interface BitDemand<N extends string> {
  readonly required?: readonly N[]
  readonly forbidden?: readonly N[]
}

/** One rule for the bits that must be one, one for those that must be zero. A name that does not exist holds for neither. */
export function bitChecks<N extends string>(
  rule: Check['rule'],
  { required, forbidden }: BitDemand<N>,
  bits: Readonly<Partial<Record<N, boolean>>>,
): readonly Check[] {
  const demand = (list: readonly N[], want: boolean): Check => {
    const wrong = list.filter((name) => bits[name] !== want)
    const value = want ? 1 : 0
    const text = (names: readonly N[], bit: number): string => names.map((name) => `${name} ${bit}`).join(', ')
    return check(`${rule}-${want ? 'required' : 'forbidden'}`, wrong.length === 0, text(list, value), text(wrong, 1 - value) || 'as wanted')
  }
  return [...(required === undefined ? [] : [demand(required, true)]), ...(forbidden === undefined ? [] : [demand(forbidden, false)])]
}

/** RFC 3339 in UTC, whole seconds. @param ms - Milliseconds since 1970. */
export function instant(ms: number): string {
  const date = new Date(ms)
  const year = date.getUTCFullYear()
  // Windows of certificates are put into words wherever one is read: this way it takes a fifth of the time.
  if (!(year >= 1000 && year <= 9999)) return `${date.toISOString().slice(0, -'.000Z'.length)}Z`
  const day = `${year}-${pair(date.getUTCMonth() + 1)}-${pair(date.getUTCDate())}`
  return `${day}T${pair(date.getUTCHours())}:${pair(date.getUTCMinutes())}:${pair(date.getUTCSeconds())}Z`
}

function pair(n: number): string {
  return n < 10 ? `0${n}` : `${n}`
}

/** The instant of a verification: the number to compare with, and the text that every check about it shows. */
export interface Now {
  /** Milliseconds since 1970. */
  readonly ms: number
  readonly text: string
}

/** Of the last call: a gateway verifies many times a second, and every verdict tells the time. */
let latest: Now = { ms: 0, text: instant(0) }

export function nowAt(ms: number): Now {
  const isSameSecond = Math.floor(ms / 1000) === Math.floor(latest.ms / 1000)
  latest = { ms, text: isSameSecond ? latest.text : instant(ms) }
  return latest
}
