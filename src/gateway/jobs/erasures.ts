import { crypto } from '#crypto'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { ERASURE_TYP, type ErasureOrder, parseErasureOrder } from '../../verify/documents/erasure.ts'
import { type DatasetHeader, parseHeader } from '../../verify/documents/header.ts'
import { parsePolicy } from '../../verify/documents/policy.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import { type ErasurePlan, planErasure } from '../erasure/plan.ts'
import { wipe } from '../erasure/wipe.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { Caller } from '../server/caller.ts'
import { type Database, settle, type Tx } from '../store/open-store.ts'
import type { ErasureRow } from '../store/tables.ts'
import type { JobCore } from './core.ts'
import { isBeforeRelease, UNFINISHED, WITH_KEYS } from './states.ts'
import { withdrawalOf } from './withdrawn.ts'

/** How far an erasure has come. */
export interface ErasureProgress {
  /** Place of the erasure in the log; null while jobs still have the key. */
  readonly index: number | null
  /** Jobs that have not ended. */
  readonly waiting: number
}

/** Erasures that could not be carried out are tried again after this. */
const RETRY_MS = 30_000

/**
 * Erasures of datasets. One is in force with its row: no job is created, takes a step to `logged` or `released` or gets keys
 * after it, and nothing is uploaded. It is carried out when the last job with the key has ended: files first, then in one
 * transaction rows, openings, and the entry of the log that says so. So nothing is claimed that was not done, and whatever a
 * crash cuts is done at the next start, or when the owner asks again.
 */
export class Erasures {
  readonly #core: JobCore
  /** One erasure of a dataset at a time. */
  readonly #locks = new KeyedLock()
  #running: Promise<void> | null = null
  #again = false
  #closed = false
  #cancelRetry: () => void = () => {}

  constructor(core: JobCore) {
    this.#core = core
  }

  /**
   * Takes an owner's order, and carries it out if no job has the key. The same order again tells how far it has come; another one
   * of the owner changes nothing but that jobs are to be stopped.
   * @param policyText - The policy that the order names; null for none.
   * @throws AttestError `SIGNATURE_INVALID`, `DOCUMENT_INVALID`; `NOT_FOUND` for a dataset that this caller did not bring;
   * `PERMISSION_DENIED` when somebody else than its owner signed; `POLICY_DENIED` for a policy that it does not name, or of
   * another log, or with witnesses that this gateway cannot ask.
   */
  async erase(caller: Caller, jws: Uint8Array, policyText: Uint8Array | null): Promise<ErasureProgress> {
    const order = await this.#readOrder(jws)
    const { dataset } = order.value
    return this.#locks.run(dataset, async () => {
      const known = await this.#find(dataset)
      const header = known?.header ?? (await this.#headerOf(caller, dataset))
      if (known !== null && known.put_by !== caller.id) throw unknownDataset(dataset)
      checkOwner(header, order.signer)
      await this.#checkPolicy(order.value, policyText)
      if (known?.log_index != null) return { index: known.log_index, waiting: 0 }
      const stronger = known === null || (order.value.stopJobs && !(await this.#readOrder(known.order_jws)).value.stopJobs)
      if (stronger) {
        const row = { order_jws: jws, header, policy: policyText, put_by: caller.id, created_at: this.#core.means.clock.now() }
        await this.#keep({ dataset, log_index: null, ...row })
      }
      try {
        await this.#enforce(dataset)
        return await this.#complete(dataset)
      } catch (error) {
        this.#retryLater()
        throw error
      }
    })
  }

  /** Datasets that this caller had erased, or that are being erased. */
  async list(caller: Caller): Promise<readonly Pick<ErasureRow, 'dataset' | 'log_index' | 'created_at'>[]> {
    const all = this.#core.means.db.selectFrom('erasures').select(['dataset', 'log_index', 'created_at'])
    return all.where('put_by', '=', caller.id).orderBy('created_at').execute()
  }

  /** Takes up, soon, what a crash has cut or jobs have held up. */
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

  /** Tells the host of a job to stop it, also again, where the owner of one of its datasets has asked for that. */
  async stop(jobId: string): Promise<void> {
    if (!(await this.wishToStop(jobId))) return
    await this.#core.alone(jobId, async ({ row, state }) => {
      if (WITH_KEYS.includes(state) && row.host !== null) this.#core.means.hosts.send(row.host, { jobCancel: { jobId } })
    })
    this.#core.watchers.notify(jobId)
  }

  /** True where the owner of one of the job's datasets had it erased and asked that jobs stop. */
  async wishToStop(jobId: string): Promise<boolean> {
    const { db } = this.#core.means
    const inputs = db.selectFrom('job_inputs').innerJoin('erasures', 'erasures.dataset', 'job_inputs.dataset')
    const orders = await inputs.select('erasures.order_jws').where('job_inputs.job_id', '=', jobId).execute()
    for (const { order_jws } of orders) {
      if ((await this.#readOrder(order_jws)).value.stopJobs) return true
    }
    return false
  }

  async #readOrder(jws: Uint8Array): Promise<{ readonly value: ErasureOrder; readonly digest: string; readonly signer: string }> {
    const { payload, digest, signers } = await verifyFlattenedJws(jws, ERASURE_TYP, 'order')
    return { value: parseErasureOrder(payload), digest, signer: signers[0]?.thumbprint ?? '' }
  }

  /** Of a file that this caller brought, or began to. */
  async #headerOf(caller: Caller, dataset: string): Promise<Uint8Array> {
    const { db } = this.#core.means
    for (const table of ['blobs', 'uploads'] as const) {
      const all = db.selectFrom(table).select('header').where('blob_id', '=', dataset)
      const row = await all.where('kind', '=', 'dataset').where('owner', '=', caller.id).executeTakeFirst()
      if (row !== undefined) return row.header
    }
    throw unknownDataset(dataset)
  }

  async #checkPolicy(order: ErasureOrder, text: Uint8Array | null): Promise<void> {
    const { witnessed } = this.#core.means
    const digest = text === null ? null : toBase64Url(await crypto.digest('SHA-256', text))
    if (digest !== order.policy) throw new AttestError('POLICY_DENIED', 'the order names another policy', { at: 'order.policy' })
    if (text === null) return
    const { log, witnessing } = parsePolicy(text)
    const { origin, key, witnesses } = witnessed.terms
    const reached = witnessing.mode === 'none' || witnessing.keys.filter((k) => witnesses.includes(k)).length >= witnessing.k
    if (log.origin === origin && log.key === key && reached) return
    throw new AttestError('POLICY_DENIED', 'the policy of the order wants another log, or witnesses that this one lacks', {
      at: 'order.policy',
    })
  }

  /** Durable when it returns: the order, and that no sealed keys are kept for its jobs. A crash before costs the owner this one call. */
  async #keep(row: ErasureRow): Promise<void> {
    await this.#core.means.db.transaction().execute(async (tx) => {
      const { order_jws, policy } = row
      await tx
        .insertInto('erasures')
        .values(row)
        .onConflict((conflict) => conflict.column('dataset').doUpdateSet({ order_jws, policy }))
        .execute()
      const jobs = tx.selectFrom('job_inputs').select('job_id').where('dataset', '=', row.dataset)
      await tx
        .updateTable('job_releases')
        .set({ sealed_keys: null })
        .where('job_id', 'in', jobs)
        .where('sealed_keys', 'is not', null)
        .execute()
    })
    this.#core.means.logger.info({ dataset: row.dataset }, 'a dataset is to be erased')
  }

  /** Ends jobs that can go nowhere any more, and stops those that have the key where the owner wants that. Never throws for a job's sake. */
  async #enforce(dataset: string): Promise<void> {
    await Promise.all(
      (await unfinished(this.#core.means.db, dataset)).map(async (jobId) => {
        try {
          await this.#core.alone(jobId, async (facts) => {
            const withdrawn = await withdrawalOf(this.#core.means.db, facts)
            if (withdrawn !== null && isBeforeRelease(facts.state)) await this.#core.endWithdrawn(facts, withdrawn)
          })
          await this.stop(jobId)
        } catch (error) {
          this.#core.means.logger.error({ jobId, ...toldOf(error) }, 'an erasure could not be carried out on a job')
        }
      }),
    )
  }

  async #complete(dataset: string): Promise<ErasureProgress> {
    const { db, uploads, events, logger } = this.#core.means
    const row = await this.#find(dataset)
    if (row === null || row.log_index !== null) return { index: row?.log_index ?? null, waiting: 0 }
    const waiting = (await unfinished(db, dataset)).length
    if (waiting > 0) return { index: null, waiting }
    const plan = await planErasure(db, dataset)
    // Files first: what the receipt says is then true. A crash from here on costs nothing: their rows are there, and it goes on.
    for (const blob of [dataset, ...plan.results]) await uploads.erase(blob)
    const { value: order, digest } = await this.#readOrder(row.order_jws)
    const { ciphertext, jobs, results, grants, entries } = plan
    // Durable when it returns: that everything is gone from the database, that the log says so, and the receipt, together.
    const index = await events.append({
      type: 'erasure',
      subject: order.dataset,
      predicate: {
        dataset,
        owner: ownerOf(row.header),
        order: digest,
        destroyed: {
          ciphertext: ciphertext === null ? null : { bytes: ciphertext.bytes, digest: toBase64Url(ciphertext.sha256) },
          uploads: plan.uploads.length,
          jobs: jobs.length,
          results: results.length,
          grants: grants.length,
          openings: entries.length,
        },
      },
      documents: {
        type: 'sealgate/erasure-file/v1',
        order: toBase64Url(row.order_jws),
        header: toBase64Url(row.header),
        policy: row.policy === null ? null : toBase64Url(row.policy),
      },
      name: dataset,
      reader: row.put_by,
      also: async (tx, place) => {
        await requireSame(tx, dataset, plan)
        await wipe(tx, dataset, plan, place.index)
        await tx.updateTable('erasures').set({ log_index: place.index }).where('dataset', '=', dataset).execute()
      },
    })
    await settle(db)
    logger.info({ dataset, index }, 'a dataset was erased')
    return { index, waiting: 0 }
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false
      try {
        const pending = await this.#core.means.db.selectFrom('erasures').select('dataset').where('log_index', 'is', null).execute()
        for (const { dataset } of pending) {
          await this.#locks.run(dataset, async () => {
            await this.#enforce(dataset)
            await this.#complete(dataset)
          })
        }
      } catch (error) {
        this.#core.means.logger.error(toldOf(error), 'a dataset could not be erased yet')
        this.#retryLater()
      }
    }
    this.#running = null
  }

  #retryLater(): void {
    this.#cancelRetry()
    if (!this.#closed) this.#cancelRetry = this.#core.means.clock.after(RETRY_MS, () => this.poke())
  }

  async #find(dataset: string): Promise<ErasureRow | null> {
    return (await this.#core.means.db.selectFrom('erasures').selectAll().where('dataset', '=', dataset).executeTakeFirst()) ?? null
  }
}

async function unfinished(db: Database, dataset: string): Promise<readonly string[]> {
  const jobs = db.selectFrom('jobs').innerJoin('job_inputs', 'job_inputs.job_id', 'jobs.job_id').select('jobs.job_id')
  const rows = await jobs.where('job_inputs.dataset', '=', dataset).where('jobs.state', 'in', UNFINISHED).execute()
  return rows.map((row) => row.job_id)
}

/** What is wiped is what the signed statement counts, or nothing is. */
async function requireSame(tx: Tx, dataset: string, plan: ErasurePlan): Promise<void> {
  const now = JSON.stringify(await planErasure(tx, dataset))
  if (now !== JSON.stringify(plan))
    throw new AttestError('JOB_CONFLICT', 'something of the dataset came in meanwhile; ask again', { at: 'erasure' })
}

function ownerOf(bytes: Uint8Array): string {
  return (parseHeader(bytes) as DatasetHeader).owner
}

function checkOwner(header: Uint8Array, signer: string): void {
  if (ownerOf(header) !== signer) throw new AttestError('PERMISSION_DENIED', 'only its owner erases a dataset', { at: 'order.signer' })
}

function unknownDataset(dataset: string): AttestError {
  return new AttestError('NOT_FOUND', `dataset ${dataset} is not here`, { at: 'order.dataset' })
}

function toldOf(error: unknown): object {
  return error instanceof AttestError ? { code: error.code, reason: error.message } : { err: error }
}
