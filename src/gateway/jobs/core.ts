import type { Logger } from 'pino'
import { releaserText, sharesOf } from '../../verify/appraise/index.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Appraiser } from '../appraiser.ts'
import type { Uploads } from '../blobs/uploads.ts'
import type { Clock } from '../clock.ts'
import type { GatewayLimits } from '../config/config.ts'
import type { Events } from '../events/events.ts'
import type { Grants } from '../grants/grants.ts'
import type { Holds } from '../grants/holds.ts'
import type { HostRegistry } from '../hosts/registry.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { TransparencyLog } from '../log/index.ts'
import type { Database, Tx } from '../store/open-store.ts'
import type { WitnessedLog } from '../witnessing/witnessed-log.ts'
import { Deadlines } from './deadlines.ts'
import type { Endings, SignedEnding } from './endings.ts'
import { ItemProgresses } from './item-progress.ts'
import { endingDue, findJob, type JobFacts, loadFacts, type Step, takeStep, viewJob } from './records.ts'
import type { GatewayEnding } from './statements.ts'
import { isFinal, type JobState, ON_HOST, UNFINISHED } from './states.ts'
import { Watchers } from './watchers.ts'

export interface JobMeans {
  readonly db: Database
  readonly grants: Grants
  readonly holds: Holds
  readonly log: TransparencyLog
  /** The log as policies want to see it. */
  readonly witnessed: WitnessedLog
  readonly hosts: HostRegistry
  readonly appraiser: Appraiser
  readonly endings: Endings
  readonly events: Events
  readonly uploads: Pick<Uploads, 'erase'>
  readonly clock: Clock
  readonly limits: GatewayLimits
  readonly logger: Logger
}

/** When work on a deadline failed (disk full, clock set back), it is tried again after this. */
const RETRY_MS = 30_000

/** The life of every job: steps, endings and deadlines. Whoever changes a job does so under its lock. */
export class JobCore {
  readonly means: JobMeans
  readonly watchers: Watchers = new Watchers()
  readonly items: ItemProgresses = new ItemProgresses()
  readonly #locks = new KeyedLock()
  readonly #deadlines: Deadlines
  /** Called when a job may want a host, or a host a job. */
  onPlaceable: () => void = () => {}
  /** Called when a job has ended. */
  onEnded: () => void = () => {}
  /** Why a job left a host that did not show evidence. */
  onUnplaced: (jobId: string, host: string, why: string) => void = () => {}
  /** True for a job that has no host only because those that fit are taken. */
  isQueued: (jobId: string) => boolean = () => false

  constructor(means: JobMeans) {
    this.means = means
    this.#deadlines = new Deadlines(means.clock)
  }

  /** Takes up every unfinished job after a start. Hosts are away until they connect. */
  async resume(): Promise<void> {
    for (const jobId of await this.jobIds(UNFINISHED)) await this.#arm(jobId)
  }

  close(): void {
    this.#deadlines.close()
  }

  /** Runs alone among the changes of one job. */
  alone<T>(jobId: string, action: (facts: JobFacts) => Promise<T>): Promise<T> {
    return this.#locks.run(jobId, async () => {
      try {
        return await action(await this.facts(jobId))
      } catch (error) {
        if (!(error instanceof AttestError)) await this.#recover(jobId)
        throw error
      }
    })
  }

  /** After a failed write nobody knows what is stored: timers and watchers go by what is there. */
  async #recover(jobId: string): Promise<void> {
    try {
      await this.#arm(jobId)
      this.watchers.notify(jobId)
    } catch (error) {
      this.means.logger.error({ jobId, err: error }, 'a job cannot be read')
    }
  }

  facts(jobId: string): Promise<JobFacts> {
    return loadFacts(this.means.db, this.means.grants, jobId)
  }

  /** Jobs in one of these states, oldest first; those of one host, if one is named. */
  async jobIds(states: readonly JobState[], host?: string): Promise<readonly string[]> {
    const all = this.means.db.selectFrom('jobs').select('job_id').where('state', 'in', states).orderBy('created_at')
    const rows = await (host === undefined ? all : all.where('host', '=', host)).execute()
    return rows.map((row) => row.job_id)
  }

  /**
   * Takes a step; call it inside {@link alone}. Durable when it returns. A crash before leaves the job where it was.
   * @param check - What must hold in the very transaction of the step: throwing keeps the job where it is. Uses `tx` alone.
   */
  async step(jobId: string, from: JobState, step: Omit<Step, 'at'>, check?: (tx: Tx) => Promise<void>): Promise<void> {
    const { db, clock } = this.means
    await db.transaction().execute(async (tx) => {
      await check?.(tx)
      await takeStep(tx, jobId, from, { ...step, at: clock.now() })
    })
    await this.changed(jobId, step.to)
  }

  /**
   * Ends a job on the gateway's word; call it inside {@link alone}. Once the deadline of its release has passed there is one
   * end left: lost.
   */
  async endAlone(facts: JobFacts, wanted: GatewayEnding): Promise<void> {
    const { row } = facts
    const late = this.isLate(facts)
    const ending: GatewayEnding = late ? { kind: 'lost', code: 'JOB_LOST', reason: wanted.reason } : wanted
    await this.means.endings.endAlone(facts, ending)
    // An agent that still holds the job must let go of its keys.
    if (row.host !== null) this.means.hosts.send(row.host, { jobCancel: { jobId: row.job_id } })
    await this.changed(row.job_id, ending.kind)
  }

  /**
   * Ends a job of which a grant was revoked or held, or a dataset erased, before keys were released; call it inside {@link alone}. Where that
   * does not succeed (no witnesses for the release, say) the job can go nowhere all the same, and its deadline ends it.
   */
  async endWithdrawn(facts: JobFacts, { code, message: reason }: Pick<AttestError, 'code' | 'message'>): Promise<void> {
    try {
      await this.endAlone(facts, { kind: 'refused', code, reason })
    } catch (error) {
      const why = error instanceof AttestError ? { code: error.code, reason: error.message } : { err: error }
      this.means.logger.warn({ jobId: facts.row.job_id, ...why }, 'a job that was withdrawn is not ended yet')
    }
  }

  /** Ends a job on its agent's word; call it inside {@link alone}. */
  async endSigned(facts: JobFacts, ending: SignedEnding): Promise<void> {
    await this.means.endings.endSigned(facts, ending)
    await this.changed(facts.row.job_id, ending.to)
  }

  /** To be called after every committed change of state. */
  async changed(jobId: string, state: JobState): Promise<void> {
    this.means.logger.info({ jobId, state }, 'job')
    await this.#arm(jobId)
    this.watchers.notify(jobId)
    if (isFinal(state)) {
      this.items.forget(jobId)
      this.onEnded()
    }
    if (isFinal(state) || state === 'created') this.onPlaceable()
  }

  /** A host came or went: the deadlines of its jobs are others now. */
  async rearm(host: string): Promise<void> {
    for (const jobId of await this.jobIds(ON_HOST, host)) await this.#arm(jobId)
  }

  /** True once a release of the job should have had its ending. */
  isLate(facts: JobFacts): boolean {
    const due = endingDue(facts)
    return due !== null && this.means.clock.now() >= due
  }

  async #arm(jobId: string): Promise<void> {
    const { row, transitions } = await viewJob(this.means.db, jobId)
    const state = row.state as JobState
    if (isFinal(state)) return this.#deadlines.clear(jobId)
    const since = transitions.at(-1)?.at ?? row.created_at
    const at = await this.#deadlineOf(jobId, state, since, this.#isAway(row.host))
    this.#deadlines.set(jobId, at, () => this.#expire(jobId, state))
  }

  async #deadlineOf(jobId: string, state: JobState, since: number, away: boolean): Promise<number> {
    const { limits, clock } = this.means
    if (state === 'created') return since + limits.placementSeconds * 1000
    const facts = await this.facts(jobId)
    if (state === 'awaiting-releasers') return Date.parse(facts.contract.notAfter)
    const latest = endingDue(facts) ?? Number.POSITIVE_INFINITY
    if (state === 'released' || state === 'running') return latest
    if (away) return Math.min(latest, clock.now() + limits.reconnectSeconds * 1000)
    return Math.min(latest, since + (state === 'placed' ? limits.answerSeconds : limits.releaseSeconds) * 1000)
  }

  #expire(jobId: string, state: JobState): void {
    this.#locks
      .run(jobId, async () => {
        if ((await findJob(this.means.db, jobId)).state === state) await this.#timeOut(await this.facts(jobId))
      })
      .catch((error: unknown) => {
        this.means.logger.error({ jobId, err: error }, 'a deadline could not be acted on')
        this.#deadlines.set(jobId, this.means.clock.now() + RETRY_MS, () => this.#expire(jobId, state))
      })
  }

  /** What becomes of a job whose state lasted too long. */
  async #timeOut(facts: JobFacts): Promise<void> {
    const { row, state } = facts
    const away = this.#isAway(row.host)
    switch (state) {
      case 'awaiting-releasers':
        return this.endAlone(facts, { kind: 'refused', code: 'DEADLINE', reason: 'not every releaser joined while the contract held' })
      case 'created':
        // It has its place in the queue for as long as its contract is good for anything.
        if (this.isQueued(row.job_id) && this.means.clock.now() < Date.parse(facts.contract.notAfter)) {
          const again = this.means.clock.now() + this.means.limits.placementSeconds * 1000
          return this.#deadlines.set(row.job_id, again, () => this.#expire(row.job_id, state))
        }
        return this.endAlone(facts, { kind: 'refused', code: 'NO_HOST', reason: `no attested host fitted in time${whyNot(row.placement)}` })
      case 'placed': {
        const why = away ? 'went away' : 'did not answer'
        this.onUnplaced(row.job_id, row.host ?? '', why)
        await this.step(row.job_id, state, {
          to: 'created',
          reason: `host ${row.host} ${why}`,
          code: 'NO_HOST',
          set: { host: null, checkpoint: null },
        })
        // It may hold the job all the same, and no other one fits beside it until it lets go.
        this.means.hosts.send(row.host ?? '', { jobCancel: { jobId: row.job_id } })
        return
      }
      case 'attested':
        if (away) return this.endAlone(facts, { kind: 'refused', code: 'JOB_LOST', reason: 'the host went away; no keys were handed over' })
        return this.endAlone(facts, { kind: 'refused', code: 'DEADLINE', reason: tooLate(facts) })
      case 'logged':
        if (away) return this.endAlone(facts, { kind: 'lost', code: 'JOB_LOST', reason: 'the host went away before it got the keys' })
        return this.endAlone(facts, {
          kind: 'refused',
          code: 'DEADLINE',
          reason: 'all releases were logged, but not all keys came in time',
        })
      case 'released':
      case 'running':
        return this.endAlone(facts, { kind: 'lost', code: 'JOB_LOST', reason: 'no outcome came by the deadline' })
      case 'succeeded':
      case 'failed':
      case 'refused':
      case 'lost':
      case 'cancelled':
        return
    }
  }

  #isAway(host: string | null): boolean {
    return host === null || this.means.hosts.get(host) === null
  }
}

function tooLate({ contract, grants, releases }: JobFacts): string {
  const late = sharesOf(contract, grants)
    .map((s) => releaserText(s.releaser))
    .filter((r) => !releases.some((have) => have.releaser === r))
  return `nothing was released in time by ${late.join(', ')}`
}

function whyNot(placement: string): string {
  const reasons = JSON.parse(placement) as readonly { readonly host: string; readonly reasons: readonly string[] }[]
  return reasons.length === 0 ? ': none is known' : `: ${reasons.map((r) => `${r.host} (${r.reasons.join('; ')})`).join(', ')}`
}
