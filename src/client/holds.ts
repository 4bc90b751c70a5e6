import { issueFlattenedJws } from '../seal/index.ts'
import { instantOf } from '../verify/appraise/index.ts'
import { encodeHold, HOLD_TYP, type Hold, parseHold } from '../verify/documents/hold.ts'
import { AttestError } from '../verify/errors.ts'
import { verifyFlattenedJws } from '../verify/formats/jws.ts'
import type { Client } from './client.ts'
import type { Owner } from './owner.ts'

/** What an owner says about a grant: held, or not any more. */
export type HoldTerms = Pick<Hold, 'held' | 'stopJobs' | 'basis'>

/**
 * Holds a grant, or ends that, as far as this owner's client goes: while it is held the client makes no release intent under it
 * and seals no key, whatever a gateway says. Durable when it returns.
 * @param now - Seconds since the epoch.
 * @param above - The new sequence is above this one, and above every one of this folder.
 * @returns the signed document, for the gateway: {@link sendHold}.
 */
export async function holdGrant(owner: Owner, grantId: string, terms: HoldTerms, now: number, above = 0): Promise<Uint8Array> {
  const sequence = Math.max(above, (await owner.keyring.hold(grantId))?.sequence ?? 0) + 1
  const bytes = encodeHold({ v: 1, grant: grantId, sequence, ...terms, at: instantOf(now) })
  const jws = await issueFlattenedJws(bytes, HOLD_TYP, owner.grantKey)
  await owner.keyring.putHold(grantId, { sequence, held: terms.held }, jws)
  return jws
}

/**
 * Brings to the gateway what {@link holdGrant} signed. Where another copy of the owner's folder was ahead, it is signed again above that.
 * @throws AttestError `HOLD_STALE` when the gateway says so and cannot show what is newer.
 */
export async function sendHold(client: Client, owner: Owner, jws: Uint8Array): Promise<void> {
  try {
    await client.holdGrant(jws)
  } catch (error) {
    if (!(error instanceof AttestError) || error.code !== 'HOLD_STALE') throw error
    const { grant, sequence, held, stopJobs, basis, at } = parseHold((await verifyFlattenedJws(jws, HOLD_TYP, 'hold')).payload)
    const { hold } = await client.getGrant(grant)
    const newest = hold === null ? null : await readHold(hold, grant, owner.grantThumbprint)
    if (newest === null || newest.sequence < sequence) throw error
    await client.holdGrant(await holdGrant(owner, grant, { held, stopJobs, basis }, Date.parse(at) / 1000, newest.sequence))
  }
}

/** Whether a grant is held: what was said here counts, and beside it a newer word of its owner that the gateway has. */
export async function isHeld(owner: Owner, { grantId, hold }: { readonly grantId: string; readonly hold: Hold | null }): Promise<boolean> {
  const here = await owner.keyring.hold(grantId)
  if (here?.held === true || hold === null) return here?.held === true
  // Of two documents with one sequence, made by two copies of the folder, the one that holds counts.
  return hold.held && hold.sequence >= (here?.sequence ?? 0)
}

export function heldError(grantId: string): AttestError {
  return new AttestError('GRANT_HELD', `grant ${grantId} is held by its owner, until sealgate grant resume`, { at: 'grants' })
}

/**
 * A hold of this grant, or the end of one, by the owner who signed the grant.
 * @throws AttestError `SIGNATURE_INVALID`, `DOCUMENT_INVALID`, `GRANT_DENIED` for one of somebody else, or of another grant.
 */
export async function readHold(jws: Uint8Array, grantId: string, owner: string): Promise<Hold> {
  const { payload, signers } = await verifyFlattenedJws(jws, HOLD_TYP, 'hold')
  const hold = parseHold(payload)
  if (signers[0]?.thumbprint === owner && hold.grant === grantId) return hold
  throw new AttestError('GRANT_DENIED', "the gateway answered with a hold that is not its owner's, or of another grant", {
    at: 'grant.hold',
  })
}
