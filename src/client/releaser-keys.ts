import type { Secret, SigningPrivateKey } from '../seal/index.ts'
import { AttestError } from '../verify/errors.ts'
import type { Owner } from './owner.ts'
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
  /** Remembered revocations; true refuses every release under the grant. */
  isRevoked(grantId: string): Promise<boolean>
  /** Remembered holds; true refuses every release under the grant until its owner ends that. */
  isHeld(grantId: string): Promise<boolean>
  /** True for a dataset that was erased here: its key is given to nobody. */
  isErased(headerDigest: string): Promise<boolean>
  /** Kept for `log watch`, durable before the intent leaves. */
  recordRelease(record: MadeRelease): Promise<void>
}

/** An owner's folder as a releaser: it releases under its own grants that say `direct`. */
export function ownerKeys({ grantKey, grantThumbprint, keyring, releases }: Owner): ReleaserKeys {
  return {
    intentKey: grantKey,
    thumbprint: grantThumbprint,
    useKey: (grantId) => orNull(keyring.grant(grantId)),
    spendSlots: (grantId, nextSlot) => keyring.spendSlots(grantId, nextSlot),
    datasetKey: (headerDigest) => orNull(keyring.datasetKey(headerDigest)),
    isRevoked: (grantId) => keyring.isRevoked(grantId),
    isHeld: async (grantId) => (await keyring.hold(grantId))?.held === true,
    isErased: (headerDigest) => keyring.isErased(headerDigest),
    recordRelease: (record) => releases.put(record),
  }
}

async function orNull<T>(key: Promise<T>): Promise<T | null> {
  try {
    return await key
  } catch (error) {
    if (error instanceof AttestError && error.code === 'NOT_FOUND') return null
    throw error
  }
}
