import type { Clock } from '../clock.ts'

interface Trouble {
  readonly failures: number
  /** Milliseconds since the epoch. */
  readonly until: number
}

const FIRST_MS = 1000
const LONGEST_MS = 15 * 60 * 1000
/** A server may ask for more than we would wait by ourselves, but not for ever. */
const LONGEST_WISH_MS = 24 * 3600 * 1000

/** Leaves a server alone that asked for it or does not answer: longer each time, and for as long as it asks. */
export class BackOff {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #longestMs: number
  readonly #troubles = new Map<string, Trouble>()

  /**
   * @param random - from 0 to 1.
   * @param longestMs - what it waits at most by itself.
   */
  constructor(clock: Clock, random: () => number, longestMs: number = LONGEST_MS) {
    this.#clock = clock
    this.#random = random
    this.#longestMs = longestMs
  }

  /** @returns when it may be asked again (milliseconds since the epoch), or null: now. */
  blockedUntil(origin: string): number | null {
    const until = this.#troubles.get(origin)?.until ?? 0
    return until > this.#clock.now() ? until : null
  }

  succeeded(origin: string): void {
    this.#troubles.delete(origin)
  }

  /** @param wishMs - what the server asked for. */
  failed(origin: string, wishMs: number | null): void {
    const before = this.#troubles.get(origin)?.failures ?? 0
    // Requests that were under way together fail together: that is one failure.
    const failures = Math.max(1, this.blockedUntil(origin) === null ? before + 1 : before)
    const span = Math.min(this.#longestMs, FIRST_MS * 2 ** Math.min(failures - 1, 20))
    // Half of it by chance, so that gateways which failed together do not come back together.
    const own = span / 2 + (span / 2) * this.#random()
    const wait = Math.max(own, Math.min(wishMs ?? 0, LONGEST_WISH_MS))
    this.#troubles.set(origin, { failures, until: Math.max(this.blockedUntil(origin) ?? 0, this.#clock.now() + wait) })
  }
}

/**
 * Retry-After in milliseconds: seconds or an HTTP date (RFC 9110 section 10.2.3). Null for anything else.
 */
export function parseRetryAfter(value: string | undefined, now: number): number | null {
  if (value === undefined) return null
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000
  const isDate = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/.test(value)
  const at = isDate ? Date.parse(value) : Number.NaN
  return Number.isNaN(at) ? null : Math.max(0, at - now)
}
