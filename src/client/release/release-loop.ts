import { unixSeconds } from '../../verify/appraise/index.ts'
import { AttestError, type ErrorCode } from '../../verify/errors.ts'
import { isFinal, type JobStateName, type JobView } from '../job-view.ts'
import { checkGoing, rest } from '../patience.ts'
import { checkShares } from './check-share.ts'
import { beginRelease, type ReleaseEvent, type ReleaseProgress, type ReleaserMeans, releaseShares } from './release-shares.ts'
import { type JobTerms, readTerms } from './terms.ts'

/** What a releaser decided about a job, and what came of it. */
export type ReleaseDecision =
  | { readonly kind: 'joined'; readonly jobId: string; readonly terms: JobTerms }
  | { readonly kind: 'step'; readonly jobId: string; readonly event: ReleaseEvent }
  | { readonly kind: 'released'; readonly jobId: string; readonly terms: JobTerms; readonly entries: readonly number[] }
  /** No key left, and none will for this job. */
  | { readonly kind: 'refused'; readonly jobId: string; readonly code: ErrorCode; readonly reason: string }
  /** The job has ended, or went on, without this process: nothing left to do. */
  | { readonly kind: 'passed'; readonly jobId: string; readonly state: JobStateName; readonly reason: string }
  /** It is tried again. */
  | { readonly kind: 'failed'; readonly jobId: string | null; readonly code: ErrorCode; readonly reason: string }

export interface ReleaseLoopOptions {
  /** True: handles what waits now, and ends. */
  readonly once: boolean
  readonly onDecision: (decision: ReleaseDecision) => void
}

const POLL_MS = 1000
/** Jobs that are worked on at once; more wait their turn. */
const MAX_AT_ONCE = 32
/** Failures of the way, not of the job. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['GATEWAY_UNREACHABLE', 'TLS_REJECTED', 'WITNESS_QUORUM', 'DISK_FULL'])

/**
 * Releases to every job that the grants allow: the grant is the permission, nobody is asked. Believes the gateway nothing but
 * that a job waits.
 *
 * It may be killed anywhere. What it joined and did not release then is left to its deadline, as the nonces are gone with it:
 * a releaser that started again cannot tell evidence that was made for it from older one. A job that still waits for releasers
 * is joined anew. Slots are used once: what was logged is in the log for the next start, too.
 */
export async function watchReleases(means: ReleaserMeans, { once, onDecision }: ReleaseLoopOptions): Promise<void> {
  const { client, keys, signal } = means
  const options = signal === undefined ? {} : { signal }
  await client.proveKey(keys.intentKey, options)
  const loop = new Loop(means, onDecision)
  for (;;) {
    checkGoing(signal)
    try {
      const waiting = await client.listReleases(options)
      loop.take(waiting.map((job) => job.jobId))
    } catch (error) {
      if (once || !isPassing(error)) throw error
      onDecision({ kind: 'failed', jobId: null, code: error.code, reason: error.message })
    }
    if (once) return loop.idle()
    await rest(POLL_MS, signal)
  }
}

class Loop {
  readonly #means: ReleaserMeans
  readonly #onDecision: (decision: ReleaseDecision) => void
  readonly #running = new Map<string, Promise<void>>()
  /** Jobs that are decided. They leave the gateway's list soon after. */
  #decided = new Set<string>()
  readonly #progress = new Map<string, ReleaseProgress>()

  constructor(means: ReleaserMeans, onDecision: (decision: ReleaseDecision) => void) {
    this.#means = means
    this.#onDecision = onDecision
  }

  take(waiting: readonly string[]): void {
    // What is not waiting any more need not be remembered.
    this.#decided = new Set(waiting.filter((jobId) => this.#decided.has(jobId)))
    for (const jobId of waiting) {
      if (this.#running.size >= MAX_AT_ONCE) return
      if (this.#decided.has(jobId) || this.#running.has(jobId)) continue
      this.#running.set(
        jobId,
        this.#handle(jobId).finally(() => this.#running.delete(jobId)),
      )
    }
  }

  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values())
  }

  /** Never rejects: whatever becomes of one job, the others go on. */
  async #handle(jobId: string): Promise<void> {
    try {
      await this.#release(jobId)
      this.#decide(jobId)
    } catch (error) {
      if (this.#means.signal?.aborted === true) return
      const known = error instanceof AttestError ? error : new AttestError('INTERNAL', 'the releaser failed', { cause: error })
      const { code, message: reason } = known
      if (isPassing(known)) return this.#onDecision({ kind: 'failed', jobId, code, reason })
      this.#decide(jobId)
      this.#onDecision({ kind: 'refused', jobId, code, reason })
    }
  }

  #decide(jobId: string): void {
    this.#decided.add(jobId)
    this.#progress.delete(jobId)
  }

  async #release(jobId: string): Promise<void> {
    const { client, keys, now, signal } = this.#means
    const options = signal === undefined ? {} : { signal }
    const terms = await readTerms(jobId, await client.releaseTerms(jobId, options))
    await checkShares(terms, keys, unixSeconds(now()))
    let progress = this.#progress.get(jobId)
    if (progress === undefined) {
      const { state } = await client.getJob(jobId, options)
      if (state !== 'awaiting-releasers') {
        const reason = 'another process of this releaser takes part in it, or an earlier one has'
        return this.#onDecision({ kind: 'passed', jobId, state, reason })
      }
      progress = beginRelease(terms, keys.thumbprint)
      this.#progress.set(jobId, progress)
      await client.joinJob(jobId, progress.nonces, options)
      this.#onDecision({ kind: 'joined', jobId, terms })
    }
    const job = await this.#untilAttested(jobId, progress)
    if (isFinal(job.state)) {
      const reason = job.transitions.at(-1)?.reason ?? ''
      return this.#onDecision({ kind: 'passed', jobId, state: job.state, reason })
    }
    const { logged } = await releaseShares(this.#means, terms, progress, (event) => this.#onDecision({ kind: 'step', jobId, event }))
    this.#onDecision({ kind: 'released', jobId, terms, entries: logged.map(({ entry }) => entry.index) })
  }

  /** A try that failed between log and keys finds the job where the others have taken it. */
  async #untilAttested(jobId: string, { logged }: ReleaseProgress): Promise<JobView> {
    const { client, signal } = this.#means
    for await (const job of client.watchJob(jobId, signal === undefined ? {} : { signal })) {
      if (job.state === 'attested' || (job.state === 'logged' && logged.size > 0) || isFinal(job.state)) return job
    }
    throw new AttestError('GATEWAY_UNREACHABLE', 'the gateway stopped telling about the job')
  }
}

function isPassing(error: unknown): error is AttestError {
  return error instanceof AttestError && PASSING.has(error.code)
}
