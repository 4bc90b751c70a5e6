import type { MadeRelease, ReleaseRecord } from '../client/release-record.ts'
import type { ReleaserKeys } from '../client/releaser-keys.ts'
import type { Secret, SigningPrivateKey } from '../seal/index.ts'
import { thumbprint } from '../verify/documents/keys.ts'
import type { BrokerStore } from './store/broker-store.ts'

/** A broker as a releaser: the keys of its store, under the same rules as an owner's. */
export class BrokerKeys implements ReleaserKeys {
  readonly intentKey: SigningPrivateKey
  readonly thumbprint: string
  readonly #store: BrokerStore
  readonly #releases: ReleaseRecord

  private constructor(store: BrokerStore, releases: ReleaseRecord, intentKey: SigningPrivateKey, name: string) {
    this.#store = store
    this.#releases = releases
    this.intentKey = intentKey
    this.thumbprint = name
  }

  /** @throws AttestError `KEYSTORE_*`, `KEK_DESTROYED`, `UNWRAP_FAILED`. */
  static async open(store: BrokerStore, releases: ReleaseRecord): Promise<BrokerKeys> {
    const intentKey = await store.intentKey()
    return new BrokerKeys(store, releases, intentKey, await thumbprint(intentKey))
  }

  async useKey(grantId: string): Promise<{ readonly useKey: Secret; readonly nextSlot: number } | null> {
    const ledger = await this.#store.ledger(grantId)
    if (ledger === null || (await this.isRevoked(grantId))) return null
    const useKey = await this.#store.useKey(grantId)
    return useKey === null ? null : { useKey, nextSlot: ledger.nextSlot }
  }

  spendSlots(grantId: string, nextSlot: number): Promise<void> {
    return this.#store.spendSlots(grantId, nextSlot)
  }

  datasetKey(headerDigest: string): Promise<Secret | null> {
    return this.#store.datasetKey(headerDigest)
  }

  isRevoked(grantId: string): Promise<boolean> {
    return this.#store.isRevoked(grantId)
  }

  /** A broker hears of revocations; what its owner holds, the gateway refuses. */
  isHeld(): Promise<boolean> {
    return Promise.resolve(false)
  }

  /** Keys that were withdrawn are not here any more. */
  isErased(): Promise<boolean> {
    return Promise.resolve(false)
  }

  recordRelease(record: MadeRelease): Promise<void> {
    return this.#releases.put(record)
  }
}
