import * as z from 'zod'
import { AttestError } from '../errors.ts'
import { blobField, encodeDocument, instantField, MAX_DOCUMENT_SIZE, parseDocument, sha256Field } from './fields.ts'
import { type HpkePublicKey, type HpkeSuiteName, hpkePublicKeySchema, hpkeSuiteField } from './keys.ts'

/** JWS `typ` of a broker's description of itself. */
export const BROKER_TYP = 'sealgate-broker-v1+jws'

/** What owners need to know of a key broker, signed under its intent key: grants name that key's thumbprint. */
export interface BrokerDescription {
  readonly v: 1
  /** To this key owners wrap what they entrust. */
  readonly kem: HpkePublicKey
}

const brokerSchema: z.ZodType<BrokerDescription> = z.strictObject({ v: z.literal(1), kem: hpkePublicKeySchema })

export function parseBroker(bytes: Uint8Array): BrokerDescription {
  return parseDocument('broker', brokerSchema, bytes)
}

export function encodeBroker(broker: BrokerDescription): Uint8Array {
  return encodeDocument('broker', brokerSchema, broker)
}

/** JWS `typ` of an entrustment. */
export const ENTRUSTMENT_TYP = 'sealgate-entrustment-v1+jws'

/** A key, sealed to the broker's KEM key (docs/formats/entrustment.md). */
export interface EntrustedKey {
  readonly suite: HpkeSuiteName
  readonly enc: string
  readonly ciphertext: string
}

/** Keys that an owner hands to a broker, so that it releases them under one grant. Signed under the owner's grant key. */
export interface Entrustment {
  readonly v: 1
  /** Thumbprint of the broker's intent key. */
  readonly broker: string
  /** Digest of the broker's KEM key. */
  readonly kem: string
  readonly entrustedAt: string
  /** The grant as its owner signed it, and its use key. */
  readonly grant: { readonly jws: string; readonly useKey: EntrustedKey }
  /** Datasets of the grant, each header with its key, each once. */
  readonly datasets: readonly { readonly header: string; readonly key: EntrustedKey }[]
}

const keySchema: z.ZodType<EntrustedKey> = z.strictObject({ suite: hpkeSuiteField, enc: blobField(2048), ciphertext: blobField(256) })

const schema: z.ZodType<Entrustment> = z.strictObject({
  v: z.literal(1),
  broker: sha256Field,
  kem: sha256Field,
  entrustedAt: instantField,
  grant: z.strictObject({ jws: blobField(64 * 1024), useKey: keySchema }),
  datasets: z
    .array(z.strictObject({ header: blobField(64 * 1024), key: keySchema }))
    .min(1)
    .max(64)
    .refine((list) => new Set(list.map((d) => d.header)).size === list.length, { error: 'want each dataset once' }),
})

export function parseEntrustment(bytes: Uint8Array): Entrustment {
  return parseDocument('entrustment', schema, bytes)
}

/** @throws AttestError `LIMIT_EXCEEDED` for more than a reader takes. */
export function encodeEntrustment(entrustment: Entrustment): Uint8Array {
  const bytes = encodeDocument('entrustment', schema, entrustment)
  if (bytes.length <= MAX_DOCUMENT_SIZE) return bytes
  throw new AttestError(
    'LIMIT_EXCEEDED',
    `an entrustment of ${bytes.length} bytes; at most ${MAX_DOCUMENT_SIZE}: entrust fewer datasets at a time`,
  )
}
