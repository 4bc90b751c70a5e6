import { same } from '../appraise/check.ts'
import { fromBase64Url, toHex } from '../bytes/bytes.ts'
import type { HoldFile } from '../documents/event-file.ts'
import { parseEventStatement } from '../documents/event-statement.ts'
import { HOLD_TYP, parseHold } from '../documents/hold.ts'
import { parsePolicy } from '../documents/policy.ts'
import { readGrant, readNamed, readSigned } from './documents.ts'
import type { EventParts } from './event-parts.ts'

export async function readHold(file: HoldFile, payload: Uint8Array): Promise<EventParts> {
  const { predicate, subject } = parseEventStatement('hold', payload)
  const signed = await readSigned(file.hold, HOLD_TYP, 'hold')
  const { grant: named, sequence, held, stopJobs, basis, at } = parseHold(signed.payload)
  const { grant, digest, signer: owner } = await readGrant(file.grant, 'grant')
  const policy = await readNamed(file.policy, parsePolicy)
  return {
    type: 'hold',
    policy,
    owners: [owner],
    checks: [
      same('signature.subject', toHex(fromBase64Url(digest)), subject[0].digest.sha256),
      same('signature.grant', digest, named),
      same('signature.stated-grant', digest, predicate.grant),
      same('signature.owner', owner, signed.signer),
      same('signature.stated-owner', owner, predicate.owner),
      same('signature.hold', signed.digest, predicate.hold),
      same('signature.policy', grant.policy, policy.digest),
    ],
    checksAt: () => Promise.resolve([]),
    facts: { type: 'hold', grant: digest, owner, sequence, held, stopJobs, basis, at, datasets: grant.datasets },
    notChecked: ['whether the hold was changed later: the highest sequence counts'],
  }
}
