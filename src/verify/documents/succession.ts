import * as z from 'zod'
import { encodeDocument, instantField, parseDocument } from './fields.ts'
import { type MlDsaKey, mlDsaKeySchema, type SigningKey, signingKeySchema } from './keys.ts'

/** JWS `typ` of a succession. */
export const SUCCESSION_TYP = 'sealgate-succession-v1+jws'

/**
 * A gateway's key names the key that signs receipts from now on. Signed by both, so that nobody is named who does not hold the
 * new key, and by the old ML-DSA-65 key where there is one.
 */
export interface Succession {
  readonly v: 1
  readonly from: SigningKey
  readonly to: SigningKey
  /** The ML-DSA-65 key that signs beside `to`. */
  readonly mlDsa: MlDsaKey
  /** The old key is good for what the log proves to be older than this. */
  readonly retired: string
}

const schema: z.ZodType<Succession> = z
  .strictObject({
    v: z.literal(1),
    from: signingKeySchema,
    to: signingKeySchema,
    mlDsa: mlDsaKeySchema,
    retired: instantField,
  })
  .refine(({ from, to }) => from.x !== to.x, { error: 'a key does not succeed itself', path: ['to'] })

export function parseSuccession(bytes: Uint8Array): Succession {
  return parseDocument('succession', schema, bytes)
}

export function encodeSuccession(succession: Succession): Uint8Array {
  return encodeDocument('succession', schema, succession)
}
