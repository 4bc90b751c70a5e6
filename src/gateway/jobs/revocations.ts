import type { Revocation } from '../../verify/documents/grant.ts'
import { AttestError } from '../../verify/errors.ts'
import { revokedWords } from '../grants/revoked.ts'
import type { JobCore } from './core.ts'
import type { JobFacts } from './records.ts'
import { isBeforeRelease, UNFINISHED, WITH_KEYS } from './states.ts'

/**
 * What a revocation does to jobs. It is in force with its row in the store: no step to `logged` or `released` is taken after
 * it, and no keys are sent. What is done here is the rest: jobs that can go nowhere any more end, and where the owner asked
 * for it, those that have their keys are told to stop.
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
    const { db, grants } = this.#core.means
    const revocation = await grants.revoke(jws)
    const under = db.selectFrom('job_grants').innerJoin('jobs', 'jobs.job_id', 'job_grants.job_id').select('jobs.job_id')
    const rows = await under.where('job_grants.grant_digest', '=', revocation.grant).where('jobs.state', 'in', UNFINISHED).execute()
    // Together: a job that waits for its witnesses keeps no other from being told to stop.
    await Promise.all(rows.map(({ job_id }) => this.#enforce(job_id)))
    return revocation
  }

  /**
   * Finishes, soon, what a crash may have cut: the revocations are there, their jobs may be too. Nobody has to wait for it, nor
   * for the witnesses that it may have to ask.
   */
  resume(): void {
    this.#resumed = this.#resume().catch((error: unknown) => {
      this.#core.means.logger.error({ err: error }, 'jobs under revoked grants could not be looked for')
    })
  }

  close(): Promise<void> {
    return this.#resumed
  }

  async #resume(): Promise<void> {
    const { db } = this.#core.means
    const revoked = db
      .selectFrom('jobs')
      .innerJoin('job_grants', 'job_grants.job_id', 'jobs.job_id')
      .innerJoin('revocations', 'revocations.grant_digest', 'job_grants.grant_digest')
    const rows = await revoked.select('jobs.job_id').distinct().where('jobs.state', 'in', UNFINISHED).execute()
    await Promise.all(rows.map(({ job_id }) => this.#enforce(job_id)))
  }

  /** Tells the host of a job to stop it, also again, where the owner of one of its grants has asked for that. */
  async stop(jobId: string): Promise<void> {
    await this.#core.alone(jobId, (facts) => this.#stop(facts))
  }

  /** Why a job was cancelled, for people: the owner's wish where there was one, then what the host says. */
  async reasonOfStop({ grants }: JobFacts, reason: string): Promise<string> {
    const stopping = await this.#core.means.grants.stopping(grants)
    return stopping.size === 0 ? reason : `${revokedWords(stopping)} and asked that its jobs stop: ${reason}`
  }

  /** Never throws for the job's sake: the revocation stands, whatever becomes of the job. */
  async #enforce(jobId: string): Promise<void> {
    const { grants, logger } = this.#core.means
    try {
      await this.#core.alone(jobId, async (facts) => {
        const revoked = await grants.revoked(facts.grants.map((g) => g.digest))
        if (isBeforeRelease(facts.state)) return this.#core.endWithdrawn(facts, { code: 'GRANT_DENIED', message: revokedWords(revoked) })
        await this.#stop(facts)
      })
    } catch (error) {
      const why = error instanceof AttestError ? { code: error.code, reason: error.message } : { err: error }
      logger.error({ jobId, ...why }, 'a revocation could not be carried out on a job')
    }
  }

  /** The host signs how the job ended, so the job ends when that comes. */
  async #stop({ row, state, grants }: JobFacts): Promise<void> {
    if (!WITH_KEYS.includes(state) || row.host === null) return
    if ((await this.#core.means.grants.stopping(grants)).size === 0) return
    this.#core.means.hosts.send(row.host, { jobCancel: { jobId: row.job_id } })
  }
}
