import { AttestError } from '../../verify/errors.ts'
import type { Database, Tx } from '../store/open-store.ts'

/** Which of these datasets their owner has ordered erased. Whoever is about to act on the answer asks in the transaction of the act. */
export async function erasedAmong(db: Database | Tx, datasets: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await db.selectFrom('erasures').select('dataset').where('dataset', 'in', datasets).execute()
  return new Set(rows.map((row) => row.dataset))
}

/** @throws AttestError `DATASET_ERASED` when the owner of one of these datasets has ordered it erased. */
export async function refuseErased(db: Database | Tx, datasets: readonly string[]): Promise<void> {
  const erased = await erasedAmong(db, datasets)
  if (erased.size === 0) return
  throw new AttestError('DATASET_ERASED', `its owner has erased dataset ${[...erased].sort().join(', ')}`, { at: 'datasets' })
}
