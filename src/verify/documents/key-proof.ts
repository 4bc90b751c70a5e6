import * as z from 'zod'
import { encodeDocument, parseDocument, sha256Field } from './fields.ts'

/** JWS `typ` of a key proof. */
export const KEY_PROOF_TYP = 'sealgate-key-proof-v1+jws'

/**
 * "The holder of this TLS key holds the key that signed this, too." Only who has the TLS key can use it, so it may be known
 * to anybody.
 */
export interface KeyProof {
  readonly v: 1
  /** SHA-256 of the SubjectPublicKeyInfo of the TLS key. */
  readonly tls: string
}

const schema: z.ZodType<KeyProof> = z.strictObject({ v: z.literal(1), tls: sha256Field })

export function parseKeyProof(bytes: Uint8Array): KeyProof {
  return parseDocument('key-proof', schema, bytes)
}

export function encodeKeyProof(proof: KeyProof): Uint8Array {
  return encodeDocument('key-proof', schema, proof)
}
