import { AttestError } from '../../verify/errors.ts'
import type { Database, Tx } from '../store/open-store.ts'

const HELD_AT = 'grants.held'

/**
 * For whoever is about to act on the answer: in the transaction of the act.
 * @throws AttestError `GRANT_HELD` when the owner of one of these grants holds it.
 */
export async function refuseHeld(db: Database | Tx, digests: readonly string[]): Promise<void> {
  const rows = await db.selectFrom('holds').select('grant_digest').where('grant_digest', 'in', digests).where('held', '=', 1).execute()
  const held = new Set(rows.map((row) => row.grant_digest))
  if (held.size > 0) throw new AttestError('GRANT_HELD', heldWords(held), { at: HELD_AT })
}

/** True for what {@link refuseHeld} throws, and for nothing else. */
export function isHeld(error: unknown): error is AttestError {
  return error instanceof AttestError && error.code === 'GRANT_HELD' && error.at === HELD_AT
}

/** As statements and transitions say it. */
export function heldWords(held: ReadonlySet<string>): string {
  return `its owner holds grant ${[...held].sort().join(', ')}`
}
