import { hpkeKeyDigest } from '../../verify/documents/keys.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Clock } from '../clock.ts'
import { erasedAmong, refuseErased } from '../erasure/erased.ts'
import type { Grants } from '../grants/grants.ts'
import { loadFacts, requireVisible } from '../jobs/records.ts'
import { type JobState, ON_HOST, WITH_KEYS } from '../jobs/states.ts'
import { grantsNaming } from '../parties/parties.ts'
import type { Caller } from '../server/caller.ts'
import type { Database } from '../store/open-store.ts'
import type { BlobRow } from '../store/tables.ts'
import type { ResultGate } from './uploads.ts'

/** Who may read which sealed file, and who may bring the results of a job. */
export class BlobAccess {
  readonly #db: Database
  readonly #grants: Grants
  readonly #clock: Clock

  constructor(db: Database, grants: Grants, clock: Clock) {
    this.#db = db
    this.#grants = grants
    this.#clock = clock
  }

  /**
   * A file may be read by who brought it; results also by who may see their job; datasets also by a host while a job that
   * needs them is on it. Of a dataset that is to be erased nobody gets anything but a host whose job has its key already.
   * @throws AttestError `NOT_FOUND` for everybody else.
   */
  async readable(caller: Caller, blobId: string): Promise<BlobRow> {
    const row = await this.#db.selectFrom('blobs').selectAll().where('blob_id', '=', blobId).executeTakeFirst()
    if (row === undefined) throw unknownBlob()
    if (row.owner === caller.id) {
      await refuseErased(this.#db, [blobId])
      return row
    }
    const isErased = (await erasedAmong(this.#db, [blobId])).size > 0
    if (caller.role === 'host') {
      if (row.kind === 'dataset' && (await this.#needs(caller.name, blobId, isErased ? WITH_KEYS : ON_HOST))) return row
      throw unknownBlob()
    }
    if (row.job_id === null) throw unknownBlob()
    await requireVisible(this.#db, caller, row.job_id)
    return row
  }

  /**
   * What a file is, without its bytes: for who may read it, and for clients that a grant names, which need it for their
   * contracts. A grant that was revoked or has ended shows nothing any more.
   * @throws AttestError `NOT_FOUND` for everybody else.
   */
  async describable(caller: Caller, blobId: string): Promise<BlobRow> {
    if (caller.role === 'client' && (await this.#isGranted(caller, blobId))) {
      const row = await this.#db.selectFrom('blobs').selectAll().where('blob_id', '=', blobId).executeTakeFirst()
      if (row?.kind === 'dataset') return row
    }
    return this.readable(caller, blobId)
  }

  async #isGranted(caller: Caller, blobId: string): Promise<boolean> {
    const rows = await this.#db
      .selectFrom('grant_datasets')
      .select('grant_digest')
      .where('dataset', '=', blobId)
      .where('grant_digest', 'in', grantsNaming(this.#db, caller, ['owner', 'releaser', 'submitter']))
      .where('grant_digest', 'not in', this.#db.selectFrom('revocations').select('grant_digest'))
      .execute()
    for (const { grant_digest } of rows) {
      const { grant } = await this.#grants.load(grant_digest)
      if (this.#clock.now() < Date.parse(grant.expires)) return true
    }
    return false
  }

  /** Only the host that has the job brings its results, sealed to none but the contract's recipients. */
  readonly mayBringResult: ResultGate = async (caller, jobId, header) => {
    const row = await this.#db.selectFrom('jobs').select(['host', 'state']).where('job_id', '=', jobId).executeTakeFirst()
    if (caller.role !== 'host' || row?.host !== caller.name)
      throw new AttestError('NOT_FOUND', 'no such job on this host', { at: 'job_id' })
    if (row.state !== 'released' && row.state !== 'running')
      throw new AttestError('JOB_CONFLICT', `the job is ${row.state}`, { at: 'job.state' })
    const { contract, row: job } = await loadFacts(this.#db, this.#grants, jobId)
    if (header.job !== job.digest) throw new AttestError('HEADER_INVALID', 'results of another job', { at: 'header.job' })
    const recipients = new Set(await Promise.all(contract.recipients.map(hpkeKeyDigest)))
    if (!header.recipients.every((r) => recipients.has(r.recipient))) {
      throw new AttestError('PERMISSION_DENIED', 'the results are sealed to somebody whom the contract does not name', {
        at: 'header.recipients',
      })
    }
  }

  async #needs(host: string, blobId: string, states: readonly JobState[]): Promise<boolean> {
    const jobs = this.#db.selectFrom('jobs').innerJoin('job_inputs', 'job_inputs.job_id', 'jobs.job_id').select('jobs.job_id')
    const needing = jobs.where('jobs.host', '=', host).where('jobs.state', 'in', states).where('job_inputs.dataset', '=', blobId)
    return (await needing.executeTakeFirst()) !== undefined
  }
}

function unknownBlob(): AttestError {
  return new AttestError('NOT_FOUND', 'no such file', { at: 'blobs' })
}
