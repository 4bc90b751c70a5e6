import { parseRevocation, REVOCATION_TYP } from '../verify/documents/grant.ts'
import { AttestError } from '../verify/errors.ts'
import { verifyFlattenedJws } from '../verify/formats/jws.ts'
import type { BrokerStore } from './store/broker-store.ts'

export interface Forgotten {
  readonly grant: string
  /** Datasets whose keys were destroyed with it: no other grant here needs them. */
  readonly datasets: readonly string[]
}

/**
 * Takes a grant back on its owner's word: nothing is released under it any more, and its keys are destroyed. There is no way
 * back: the same grant is not accepted again.
 * @throws AttestError `NOT_FOUND` for a grant that was never here, `GRANT_DENIED` for another owner's word;
 * `JWS_MALFORMED`, `SIGNATURE_INVALID`.
 */
export async function revokeAtBroker(store: BrokerStore, jws: Uint8Array): Promise<Forgotten> {
  const { payload, signers } = await verifyFlattenedJws(jws, REVOCATION_TYP, 'revocation')
  const { grant } = parseRevocation(payload)
  const ledger = await store.ledger(grant)
  if (ledger === null) throw new AttestError('NOT_FOUND', `this broker never held grant ${grant}`, { at: 'revocation' })
  if (signers[0]?.thumbprint !== ledger.owner) {
    throw new AttestError('GRANT_DENIED', `grant ${grant} is of owner ${ledger.owner}, who did not sign this`, { at: 'revocation' })
  }
  // First the word, then the keys: from here on nothing is released, and doing it again finishes what a crash cut short.
  await store.putRevocation(grant, jws)
  return { grant, datasets: (await store.forgetGrant(grant)).datasets }
}

/**
 * Destroys a grant's keys without its owner's word. The owner may entrust them again.
 * @throws AttestError `NOT_FOUND`.
 */
export async function withdrawGrant(store: BrokerStore, grant: string): Promise<Forgotten> {
  const forgotten = await store.forgetGrant(grant)
  if (!forgotten.grant && forgotten.datasets.length === 0) throw new AttestError('NOT_FOUND', `no key of grant ${grant} is here`)
  return { grant, datasets: forgotten.datasets }
}

/** @throws AttestError `NOT_FOUND`. */
export async function withdrawDataset(store: BrokerStore, dataset: string): Promise<void> {
  if (!(await store.forgetDataset(dataset))) throw new AttestError('NOT_FOUND', `no key of dataset ${dataset} is here`)
}
