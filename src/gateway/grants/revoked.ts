import { AttestError } from '../../verify/errors.ts'
import type { Database, Tx } from '../store/open-store.ts'

/** Which of these grants their owner has taken back. Whoever is about to act on the answer asks in the transaction of the act. */
export async function revokedAmong(db: Database | Tx, digests: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await db.selectFrom('revocations').select('grant_digest').where('grant_digest', 'in', digests).execute()
  return new Set(rows.map((row) => row.grant_digest))
}

/** @throws AttestError `GRANT_DENIED` when one of these grants was taken back. */
export async function refuseRevoked(db: Database | Tx, digests: readonly string[]): Promise<void> {
  const revoked = await revokedAmong(db, digests)
  if (revoked.size > 0) throw new AttestError('GRANT_DENIED', revokedWords(revoked), { at: REVOKED_AT })
}

const REVOKED_AT = 'grants.revoked'

/** True for what {@link refuseRevoked} throws, and for nothing else. */
export function isRevoked(error: unknown): error is AttestError {
  return error instanceof AttestError && error.code === 'GRANT_DENIED' && error.at === REVOKED_AT
}

/** As statements and transitions say it. */
export function revokedWords(revoked: ReadonlySet<string>): string {
  return `its owner has revoked grant ${[...revoked].sort().join(', ')}`
}
