import type { Check } from '../verdict.ts'

/** One rule that either holds or does not. */
export function check(rule: Check['rule'], holds: boolean, want: string, got: string): Check {
  return { rule, outcome: holds ? 'pass' : 'fail', want, got }
}

/** One rule that cannot be decided with what was given. */
export function unknown(rule: Check['rule'], want: string, got: string): Check {
  return { rule, outcome: 'unknown', want, got }
}

/** RFC 3339 in UTC, whole seconds. @param ms - Milliseconds since 1970. */
export function instant(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -'.000Z'.length)}Z`
}

/** The instant of a verification: the number to compare with, and the text that every check about it shows. */
export interface Now {
  /** Milliseconds since 1970. */
  readonly ms: number
  readonly text: string
}

export function nowAt(ms: number): Now {
  return { ms, text: instant(ms) }
}
