import type { Revocation } from '../../verify/documents/grant.ts'
import type { Hold } from '../../verify/documents/hold.ts'
import { AttestError } from '../../verify/errors.ts'
import { heldWords } from '../grants/held.ts'
import { revokedWords } from '../grants/revoked.ts'
import type { JobCore } from './core.ts'
import type { JobFacts } from './records.ts'
import { isBeforeRelease, UNFINISHED, WITH_KEYS } from './states.ts'
import { withdrawalOf } from './withdrawn.ts'

/**
 * What a revocation, or a hold, of a grant does to jobs. It is in force with its row in the store: no step to `logged` or
 * `released` is taken after it, and no keys are sent. What is done here is the rest: jobs that can go nowhere any more end, and
 * where the owner asked for it, those that have their keys are told to stop.
 */
export class Revocations {
  readonly #core: JobCore
  #resumed: Promise<void> = Promise.resolve()

  constructor(core: JobCore) {
    this.#core = core
  }

  /**
   * Takes a grant back. When it returns, whatever its jobs were about to do is over, and no keys go to a host from then on.
   * @throws AttestError see {@link Grants.revoke}.
   */
  async revoke(jws: Uint8Array): Promise<Revocation> {
    const revocation = await this.#core.means.grants.revoke(jws)
    await this.#enforceAll(revocation.grant)
    return revocation
  }

  /**
   * Holds a grant, or ends that. When a hold returns it is as after a revocation; the end of one brings back no job that has ended.
   * @throws AttestError see {@link Holds.put}.
   */
  async hold(jws: Uint8Array): Promise<Hold> {
    const hold = await this.#core.means.holds.put(jws)
    if (hold.held) await this.#enforceAll(hold.grant)
    return hold
  }

  async #enforceAll(grant: string): Promise<void> {
    const { db } = this.#core.means
    const under = db.selectFrom('job_grants').innerJoin('jobs', 'jobs.job_id', 'job_grants.job_id').select('jobs.job_id')
    const rows = await under.where('job_grants.grant_digest', '=', grant).where('jobs.state', 'in', UNFINISHED).execute()
    // Together: a job that waits for its witnesses keeps no other from being told to stop.
    await Promise.all(rows.map(({ job_id }) => this.#enforce(job_id)))
  }

  /**
   * Finishes, soon, what a crash may have cut: the revocations and holds are there, their jobs may be too. Nobody has to wait for it, nor
   * for the witnesses that it may have to ask.
   */
  resume(): void {
    this.#resumed = this.#resume().catch((error: unknown) => {
      this.#core.means.logger.error({ err: error }, 'jobs under revoked or held grants could not be looked for')
    })
  }

  close(): Promise<void> {
    return this.#resumed
  }

  async #resume(): Promise<void> {
    const { db } = this.#core.means
    const revoked = db.selectFrom('revocations').select('grant_digest')
    const withdrawn = revoked.union(db.selectFrom('holds').select('grant_digest').where('held', '=', 1))
    const jobs = db.selectFrom('jobs').innerJoin('job_grants', 'job_grants.job_id', 'jobs.job_id')
    const under = jobs.where('job_grants.grant_digest', 'in', withdrawn).where('jobs.state', 'in', UNFINISHED)
    const rows = await under.select('jobs.job_id').distinct().execute()
    await Promise.all(rows.map(({ job_id }) => this.#enforce(job_id)))
  }

  /** Tells the host of a job to stop it, also again, where the owner of one of its grants has asked for that. */
  async stop(jobId: string): Promise<void> {
    await this.#core.alone(jobId, (facts) => this.#stop(facts))
  }

  /** Why a job was cancelled, for people: the owner's wish where there was one, then what the host says. */
  async reasonOfStop({ grants }: JobFacts, reason: string): Promise<string> {
    const wish = await this.wishToStop(grants)
    return wish === null ? reason : `${wish} and asked that its jobs stop: ${reason}`
  }

  /** Why jobs of these grants are to stop; null: they may go on. */
  async wishToStop(grants: JobFacts['grants']): Promise<string | null> {
    const revoked = await this.#core.means.grants.stopping(grants)
    if (revoked.size > 0) return revokedWords(revoked)
    const held = await this.#core.means.holds.stopping(grants)
    return held.size > 0 ? heldWords(held) : null
  }

  /** Never throws for the job's sake: what the owner said stands, whatever becomes of the job. */
  async #enforce(jobId: string): Promise<void> {
    const { db, logger } = this.#core.means
    try {
      await this.#core.alone(jobId, async (facts) => {
        const withdrawn = await withdrawalOf(db, facts)
        if (withdrawn !== null && isBeforeRelease(facts.state)) return this.#core.endWithdrawn(facts, withdrawn)
        await this.#stop(facts)
      })
    } catch (error) {
      const why = error instanceof AttestError ? { code: error.code, reason: error.message } : { err: error }
      logger.error({ jobId, ...why }, 'a revocation or hold could not be carried out on a job')
    }
  }

  /** The host signs how the job ended, so the job ends when that comes. */
  async #stop({ row, state, grants }: JobFacts): Promise<void> {
    if (!WITH_KEYS.includes(state) || row.host === null) return
    if ((await this.wishToStop(grants)) === null) return
    this.#core.means.hosts.send(row.host, { jobCancel: { jobId: row.job_id } })
    this.#core.watchers.notify(row.job_id)
  }
}
