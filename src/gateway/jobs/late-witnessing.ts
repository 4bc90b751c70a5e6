import { AttestError } from '../../verify/errors.ts'
import type { LoggedEntry } from '../../verify/tlog/index.ts'
import type { WitnessedLog } from '../witnessing/witnessed-log.ts'
import type { JobCore } from './core.ts'
import { type JobFacts, loadFacts } from './records.ts'

/** Endings that the witnesses did not cosign are brought to them again after this. */
const RETRY_MS = 10_000
const MAX_AT_ONCE = 64

/** All entries of an ended job, cosigned as its policies demand. @throws AttestError `WITNESS_QUORUM`. */
export async function entriesOf(
  log: WitnessedLog,
  { row, policies, releases }: JobFacts,
  ending: number,
): Promise<{ readonly releases: readonly LoggedEntry[]; readonly ending: LoggedEntry }> {
  const documents = policies.map((p) => p.document)
  const after = row.checkpoint === null ? [] : [row.checkpoint]
  const released = await Promise.all(releases.map(({ index }) => log.entry(index, documents, after)))
  const notes = released.map((entry) => entry.checkpoint)
  return { releases: released, ending: await log.entry(ending, documents, notes) }
}

/**
 * Brings the endings of jobs to the witnesses without being asked: the time of their cosignatures tells whether a job ended
 * by its deadline, so it must not depend on when somebody fetches the receipt. What is still to be done stands in the store.
 */
export class LateWitnessing {
  readonly #core: JobCore
  #running: Promise<void> | null = null
  #again = false
  #closed = false
  #cancelRetry: () => void = () => {}

  constructor(core: JobCore) {
    this.#core = core
  }

  /** Looks for endings that are not cosigned, soon. */
  poke(): void {
    if (this.#closed) return
    this.#again = true
    this.#running ??= this.#run()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelRetry()
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false
      await this.#round().catch((error: unknown) => {
        this.#core.means.logger.error({ err: error }, 'endings could not be brought to the witnesses')
        this.#retryLater()
      })
    }
    this.#running = null
  }

  async #round(): Promise<void> {
    const { db } = this.#core.means
    let isAllDone = true
    // Page by page, so that endings whose witnesses are gone for good do not keep the others back.
    for (let after = -1; !this.#closed; ) {
      const rows = await db.selectFrom('witness_pending').selectAll().where('idx', '>', after).orderBy('idx').limit(MAX_AT_ONCE).execute()
      const done = await Promise.all(rows.map(({ idx, job_id }) => this.#bring(idx, job_id)))
      isAllDone &&= !done.includes(false)
      after = rows.at(-1)?.idx ?? after
      if (rows.length < MAX_AT_ONCE) break
    }
    if (!isAllDone) this.#retryLater()
  }

  /** @returns false for what must be tried again. */
  async #bring(idx: number, jobId: string): Promise<boolean> {
    const { db, grants, witnessed, logger } = this.#core.means
    try {
      await entriesOf(witnessed, await loadFacts(db, grants, jobId), idx)
      // Durable before: the cosigned checkpoint. A crash here costs one look at an entry that is cosigned already.
      await db.deleteFrom('witness_pending').where('idx', '=', idx).execute()
      return true
    } catch (error) {
      const facts = error instanceof AttestError ? { code: error.code, reason: error.message } : { err: error }
      logger.warn({ jobId, ...facts }, 'the ending of a job is not cosigned yet')
      return false
    }
  }

  #retryLater(): void {
    this.#cancelRetry()
    if (!this.#closed) this.#cancelRetry = this.#core.means.clock.after(RETRY_MS, () => this.poke())
  }
}
