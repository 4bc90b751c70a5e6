import { unixSeconds } from '../../verify/appraise/index.ts'
import type { ImageRef } from '../../verify/documents/contract.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Client } from '../client.ts'
import { checkOwnGrant, type OwnGrant, revokedError } from '../grants.ts'
import type { Owner } from '../owner.ts'

/** What a job needs of a grant, as far as it matters for finding one. */
export interface GrantNeed {
  /** Header digests. */
  readonly datasets: readonly string[]
  readonly image: ImageRef
  readonly purpose: string
  /** TLS keys that are to speak with a service; none for a batch job. */
  readonly clients: readonly string[]
  /** Seconds since the epoch. */
  readonly now: number
}

/**
 * The grants for a job, sorted by digest: those that the caller names, else the one own grant that fits and lives longest.
 * Whether they allow the job in full is decided by the grant rules, here and at the gateway and in the enclave.
 * @throws AttestError `GRANT_DENIED` when none fits or a named one was revoked, and the errors of {@link checkOwnGrant}.
 */
export async function chooseGrants(client: Client, owner: Owner, named: readonly string[], need: GrantNeed): Promise<readonly OwnGrant[]> {
  if (named.length > 0) {
    const grants = await Promise.all([...new Set(named)].map(async (id) => checkOwnGrant(owner, await client.getGrant(id))))
    const revoked = grants.find((g) => g.revoked)
    if (revoked !== undefined) throw revokedError(revoked.grantId)
    return grants.sort((a, b) => (a.grantId < b.grantId ? -1 : 1))
  }
  const kept = new Set(await owner.keyring.grants())
  const candidates: OwnGrant[] = []
  for (const remote of await client.listGrants()) {
    // The gateway's list may name grants that it should not: only those whose use key is here can be used.
    if (kept.has(remote.grantId)) candidates.push(await checkOwnGrant(owner, remote))
  }
  const fitting = candidates.filter((g) => fits(g, need))
  const best = fitting.sort((a, b) => unixSeconds(b.grant.expires) - unixSeconds(a.grant.expires))[0]
  if (best !== undefined) return [best]
  throw new AttestError(
    'GRANT_DENIED',
    `none of your ${candidates.length} grants covers these datasets, image and purpose now; make one with sealgate grant create`,
  )
}

function fits({ grant, revoked }: OwnGrant, { datasets, image, purpose, clients, now }: GrantNeed): boolean {
  return (
    !revoked &&
    datasets.every((d) => grant.datasets.includes(d)) &&
    grant.images.some((i) => i.runner === image.runner && i.digest === image.digest) &&
    grant.purposes.includes(purpose) &&
    clients.every((c) => grant.clients.includes(c)) &&
    unixSeconds(grant.notBefore) <= now &&
    now < unixSeconds(grant.expires)
  )
}
