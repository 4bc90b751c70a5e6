import { allowsItems, releaserOf, unixSeconds } from '../../verify/appraise/index.ts'
import type { Item } from '../../verify/documents/array.ts'
import type { ImageRef } from '../../verify/documents/contract.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Client } from '../client.ts'
import { type CheckedGrant, checkGrant, revokedError, withOwn } from '../grants.ts'
import { heldError } from '../holds.ts'
import type { Owner } from '../owner.ts'

/** What a job needs of grants, as far as it matters for finding them. */
export interface GrantNeed {
  /** Header digests, each with the thumbprint of its owner. */
  readonly datasets: ReadonlyMap<string, string>
  readonly image: ImageRef
  readonly purpose: string
  /** TLS keys that are to speak with a service; none for a batch job. */
  readonly clients: readonly string[]
  /** Of an array job. */
  readonly items?: readonly Item[] | undefined
  /** Seconds since the epoch. */
  readonly now: number
}

/**
 * The grants that the caller names, sorted by digest. Whether they allow the job in full is decided by the grant rules, by every
 * releaser, the gateway and the enclave.
 * @param owners - Thumbprints of the owners that the trust file names: no receipt of a job under others' grants would verify.
 * @throws AttestError `GRANT_DENIED` for one that was revoked, `GRANT_HELD` for one that is held, `SIGNER_UNKNOWN` for one of an owner whom the trust file does not
 * name, and the errors of {@link checkGrant}.
 */
export async function namedGrants(
  client: Client,
  owner: Owner,
  owners: readonly string[],
  named: readonly string[],
): Promise<readonly CheckedGrant[]> {
  const grants = await Promise.all([...new Set(named)].map(async (id) => withOwn(owner, await checkGrant(await client.getGrant(id)))))
  const revoked = grants.find((g) => g.revoked)
  if (revoked !== undefined) throw revokedError(revoked.grantId)
  const held = grants.find((g) => g.held)
  if (held !== undefined) throw heldError(held.grantId)
  const stranger = grants.find((g) => !owners.includes(g.signer))
  if (stranger !== undefined) throw strangerError(stranger)
  return grants.sort(byDigest)
}

/**
 * Looks for grants: of each owner the one that fits and lives longest. Sorted by digest.
 * @throws AttestError `GRANT_DENIED` when none fits, `GRANT_HELD` when every one that fits is held, and as {@link namedGrants}.
 */
export async function findGrants(
  client: Client,
  owner: Owner,
  owners: readonly string[],
  need: GrantNeed,
): Promise<readonly CheckedGrant[]> {
  const kept = new Set(await owner.keyring.grants())
  const candidates: CheckedGrant[] = []
  for (const remote of await client.listGrants()) {
    const grant = await withOwn(owner, await checkGrant(remote))
    // Of the own grants only those whose use key is here can be released under.
    if (releaserOf(grant).thumbprint !== owner.grantThumbprint || kept.has(grant.grantId)) candidates.push(grant)
  }
  const chosen = [...new Set(need.datasets.values())].map((signer) => {
    const datasets = [...need.datasets].flatMap(([digest, of]) => (of === signer ? [digest] : []))
    const fitting = candidates.filter((g) => g.signer === signer && fits(owner, g, datasets, need))
    const free = fitting.filter((g) => !g.held)
    const best = free.sort((a, b) => unixSeconds(b.grant.expires) - unixSeconds(a.grant.expires))[0]
    if (best === undefined && fitting[0] !== undefined) throw heldError(fitting[0].grantId)
    if (best === undefined) throw noGrant(owner, signer, candidates.length)
    if (!owners.includes(signer)) throw strangerError(best)
    return best
  })
  return chosen.sort(byDigest)
}

function fits(
  owner: Owner,
  { grant, revoked }: CheckedGrant,
  datasets: readonly string[],
  { image, purpose, clients, items, now }: GrantNeed,
): boolean {
  return (
    !revoked &&
    datasets.every((d) => grant.datasets.includes(d)) &&
    grant.images.some((i) => i.runner === image.runner && i.digest === image.digest) &&
    grant.submitters.includes(owner.submitThumbprint) &&
    grant.purposes.includes(purpose) &&
    clients.every((c) => grant.clients.includes(c)) &&
    (items === undefined || allowsItems(grant, items)) &&
    unixSeconds(grant.notBefore) <= now &&
    now < unixSeconds(grant.expires)
  )
}

function noGrant({ grantThumbprint }: Owner, signer: string, seen: number): AttestError {
  const advice = signer === grantThumbprint ? 'make one with sealgate grant create' : 'ask that owner for one that names you as submitter'
  return new AttestError(
    'GRANT_DENIED',
    `none of the ${seen} grants seen covers the datasets of owner ${signer}, the image and the purpose now; ${advice}`,
  )
}

function strangerError({ grantId, signer }: CheckedGrant): AttestError {
  return new AttestError('SIGNER_UNKNOWN', `your trust file does not name owner ${signer} of grant ${grantId}`, { at: 'trust.owners' })
}

function byDigest(a: CheckedGrant, b: CheckedGrant): number {
  return a.grantId < b.grantId ? -1 : 1
}
