import { DEFAULT_HPKE_SUITE, HPKE_SUITES, type HpkeSuiteName } from '../../verify/documents/keys.ts'
import type { Policy } from '../../verify/documents/policy.ts'
import { AttestError } from '../../verify/errors.ts'
import type { JobCore } from './core.ts'
import { type Candidate, choosePlace, type PlacementReason } from './placement.ts'
import type { JobFacts } from './records.ts'
import { ON_HOST } from './states.ts'

/** Jobs whose witnesses did not answer are looked at again after this. */
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
      return await this.#core.jobIds(['created'])
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
      const request = { contract: facts.contract, policies, declined, at: new Date(clock.now()) }
      const { chosen, hopeless, reasons } = choosePlace(request, await this.#candidates())
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
    this.#cancelRetry()
    if (!this.#closed) this.#cancelRetry = this.#core.means.clock.after(RETRY_MS, () => this.poke())
    return error
  }

  async #candidates(): Promise<readonly Candidate[]> {
    const { db, hosts } = this.#core.means
    const taken = await db.selectFrom('jobs').select('host').where('state', 'in', ON_HOST).execute()
    const busy = new Set(taken.map((row) => row.host))
    const known = await db.selectFrom('hosts').selectAll().execute()
    const away = known.filter((row) => hosts.get(row.name) === null)
    return [
      ...hosts.list().map((host) => ({ ...host, online: true, busy: busy.has(host.name) })),
      ...away.map((row) => ({
        name: row.name,
        online: false,
        busy: busy.has(row.name),
        runners: JSON.parse(row.runners) as string[],
        claims: null,
      })),
    ]
  }

  #forget(jobId: string): void {
    this.#declined.delete(jobId)
  }
}

function encodeReasons(reasons: readonly PlacementReason[]): string {
  return JSON.stringify(reasons)
}
