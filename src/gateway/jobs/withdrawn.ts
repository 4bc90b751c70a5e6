import { AttestError } from '../../verify/errors.ts'
import { refuseErased } from '../erasure/erased.ts'
import { isHeld, refuseHeld } from '../grants/held.ts'
import { isRevoked, refuseRevoked } from '../grants/revoked.ts'
import type { Database, Tx } from '../store/open-store.ts'
import type { JobFacts } from './records.ts'

/**
 * What no job goes on after: a revoked or held grant, an erased dataset. Whoever is about to act asks in the transaction of the act.
 * @throws AttestError `GRANT_DENIED`, `GRANT_HELD`, `DATASET_ERASED`.
 */
export async function refuseWithdrawn(db: Database | Tx, { grants, contract }: Pick<JobFacts, 'grants' | 'contract'>): Promise<void> {
  const digests = grants.map((g) => g.digest)
  await refuseRevoked(db, digests)
  await refuseHeld(db, digests)
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
  return isRevoked(error) || isHeld(error) || (error instanceof AttestError && error.code === 'DATASET_ERASED')
}
