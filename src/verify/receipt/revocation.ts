import { same } from '../appraise/check.ts'
import { fromBase64Url, toHex } from '../bytes/bytes.ts'
import type { RevocationFile } from '../documents/event-file.ts'
import { parseEventStatement } from '../documents/event-statement.ts'
import { parseRevocation, REVOCATION_TYP } from '../documents/grant.ts'
import { parsePolicy } from '../documents/policy.ts'
import { readGrant, readNamed, readSigned } from './documents.ts'
import type { EventParts } from './event-parts.ts'

export async function readRevocation(file: RevocationFile, payload: Uint8Array): Promise<EventParts> {
  const { predicate, subject } = parseEventStatement('revocation', payload)
  const signed = await readSigned(file.revocation, REVOCATION_TYP, 'revocation')
  const revocation = parseRevocation(signed.payload)
  const { grant, digest, signer: owner } = await readGrant(file.grant, 'grant')
  const policy = await readNamed(file.policy, parsePolicy)
  return {
    type: 'revocation',
    policy,
    owners: [owner],
    checks: [
      same('signature.subject', toHex(fromBase64Url(digest)), subject[0].digest.sha256),
      same('signature.grant', digest, revocation.grant),
      same('signature.stated-grant', digest, predicate.grant),
      same('signature.owner', owner, signed.signer),
      same('signature.stated-owner', owner, predicate.owner),
      same('signature.revocation', signed.digest, predicate.revocation),
      same('signature.policy', grant.policy, policy.digest),
    ],
    checksAt: () => Promise.resolve([]),
    facts: {
      type: 'revocation',
      grant: digest,
      owner,
      revokedAt: revocation.revokedAt,
      stopJobs: revocation.stopJobs,
      datasets: grant.datasets,
    },
    notChecked: [],
  }
}
