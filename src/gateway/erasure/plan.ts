import type { Database, Tx } from '../store/open-store.ts'

/** What goes with a dataset. */
export interface ErasurePlan {
  readonly ciphertext: { readonly bytes: number; readonly sha256: Uint8Array } | null
  readonly uploads: readonly string[]
  /** Jobs every dataset of which is erased with this one. */
  readonly jobs: readonly string[]
  /** Sealed results of these jobs, finished or on their way: names of blobs. */
  readonly results: readonly string[]
  /** Grants of these jobs, or of none, every dataset of which is erased with this one. */
  readonly grants: readonly string[]
  /** Entries of the log that tell of these jobs and grants. */
  readonly entries: readonly number[]
}

/** What would go if the dataset were erased now. The same question in a later transaction may have another answer. */
export async function planErasure(db: Database | Tx, dataset: string): Promise<ErasurePlan> {
  const blob = await db.selectFrom('blobs').select(['size', 'digest']).where('blob_id', '=', dataset).executeTakeFirst()
  const uploads = await db.selectFrom('uploads').select('upload_id').where('blob_id', '=', dataset).orderBy('upload_id').execute()
  const jobs = await jobsOf(db, dataset)
  const grants = await grantsOf(db, dataset, jobs)
  const results = new Set<string>()
  const entries = new Set<number>()
  for (const job of jobs) {
    for (const table of ['blobs', 'uploads'] as const) {
      const rows = await db.selectFrom(table).select('blob_id').where('job_id', '=', job).execute()
      for (const { blob_id } of rows) results.add(blob_id)
    }
    const releases = await db.selectFrom('job_releases').select('log_index').where('job_id', '=', job).execute()
    for (const { log_index } of releases) entries.add(log_index)
    const receipt = await db.selectFrom('receipts').select('log_index').where('job_id', '=', job).executeTakeFirst()
    if (receipt !== undefined) entries.add(receipt.log_index)
  }
  for (const grant of grants) {
    const rows = await db
      .selectFrom('events')
      .select('log_index')
      .where('type', 'in', ['revocation', 'hold'])
      .where('name', '=', grant)
      .execute()
    for (const { log_index } of rows) entries.add(log_index)
  }
  return {
    ciphertext: blob === undefined ? null : { bytes: blob.size, sha256: blob.digest },
    uploads: uploads.map((row) => row.upload_id),
    jobs,
    results: [...results].sort(),
    grants,
    entries: [...entries].sort((a, b) => a - b),
  }
}

async function jobsOf(db: Database | Tx, dataset: string): Promise<readonly string[]> {
  const others = db.selectFrom('job_inputs').select('job_id').where('dataset', 'not in', goneWith(db, dataset))
  const rows = await db.selectFrom('job_inputs').select('job_id').where('dataset', '=', dataset).where('job_id', 'not in', others).execute()
  return rows.map((row) => row.job_id).sort()
}

/** A job that stays needs its grants, also one about nothing but this dataset. */
async function grantsOf(db: Database | Tx, dataset: string, jobs: readonly string[]): Promise<readonly string[]> {
  const others = db.selectFrom('grant_datasets').select('grant_digest').where('dataset', 'not in', goneWith(db, dataset))
  const candidates = db.selectFrom('grant_datasets').select('grant_digest').where('dataset', '=', dataset)
  const rows = await candidates.where('grant_digest', 'not in', others).execute()
  const gone = new Set(jobs)
  const grants: string[] = []
  for (const { grant_digest } of rows) {
    const users = await db.selectFrom('job_grants').select('job_id').where('grant_digest', '=', grant_digest).execute()
    if (users.every(({ job_id }) => gone.has(job_id))) grants.push(grant_digest)
  }
  return grants.sort()
}

/** This dataset, and those that were erased before it. */
function goneWith(db: Database | Tx, dataset: string) {
  const orders = db.selectFrom('erasures').select('dataset')
  return orders.where((eb) => eb.or([eb('dataset', '=', dataset), eb('log_index', 'is not', null)]))
}
