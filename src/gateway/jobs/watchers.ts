/** Wakes those who wait for a job to change. */
export class Watchers {
  readonly #waiting = new Map<string, Set<() => void>>()

  notify(jobId: string): void {
    const wakes = this.#waiting.get(jobId)
    this.#waiting.delete(jobId)
    for (const wake of wakes ?? []) wake()
  }

  /** Resolves at the next change or when the signal fires. Ask for it before reading the job, so that no change is missed. */
  next(jobId: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wakes = this.#waiting.get(jobId) ?? new Set()
      this.#waiting.set(jobId, wakes)
      const wake = (): void => {
        signal.removeEventListener('abort', wake)
        wakes.delete(wake)
        if (wakes.size === 0 && this.#waiting.get(jobId) === wakes) this.#waiting.delete(jobId)
        resolve()
      }
      wakes.add(wake)
      signal.addEventListener('abort', wake, { once: true })
      if (signal.aborted) wake()
    })
  }
}
