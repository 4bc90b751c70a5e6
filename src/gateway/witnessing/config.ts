import * as z from 'zod'
import { fileNameField, textField } from '../../verify/documents/fields.ts'
import { endpointField } from '../collateral/config.ts'

/** One of `witnesses` in `gateway.json`. */
export interface WitnessConfig {
  /** Submission prefix (C2SP tlog-witness): `/add-checkpoint` is appended. */
  readonly url: string
  /** C2SP verifier key of type 0x04: only its cosignatures count, whatever the address answers. */
  readonly vkey: string
  /** PEM file in the gateway folder: authorities of the witness's TLS certificate, instead of the public ones. */
  readonly caFile?: string | undefined
}

export const MAX_WITNESSES = 64

export const witnessesSchema: z.ZodType<readonly WitnessConfig[]> = z
  .array(z.strictObject({ url: endpointField, vkey: textField(512), caFile: fileNameField.optional() }))
  .max(MAX_WITNESSES)
  .refine((list) => new Set(list.map((w) => w.vkey)).size === list.length, { error: 'a witness is named twice' })
