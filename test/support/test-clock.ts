import type { Clock } from '../../src/gateway/index.ts'

interface Timer {
  readonly at: number
  readonly action: () => void
}

/** Time that stands still until a test moves it. */
export class TestClock implements Clock {
  #now: number
  readonly #timers = new Set<Timer>()

  /** @param seconds - since the epoch. */
  constructor(seconds: number) {
    this.#now = seconds * 1000
  }

  now(): number {
    return this.#now
  }

  after(ms: number, action: () => void): () => void {
    const timer = { at: this.#now + ms, action }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Moves on and runs what has come due, in order. */
  advance(seconds: number): void {
    const end = this.#now + seconds * 1000
    for (;;) {
      const [next] = [...this.#timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.action()
    }
    this.#now = end
  }

  /** Sets the clock without running timers, as somebody at the machine might. */
  set(seconds: number): void {
    this.#now = seconds * 1000
  }
}
