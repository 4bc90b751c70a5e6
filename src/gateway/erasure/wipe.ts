import type { Tx } from '../store/open-store.ts'
import type { ErasurePlan } from './plan.ts'

const NOTHING = new Uint8Array()
const REASON = 'its records went with its datasets'

/**
 * Takes everything of a plan out of the database, in the transaction that logs the erasure as entry `by`. Of a job it stays that it
 * was, who asked for it, and when it was in which state; of an entry of the log what everybody can read: the leaf.
 */
export async function wipe(tx: Tx, dataset: string, { jobs, results, grants, entries }: ErasurePlan, by: number): Promise<void> {
  for (const blob of [dataset, ...results]) {
    await tx.deleteFrom('blobs').where('blob_id', '=', blob).execute()
    await tx.deleteFrom('uploads').where('blob_id', '=', blob).execute()
  }
  for (const job of jobs) await wipeJob(tx, job)
  for (const grant of grants) {
    for (const table of ['grant_datasets', 'grant_parties', 'revocations', 'holds', 'use_slots'] as const) {
      await tx.deleteFrom(table).where('grant_digest', '=', grant).execute()
    }
    await tx.deleteFrom('grants').where('digest', '=', grant).execute()
    await tx.deleteFrom('events').where('type', 'in', ['revocation', 'hold']).where('name', '=', grant).execute()
  }
  for (const idx of entries) {
    await tx.deleteFrom('log_openings').where('idx', '=', idx).execute()
    await tx.deleteFrom('witness_pending').where('idx', '=', idx).execute()
    await tx
      .insertInto('log_erased')
      .values({ idx, by_idx: by })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
  }
}

async function wipeJob(tx: Tx, job: string): Promise<void> {
  for (const table of ['receipts', 'job_grants', 'job_inputs', 'job_releases', 'use_slots'] as const) {
    await tx.deleteFrom(table).where('job_id', '=', job).execute()
  }
  await tx.updateTable('transitions').set({ reason: REASON }).where('job_id', '=', job).execute()
  const empty = { evidence: null, appraisal: null, ear: null, checkpoint: null }
  await tx
    .updateTable('jobs')
    .set({ ...empty, contract: NOTHING, endorsements: '[]', placement: '[]' })
    .where('job_id', '=', job)
    .execute()
}
