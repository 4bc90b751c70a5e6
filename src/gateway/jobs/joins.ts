import { equal } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { refuseRevoked } from '../grants/revoked.ts'
import type { JobCore } from './core.ts'
import { takeStep } from './records.ts'

/** What a releaser brings for one of its grants. */
export interface Joining {
  readonly grant: string
  /** 32 bytes. */
  readonly nonce: Uint8Array
}

/** Releasers join a job with nonces of their own; with the last one it may look for a host. */
export class Joins {
  readonly #core: JobCore

  constructor(core: JobCore) {
    this.#core = core
  }

  /**
   * Takes nonces into a job that waits for them. While it waits, a releaser that comes back (it was restarted, and has
   * forgotten what it sent) may bring others: nobody but it looks at them. Whether the caller may speak for the grants' releaser
   * was found out before.
   * @throws AttestError `DOCUMENT_INVALID`; `JOB_CONFLICT` for another nonce when the job waits no more.
   */
  async join(jobId: string, joinings: readonly Joining[]): Promise<void> {
    if (
      joinings.length === 0 ||
      new Set(joinings.map((j) => j.grant)).size !== joinings.length ||
      joinings.some((j) => j.nonce.length !== 32)
    ) {
      throw new AttestError('DOCUMENT_INVALID', 'want different grants of the job, each with a nonce of 32 bytes', { at: 'grants' })
    }
    await this.#core.alone(jobId, async ({ state }) => {
      const { db, clock } = this.#core.means
      // Durable when it returns: the nonces, and with the last of them the job's step. A crash before costs the releaser this call.
      const joined = await db.transaction().execute(async (tx) => {
        const links = await tx.selectFrom('job_grants').selectAll().where('job_id', '=', jobId).execute()
        const after = links.map((link) => {
          const nonce = joinings.find((j) => j.grant === link.grant_digest)?.nonce
          return { ...link, nonce: nonce ?? link.nonce, isNew: nonce !== undefined && (link.nonce === null || !equal(nonce, link.nonce)) }
        })
        if (!joinings.every((j) => links.some((link) => link.grant_digest === j.grant))) {
          throw new AttestError('DOCUMENT_INVALID', 'a grant that the job is not under', { at: 'grants' })
        }
        if (!after.some((link) => link.isNew)) return false
        if (state !== 'awaiting-releasers')
          throw new AttestError('JOB_CONFLICT', `the job is ${state}: its nonces are fixed`, { at: 'job.state' })
        await refuseRevoked(
          tx,
          links.map((link) => link.grant_digest),
        )
        for (const { position, nonce } of after) {
          await tx.updateTable('job_grants').set({ nonce }).where('job_id', '=', jobId).where('position', '=', position).execute()
        }
        if (after.some((link) => link.nonce === null)) return false
        await takeStep(tx, jobId, state, { to: 'created', reason: 'every releaser has joined', at: clock.now() })
        return true
      })
      if (joined) await this.#core.changed(jobId, 'created')
    })
  }
}
