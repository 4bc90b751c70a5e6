import * as z from 'zod'
import { countField, encodeDocument, instantField, iriField, parseDocument, sha256Field } from './fields.ts'

/** JWS `typ` of a hold, and of its end. */
export const HOLD_TYP = 'sealgate-hold-v1+jws'

/** Holds a grant, or ends that: restriction of processing (GDPR Art. 18), objection (Art. 21). Signed by the owner. */
export interface Hold {
  readonly v: 1
  /** SHA-256 of the grant's canonical bytes. */
  readonly grant: string
  /** From 1, and only up: the highest counts, so an older document that is shown again changes nothing. */
  readonly sequence: number
  /** False ends the hold. */
  readonly held: boolean
  /** Whether jobs that have their keys already are to be stopped too. */
  readonly stopJobs: boolean
  /** On what ground, as a term of a vocabulary; null: not said. */
  readonly basis: string | null
  readonly at: string
}

const schema: z.ZodType<Hold> = z
  .strictObject({
    v: z.literal(1),
    grant: sha256Field,
    sequence: countField(1_000_000_000).refine((n) => n >= 1, { error: 'want 1 or more' }),
    held: z.boolean(),
    stopJobs: z.boolean(),
    basis: iriField.nullable(),
    at: instantField,
  })
  .refine(({ held, stopJobs }) => held || !stopJobs, { error: 'the end of a hold stops no jobs', path: ['stopJobs'] })

export function parseHold(bytes: Uint8Array): Hold {
  return parseDocument('hold', schema, bytes)
}

export function encodeHold(hold: Hold): Uint8Array {
  return encodeDocument('hold', schema, hold)
}
