import * as z from 'zod'
import { RELEASE_MODES, type ReleaseMode } from './contract.ts'
import { countField, encodeDocument, instantField, parseDocument, setField, sha256Field } from './fields.ts'

/** JWS `typ` of a release intent. */
export const INTENT_TYP = 'sealgate-release-intent-v1+jws'

/** One use of a grant: slot k and its public tag HMAC-SHA256(useKey, u32be(k)). */
export interface UseSlot {
  readonly grant: string
  readonly k: number
  readonly tag: string
}

/** What one releaser is about to do, with its own grants and their data. Logged before any key is sealed (design section 3.6). */
export interface ReleaseIntent {
  readonly v: 1
  /** Job digest. */
  readonly job: string
  /** SHA-256 of the binding's canonical bytes. */
  readonly binding: string
  /** See {@link evidenceDigest}. */
  readonly evidence: string
  /** SHA-256 of the dataset headers that the grants cover, in the order of the contract's inputs. */
  readonly datasets: readonly string[]
  /** SHA-256 of the job's grants that the signer releases under. */
  readonly grants: readonly string[]
  readonly policies: readonly string[]
  readonly slots: readonly UseSlot[]
  /** Digest of the enclave's KEM key. */
  readonly kem: string
  /** `direct`: the owner of the grants signed; `brokered`: the broker that the grants name. */
  readonly mode: ReleaseMode
  /** A terminal entry must follow by then. */
  readonly deadline: string
}

const schema: z.ZodType<ReleaseIntent> = z.strictObject({
  v: z.literal(1),
  job: sha256Field,
  binding: sha256Field,
  evidence: sha256Field,
  datasets: z.array(sha256Field).min(1).max(64),
  grants: setField(sha256Field, 16).refine((g) => g.length >= 1, { error: 'want at least one grant' }),
  policies: setField(sha256Field, 16),
  slots: z
    .array(z.strictObject({ grant: sha256Field, k: countField(999_999), tag: sha256Field }))
    .min(1)
    .max(16),
  kem: sha256Field,
  mode: z.enum(RELEASE_MODES),
  deadline: instantField,
})

export function parseIntent(bytes: Uint8Array): ReleaseIntent {
  return parseDocument('intent', schema, bytes)
}

export function encodeIntent(intent: ReleaseIntent): Uint8Array {
  return encodeDocument('intent', schema, intent)
}
