import type { Check } from '../verdict.ts'
import { instant, type Now } from './check.ts'

/** A span of time with both ends inside. Its text is made once, with the facts it belongs to: those outlive a call. */
export interface Window {
  /** Milliseconds since 1970. */
  readonly notBefore: number
  readonly notAfter: number
  readonly text: string
}

export function windowOf(notBefore: number, notAfter: number): Window {
  return { notBefore, notAfter, text: `${instant(notBefore)} to ${instant(notAfter)}` }
}

export function isWithin({ notBefore, notAfter }: Window, at: number): boolean {
  return notBefore <= at && at <= notAfter
}

/** A certificate outside of its window proves nothing. */
export function checkCertificateWindow(rule: Check['rule'], window: Window, now: Now): Check {
  return { rule, outcome: isWithin(window, now.ms) ? 'pass' : 'fail', want: window.text, got: now.text }
}

/** A document outside of its window was true at another time; what is true now is not known. */
export function checkDocumentWindow(rule: Check['rule'], window: Window, now: Now): Check {
  return { rule, outcome: isWithin(window, now.ms) ? 'pass' : 'unknown', want: window.text, got: now.text }
}
