const FIRST_MS = 250
const LONGEST_MS = 30_000

/**
 * Waiting times between attempts: exponential with full jitter, so that hosts that lost the same gateway do not come
 * back at the same moment. @param random - uniform in [0, 1).
 */
export class Backoff {
  readonly #random: () => number
  #attempt = 0

  constructor(random: () => number) {
    this.#random = random
  }

  /** Milliseconds to wait before the next attempt: at least half of the exponential step, at most 30 s. */
  next(): number {
    const step = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(this.#attempt++, 16))
    return Math.round(step / 2 + (step / 2) * this.#random())
  }

  /** Call when an attempt came through. */
  reset(): void {
    this.#attempt = 0
  }
}
