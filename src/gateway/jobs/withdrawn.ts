import { AttestError } from '../../verify/errors.ts'
import { refuseErased } from '../erasure/erased.ts'
import { isRevoked, refuseRevoked } from '../grants/revoked.ts'
import type { Database, Tx } from '../store/open-store.ts'
import type { JobFacts } from './records.ts'

/**
 * What no job goes on after: a revoked grant, an erased dataset. Whoever is about to act asks in the transaction of the act.
 * @throws AttestError `GRANT_DENIED`, `DATASET_ERASED`.
 */
export async function refuseWithdrawn(db: Database | Tx, { grants, contract }: Pick<JobFacts, 'grants' | 'contract'>): Promise<void> {
  await refuseRevoked(
    db,
    grants.map((g) => g.digest),
  )
  await refuseErased(
    db,
    contract.inputs.map((input) => input.header),
  )
}

/** What {@link refuseWithdrawn} would throw; null when the job may go on. */
export async function withdrawalOf(db: Database | Tx, facts: Pick<JobFacts, 'grants' | 'contract'>): Promise<AttestError | null> {
  try {
    await refuseWithdrawn(db, facts)
    return null
  } catch (error) {
    if (isWithdrawn(error)) return error
    throw error
  }
}

/** True for what {@link refuseWithdrawn} throws. */
export function isWithdrawn(error: unknown): error is AttestError {
  return isRevoked(error) || (error instanceof AttestError && error.code === 'DATASET_ERASED')
}
