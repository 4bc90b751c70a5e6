import { equal } from '../../verify/bytes/bytes.ts'
import { CONTRACT_TYP, parseContract } from '../../verify/documents/contract.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import { refuseErased } from '../erasure/erased.ts'
import { refuseHeld } from '../grants/held.ts'
import { refuseRevoked } from '../grants/revoked.ts'
import type { Caller } from '../server/caller.ts'
import type { JobRow } from '../store/tables.ts'
import { admitJob, givenNonce, type NewJob } from './admit.ts'
import { JobCore, type JobMeans } from './core.ts'
import { Erasures } from './erasures.ts'
import { HostReports } from './host-reports.ts'
import { Joins } from './joins.ts'
import { LateWitnessing } from './late-witnessing.ts'
import { Placer } from './placer.ts'
import { insertJob, type JobView, viewJob } from './records.ts'
import { Releases } from './releases.ts'
import { Revocations } from './revocations.ts'
import { isFinal, type JobState } from './states.ts'

/** Everything about jobs: what clients ask for, what hosts report, and what time does. */
export class Jobs {
  readonly #core: JobCore
  readonly #placer: Placer
  readonly #late: LateWitnessing
  readonly joins: Joins
  readonly releases: Releases
  readonly reports: HostReports
  readonly revocations: Revocations
  readonly erasures: Erasures

  constructor(means: JobMeans) {
    this.#core = new JobCore(means)
    this.#placer = new Placer(this.#core)
    this.joins = new Joins(this.#core)
    this.releases = new Releases(this.#core)
    this.revocations = new Revocations(this.#core)
    this.erasures = new Erasures(this.#core)
    this.reports = new HostReports(this.#core, this.#placer, this.releases, { revocations: this.revocations, erasures: this.erasures })
    this.#late = new LateWitnessing(this.#core)
    this.#core.isQueued = (jobId) => this.#placer.isQueued(jobId)
    this.#core.onEnded = () => {
      this.#late.poke()
      this.erasures.poke()
    }
    this.#core.onPlaceable = () => this.#placer.poke()
    this.#core.onUnplaced = (jobId, host, why) => this.#placer.declined(jobId, host, why)
  }

  /** Takes up the jobs of an earlier run. */
  async resume(): Promise<void> {
    await this.#core.resume()
    this.revocations.resume()
    this.erasures.poke()
    this.#late.poke()
    this.#placer.poke()
  }

  async close(): Promise<void> {
    this.#core.close()
    await this.revocations.close()
    await this.erasures.close()
    await this.#placer.close()
    await this.#late.close()
  }

  /** A host may take jobs now. */
  hostReady(): void {
    this.#placer.poke()
  }

  /**
   * Creates a job. The same request again answers the same job.
   * @throws AttestError see {@link admitJob}; `ALREADY_EXISTS` for another job under this id.
   */
  async create(caller: Caller, request: NewJob): Promise<JobView> {
    const { db, grants, witnessed, clock } = this.#core.means
    const contract = await verifyFlattenedJws(request.contractJws, CONTRACT_TYP, 'contract')
    const { jobId } = parseContract(contract.payload)
    const existing = await db.selectFrom('jobs').selectAll().where('job_id', '=', jobId).executeTakeFirst()
    if (existing !== undefined) {
      await this.#requireSame(caller, existing, contract.digest, request)
      return viewJob(db, jobId)
    }
    await this.#checkQueue(caller)
    const now = clock.now()
    const desk = { db, grants, log: witnessed.terms, now: Math.floor(now / 1000) }
    const admitted = await admitJob(desk, request)
    const first = admitted.grants.every((grant) => grant.nonce !== null) ? 'created' : 'awaiting-releasers'
    const row: JobRow = {
      job_id: jobId,
      digest: admitted.digest,
      contract: request.contractJws,
      creator: caller.id,
      state: first,
      host: null,
      checkpoint: null,
      evidence: null,
      appraisal: null,
      endorsements: '[]',
      ear: null,
      placement: '[]',
      created_at: now,
    }
    // Durable now: the job, before anybody hears of it. A crash before costs the submitter this one call.
    await db.transaction().execute(async (tx) => {
      const taken = await tx.selectFrom('jobs').select('job_id').where('job_id', '=', jobId).executeTakeFirst()
      if (taken !== undefined) throw alreadyExists(jobId)
      await refuseRevoked(tx, request.grantIds)
      await refuseHeld(tx, request.grantIds)
      await refuseErased(tx, admitted.datasets)
      await insertJob(tx, row, admitted, { to: first, reason: 'contract and grants were accepted', at: now })
    })
    await this.#core.changed(jobId, first)
    return viewJob(db, jobId)
  }

  /**
   * Cancels a job. Before keys are with the host it ends at once; after that its host is asked to stop, and the job ends with
   * the outcome that the host signs.
   */
  async cancel(jobId: string): Promise<JobView> {
    await this.#core.alone(jobId, async (facts) => {
      if (isFinal(facts.state)) return
      if (facts.state === 'released' || facts.state === 'running') {
        this.#core.means.hosts.send(facts.row.host ?? '', { jobCancel: { jobId } })
        return
      }
      await this.#core.endAlone(facts, { kind: 'cancelled', code: 'CANCELLED', reason: 'cancelled before keys were released' })
    })
    return viewJob(this.#core.means.db, jobId)
  }

  /**
   * The host of a job that serves now: it runs, and nobody whose data it has wants it to stop.
   * @throws AttestError `NOT_FOUND`, `JOB_CONFLICT`, `DATASET_ERASED`.
   */
  async servingHost(jobId: string): Promise<string> {
    const { row, state, grants } = await this.#core.facts(jobId)
    if (state !== 'running' || row.host === null) throw new AttestError('JOB_CONFLICT', `the job is ${state}`, { at: 'job.state' })
    if ((await this.revocations.wishToStop(grants)) !== null || (await this.erasures.wishToStop(jobId))) {
      throw new AttestError('JOB_CONFLICT', 'an owner has asked that the job stop', { at: 'job.state' })
    }
    return row.host
  }

  /** Resolves when {@link servingHost} may answer otherwise, or the signal fires. Ask for it before asking that. */
  changed(jobId: string, signal: AbortSignal): Promise<void> {
    return this.#core.watchers.next(jobId, signal)
  }

  /** The job now, after each change and each item, and a last time in its final state. */
  async *watch(jobId: string, signal: AbortSignal): AsyncGenerator<JobView> {
    let seen = 0
    let done = 0
    while (!signal.aborted) {
      const changed = this.#core.watchers.next(jobId, signal)
      const view = await viewJob(this.#core.means.db, jobId)
      const items = this.#core.items.get(jobId)
      if (view.transitions.length > seen || (items?.done ?? 0) > done) yield { ...view, items }
      seen = view.transitions.length
      done = items?.done ?? 0
      if (isFinal(view.row.state as JobState)) return
      await changed
    }
  }

  /** Back-pressure: whoever has this many jobs waiting must let some of them find a host first. */
  async #checkQueue(caller: Caller): Promise<void> {
    const { db, limits } = this.#core.means
    const { waiting } = await db
      .selectFrom('jobs')
      .select((eb) => eb.fn.countAll<number>().as('waiting'))
      .where('creator', '=', caller.id)
      .where('state', '=', 'created')
      .executeTakeFirstOrThrow()
    if (waiting < limits.waitingJobs) return
    throw new AttestError('LIMIT_EXCEEDED', `${waiting} of your jobs wait for a host; at most ${limits.waitingJobs} may`, { at: 'jobs' })
  }

  async #requireSame(caller: Caller, row: JobRow, digest: string, { grantIds, nonces }: NewJob): Promise<void> {
    const { db } = this.#core.means
    const links = await db.selectFrom('job_grants').selectAll().where('job_id', '=', row.job_id).execute()
    const sameGrants =
      links.length === grantIds.length &&
      links.every((link) => {
        const at = grantIds.indexOf(link.grant_digest)
        const nonce = givenNonce(nonces[at])
        // One that its releaser brought meanwhile was not in the request.
        return at >= 0 && (nonce === null || (link.nonce !== null && equal(nonce, link.nonce)))
      })
    if (row.creator !== caller.id || row.digest !== digest || !sameGrants) throw alreadyExists(row.job_id)
  }
}

function alreadyExists(jobId: string): AttestError {
  return new AttestError('ALREADY_EXISTS', `there is another job ${jobId}`, { at: 'contract.jobId' })
}
