import { grantTimeChecks, jobGrantChecks, type Share, sharesOf } from '../../verify/appraise/index.ts'
import { AttestError } from '../../verify/errors.ts'
import { accepts } from '../../verify/verdict.ts'
import { refuseRevoked } from '../grants.ts'
import type { ReleaserKeys } from '../releaser-keys.ts'
import { describeFailures } from './check-evidence.ts'
import type { JobTerms } from './terms.ts'

/** The parts of a job that a key releases: one, or two where it is an owner's and, for others, a broker's. */
export function ownShares(terms: JobTerms, thumbprint: string): readonly Share[] {
  return sharesOf(terms.contract, terms.grants).filter((share) => share.releaser.thumbprint === thumbprint)
}

/**
 * The releaser's own word on a job, whatever gateway and enclave think of it: the grants of all owners allow it now, none of
 * those released here was taken back, and this releaser has the keys of its part. The owners' grants are the permission;
 * nobody is asked.
 * @param now - Seconds since the epoch.
 * @returns the parts that this releaser answers for.
 * @throws AttestError `GRANT_DENIED`, `GRANT_EXPIRED`, `NOT_FOUND` for keys that are not here.
 */
export async function checkShares(terms: JobTerms, keys: ReleaserKeys, now: number): Promise<readonly Share[]> {
  const shares = ownShares(terms, keys.thumbprint)
  if (shares.length === 0) throw new AttestError('GRANT_DENIED', 'no grant of this job names your key', { at: 'grants' })
  const checks = await jobGrantChecks(terms, terms.grants)
  if (!accepts(checks)) throw new AttestError('GRANT_DENIED', describeFailures(checks), { at: 'grants' })
  const times = terms.grants.flatMap((g) => grantTimeChecks(g.grant, now, now))
  if (!accepts(times)) throw new AttestError('GRANT_EXPIRED', describeFailures(times), { at: 'grants' })
  const grants = shares.flatMap((share) => share.grants)
  await refuseRevoked(
    keys,
    grants.map((g) => g.digest),
  )
  for (const { digest, grant } of grants) {
    const held = await keys.useKey(digest)
    if (held === null) throw new AttestError('NOT_FOUND', `the use key of grant ${digest} is not here`, { at: 'grants' })
    held.useKey.wipe()
    if (held.nextSlot >= grant.uses)
      throw new AttestError('GRANT_USED', `all ${grant.uses} uses of grant ${digest} are spent`, { at: 'grant.uses' })
  }
  for (const dataset of new Set(shares.flatMap((share) => share.datasets))) {
    const dek = await keys.datasetKey(dataset)
    if (dek === null) throw new AttestError('NOT_FOUND', `the key of dataset ${dataset} is not here`, { at: 'contract.inputs' })
    dek.wipe()
  }
  return shares
}
