import { claimOf, type JobClaim } from '../../verify/appraise/index.ts'
import { DEFAULT_HPKE_SUITE, HPKE_SUITES, type HpkeSuiteName } from '../../verify/documents/keys.ts'
import type { Policy } from '../../verify/documents/policy.ts'
import { AttestError } from '../../verify/errors.ts'
import type { JobCore } from './core.ts'
import { fairOrder } from './fair-order.ts'
import { type Candidate, choosePlace, type PlacementReason } from './placement.ts'
import type { JobFacts } from './records.ts'
import { ON_HOST } from './states.ts'

/** Jobs whose witnesses did not answer, and hosts that had no room after all, are looked at again after this. */
const RETRY_MS = 2_000

/** The suite that every policy allows, the stronger first. Without one the release will be refused, and says why. */
function sharedSuite(policies: readonly Policy[]): HpkeSuiteName {
  return HPKE_SUITES.find((suite) => policies.every((p) => p.suites.includes(suite))) ?? DEFAULT_HPKE_SUITE
}

/** Finds hosts for jobs and offers them. One round at a time, so that no host is taken twice. */
export class Placer {
  readonly #core: JobCore
  /** Per job: hosts that turned it down, and why. Forgotten at a restart, when they are asked again. */
  readonly #declined = new Map<string, Map<string, string>>()
  #round: Promise<void> | null = null
  #again = false
  #closed = false
  #cancelRetry: () => void = () => {}
  /** What unfinished jobs take of their hosts; follows from contract and headers, so it can be found again at any time. */
  readonly #claims = new Map<string, JobClaim>()
  /** Hosts that turned a job down for want of room, and when they may be asked again. */
  readonly #resting = new Map<string, number>()
  /** In this round: hosts for which an earlier job waits. Later ones may not take their room away, else a large job never comes to its turn. */
  #kept = new Set<string>()
  /** Jobs that wait only for room on a host that fits. */
  readonly #queued = new Set<string>()

  constructor(core: JobCore) {
    this.#core = core
  }

  /** Looks for places soon. */
  poke(): void {
    this.#again = true
    this.#round ??= this.#rounds()
  }

  /** Looks no more. Resolves when no round is under way. */
  async close(): Promise<void> {
    this.#closed = true
    this.#cancelRetry()
    while (this.#round !== null) await this.#round
  }

  declined(jobId: string, host: string, why: string): void {
    const hosts = this.#declined.get(jobId) ?? new Map<string, string>()
    this.#declined.set(jobId, hosts.set(host, why))
  }

  /** A host has less room than we thought. It is asked again soon. */
  rest(host: string): void {
    this.#resting.set(host, this.#core.means.clock.now() + RETRY_MS)
    this.#pokeLater()
  }

  /** Sends the offer of a placed job, also again: the agent answers the same offer the same way. */
  offer({ row, nonces, policies }: JobFacts): void {
    if (row.host === null || row.checkpoint === null) return
    const jobOffer = {
      jobId: row.job_id,
      contractJws: row.contract,
      ownerNonces: [...nonces],
      checkpoint: row.checkpoint,
      kemSuite: sharedSuite(policies.map((p) => p.document)),
    }
    this.#core.means.hosts.send(row.host, { jobOffer })
  }

  async #rounds(): Promise<void> {
    while (this.#again) {
      this.#again = false
      this.#kept = new Set()
      for (const jobId of await this.#waiting()) {
        await this.#place(jobId).catch((error: unknown) => {
          this.#core.means.logger.error({ jobId, err: error }, 'placement failed')
        })
      }
    }
    this.#round = null
  }

  async #waiting(): Promise<readonly string[]> {
    try {
      const { db } = this.#core.means
      const waiting = await db
        .selectFrom('jobs')
        .select(['job_id', 'creator'])
        .where('state', '=', 'created')
        .orderBy('created_at')
        .execute()
      const placed = await db.selectFrom('jobs').select('creator').where('state', 'in', ON_HOST).execute()
      const running = new Map<string, number>()
      for (const { creator } of placed) running.set(creator, (running.get(creator) ?? 0) + 1)
      return fairOrder(
        waiting.map(({ job_id, creator }) => ({ jobId: job_id, creator })),
        running,
      )
    } catch (error) {
      this.#core.means.logger.error({ err: error }, 'placement failed')
      return []
    }
  }

  async #place(jobId: string): Promise<void> {
    const { db, clock } = this.#core.means
    await this.#core.alone(jobId, async (facts) => {
      if (facts.state !== 'created') return this.#forget(jobId)
      const declined = this.#declined.get(jobId) ?? new Map<string, string>()
      const policies = facts.policies.map((p) => p.document)
      const request = { contract: facts.contract, claim: this.#claimOf(facts), policies, declined, at: new Date(clock.now()) }
      const { chosen, hopeless, reasons, awaited } = choosePlace(request, await this.#candidates())
      this.#queued.delete(jobId)
      if (chosen === null && awaited.length > 0) {
        this.#queued.add(jobId)
        for (const host of awaited) this.#kept.add(host)
      }
      const placement = encodeReasons(reasons)
      if (chosen === null) await db.updateTable('jobs').set({ placement }).where('job_id', '=', jobId).execute()
      if (chosen !== null) {
        // What goes into the nonce of the job: the client and the enclave want to see it cosigned.
        const checkpoint = await this.#core.means.witnessed.checkpoint(policies).catch((error: unknown) => this.#wait(error))
        if (checkpoint instanceof AttestError) {
          const told = reasons.map((r) => (r.host === chosen ? { ...r, chosen: false, reasons: [...r.reasons, checkpoint.message] } : r))
          await db
            .updateTable('jobs')
            .set({ placement: encodeReasons(told) })
            .where('job_id', '=', jobId)
            .execute()
          return
        }
        await this.#core.step(jobId, 'created', {
          to: 'placed',
          reason: `host ${chosen} was chosen`,
          set: { host: chosen, checkpoint, placement },
        })
        this.offer(await this.#core.facts(jobId))
      } else if (hopeless) {
        const why = reasons.map((r) => `${r.host}: ${r.reasons.join('; ')}`).join(' | ')
        await this.#core.endAlone(facts, { kind: 'refused', code: 'NO_HOST', reason: `no host fits. ${why}` })
        this.#forget(jobId)
      }
    })
  }

  /** Without its quorum a job waits where it is, and is tried again soon. */
  #wait(error: unknown): AttestError {
    if (!(error instanceof AttestError) || error.code !== 'WITNESS_QUORUM') throw error
    this.#pokeLater()
    return error
  }

  #pokeLater(): void {
    this.#cancelRetry()
    if (!this.#closed) this.#cancelRetry = this.#core.means.clock.after(RETRY_MS, () => this.poke())
  }

  async #candidates(): Promise<readonly Candidate[]> {
    const { db, hosts, clock } = this.#core.means
    const present = await this.#present()
    const known = await db.selectFrom('hosts').selectAll().execute()
    const away = known.filter((row) => hosts.get(row.name) === null)
    const pauseOf = (name: string): string | null => {
      if ((this.#resting.get(name) ?? 0) > clock.now()) return 'had no room when it was asked; it is asked again soon'
      return this.#kept.has(name) ? 'kept for a job that came first' : null
    }
    return [
      ...hosts.list().map(({ maxJobs, memoryBytes, ...host }) => ({
        ...host,
        online: true,
        room: { jobs: maxJobs, memoryBytes },
        jobs: present.get(host.name) ?? [],
        pause: pauseOf(host.name),
      })),
      ...away.map((row) => ({
        name: row.name,
        online: false,
        runners: JSON.parse(row.runners) as string[],
        isolations: null,
        room: { jobs: 1, memoryBytes: Number.MAX_SAFE_INTEGER },
        jobs: present.get(row.name) ?? [],
        pause: null,
        claims: null,
      })),
    ]
  }

  /** What the jobs on each host take. */
  async #present(): Promise<ReadonlyMap<string, readonly JobClaim[]>> {
    const rows = await this.#core.means.db.selectFrom('jobs').select(['job_id', 'host']).where('state', 'in', ON_HOST).execute()
    const onHosts = new Set(rows.map((row) => row.job_id))
    for (const jobId of this.#claims.keys()) if (!onHosts.has(jobId)) this.#claims.delete(jobId)
    const present = new Map<string, JobClaim[]>()
    for (const { job_id, host } of rows) {
      const claim = this.#claims.get(job_id) ?? this.#claimOf(await this.#core.facts(job_id))
      this.#claims.set(job_id, claim)
      present.set(host ?? '', [...(present.get(host ?? '') ?? []), claim])
    }
    return present
  }

  #claimOf({ contract, headers }: JobFacts): JobClaim {
    return claimOf(
      contract,
      headers.reduce((sum, { document }) => sum + document.plaintextSize, 0),
    )
  }

  isQueued(jobId: string): boolean {
    return this.#queued.has(jobId)
  }

  #forget(jobId: string): void {
    this.#queued.delete(jobId)
    this.#declined.delete(jobId)
  }
}

function encodeReasons(reasons: readonly PlacementReason[]): string {
  return JSON.stringify(reasons)
}
