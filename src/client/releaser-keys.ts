import type { Secret, SigningPrivateKey } from '../seal/index.ts'
import type { MadeRelease } from './release-record.ts'

/** What a releaser holds. Whoever implements it can release: an owner's folder, or a broker's key store. */
export interface ReleaserKeys {
  /** Signs release intents: the owner's grant key, or the broker's key that grants name. */
  readonly intentKey: SigningPrivateKey
  /** JWK thumbprint of intentKey. */
  readonly thumbprint: string
  /** null: this releaser does not hold the grant's use key. The caller wipes it. */
  useKey(grantId: string): Promise<{ readonly useKey: Secret; readonly nextSlot: number } | null>
  /** Durable before it returns; never goes back. */
  spendSlots(grantId: string, nextSlot: number): Promise<void>
  /** Data key of the dataset with this header digest, or null. The caller wipes it. */
  datasetKey(headerDigest: string): Promise<Secret | null>
  /** Remembered revocations (and later holds); true refuses every release under the grant. */
  isRevoked(grantId: string): Promise<boolean>
  /** Kept for `log watch`, durable before the intent leaves. */
  recordRelease(record: MadeRelease): Promise<void>
}
