import * as z from 'zod'
import { encodeDocument, instantField, parseDocument, sha256Field, textField } from './fields.ts'

/** JWS `typ` of an erasure order. */
export const ERASURE_TYP = 'sealgate-erasure-v1+jws'

/** An owner's order that a dataset be erased. Signed under the key that the dataset's header names; there is no way back. */
export interface ErasureOrder {
  readonly v: 1
  /** SHA-256 of the dataset's header. */
  readonly dataset: string
  /** The owner's clock. */
  readonly erasedAt: string
  /** Whether jobs that have the key already are to be stopped. */
  readonly stopJobs: boolean
  /** SHA-256 of the policy whose log and witnesses the erasure must be proven under; null: the log's own word is enough. */
  readonly policy: string | null
  /** For people; stands in the receipt. */
  readonly reason: string | null
}

const schema: z.ZodType<ErasureOrder> = z.strictObject({
  v: z.literal(1),
  dataset: sha256Field,
  erasedAt: instantField,
  stopJobs: z.boolean(),
  policy: sha256Field.nullable(),
  reason: textField(256).nullable(),
})

export function parseErasureOrder(bytes: Uint8Array): ErasureOrder {
  return parseDocument('erasure', schema, bytes)
}

export function encodeErasureOrder(order: ErasureOrder): Uint8Array {
  return encodeDocument('erasure', schema, order)
}
