/** A job that waits for a host, and who asked for it. */
export interface WaitingJob {
  readonly jobId: string
  readonly creator: string
}

/**
 * The order in which waiting jobs are looked at: whoever has the fewest jobs on hosts comes next, counting those that are ahead
 * here, and among equals whose job is the oldest. So nobody waits behind another's hundred jobs.
 * @param waiting - Oldest first.
 * @param running - Jobs on hosts by who asked for them.
 */
export function fairOrder(waiting: readonly WaitingJob[], running: ReadonlyMap<string, number>): readonly string[] {
  const ahead = new Map(running)
  const ranked = waiting.map(({ creator, jobId }) => {
    const rank = ahead.get(creator) ?? 0
    ahead.set(creator, rank + 1)
    return { jobId, rank }
  })
  // Stable: the oldest first among equals.
  return ranked.sort((a, b) => a.rank - b.rank).map(({ jobId }) => jobId)
}
