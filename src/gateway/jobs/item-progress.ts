/** How many items of an array job have ended, out of how many. */
export interface ItemProgress {
  readonly done: number
  readonly total: number
}

/**
 * What hosts tell of the progress of array jobs, for those who watch. Counts alone, in memory alone: a restart forgets them,
 * and nothing rests on them.
 */
export class ItemProgresses {
  readonly #jobs = new Map<string, ItemProgress>()

  /** @returns false for word that is not news: fewer items than before, more than there are, or of another number. */
  put(jobId: string, told: ItemProgress, total: number): boolean {
    const { done } = this.#jobs.get(jobId) ?? { done: 0 }
    if (told.total !== total || told.done <= done || told.done > total) return false
    this.#jobs.set(jobId, { done: told.done, total })
    return true
  }

  get(jobId: string): ItemProgress | null {
    return this.#jobs.get(jobId) ?? null
  }

  forget(jobId: string): void {
    this.#jobs.delete(jobId)
  }
}
