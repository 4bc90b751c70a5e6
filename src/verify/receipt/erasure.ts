import { same } from '../appraise/check.ts'
import { fromBase64Url, toHex } from '../bytes/bytes.ts'
import { ERASURE_TYP, parseErasureOrder } from '../documents/erasure.ts'
import type { ErasureFile } from '../documents/event-file.ts'
import { parseEventStatement } from '../documents/event-statement.ts'
import { parsePolicy } from '../documents/policy.ts'
import { parseDatasetHeader, readNamed, readSigned } from './documents.ts'
import type { EventParts } from './event-parts.ts'

export async function readErasure(file: ErasureFile, payload: Uint8Array): Promise<EventParts> {
  const { predicate, subject } = parseEventStatement('erasure', payload)
  const signed = await readSigned(file.order, ERASURE_TYP, 'order')
  const order = parseErasureOrder(signed.payload)
  const header = await readNamed(file.header, parseDatasetHeader)
  const policy = file.policy === null ? null : await readNamed(file.policy, parsePolicy)
  const { owner, legal, plaintextSize } = header.value
  return {
    type: 'erasure',
    policy,
    owners: [owner],
    checks: [
      same('signature.subject', toHex(fromBase64Url(header.digest)), subject[0].digest.sha256),
      same('signature.dataset', header.digest, order.dataset),
      same('signature.stated-dataset', header.digest, predicate.dataset),
      same('signature.owner', owner, signed.signer),
      same('signature.stated-owner', owner, predicate.owner),
      same('signature.order', signed.digest, predicate.order),
      same('signature.policy', order.policy, policy?.digest ?? null),
    ],
    checksAt: () => Promise.resolve([]),
    facts: {
      type: 'erasure',
      dataset: header.digest,
      owner,
      orderedAt: order.erasedAt,
      stopJobs: order.stopJobs,
      reason: order.reason,
      plaintextSize,
      legal,
      destroyed: predicate.destroyed,
    },
    notChecked: ['destruction (the word of gateway and owner)'],
  }
}
