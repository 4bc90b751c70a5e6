import type { Clock } from '../clock.ts'

/** One timer per job: what happens when its present state lasts too long. */
export class Deadlines {
  readonly #clock: Clock
  readonly #cancels = new Map<string, () => void>()
  #closed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @param at - Milliseconds since the epoch. Replaces the job's earlier deadline. */
  set(jobId: string, at: number, action: () => void): void {
    this.clear(jobId)
    if (this.#closed) return
    const cancel = this.#clock.after(Math.max(0, at - this.#clock.now()), () => {
      this.#cancels.delete(jobId)
      action()
    })
    this.#cancels.set(jobId, cancel)
  }

  clear(jobId: string): void {
    this.#cancels.get(jobId)?.()
    this.#cancels.delete(jobId)
  }

  close(): void {
    this.#closed = true
    for (const jobId of [...this.#cancels.keys()]) this.clear(jobId)
  }
}
