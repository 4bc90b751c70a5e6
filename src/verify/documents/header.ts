import * as z from 'zod'
import { blobField, bytesField, countField, encodeDocument, iriField, parseDocument, setField, sha256Field, textField } from './fields.ts'
import { type HpkeSuiteName, hpkeSuiteField } from './keys.ts'

/** The one payload suite: Tink's AES256-GCM-HKDF streaming with 1 MiB segments. */
export const STREAM_SUITE = 'AES256-GCM-HKDF-SHA256-1MiB'

/** Largest header, in bytes. */
export const MAX_HEADER_SIZE: number = 64 * 1024

/** Under what law and agreement data may be used. Travels with the data, inside the associated data of every segment. */
export interface LegalContext {
  /** Purposes as IRIs (W3C DPV). */
  readonly purposes: readonly string[]
  readonly legalBasis: string | null
  readonly categories: readonly string[]
  readonly jurisdictions: readonly string[]
  readonly retention: string | null
  readonly agreement: string | null
}

interface SealedHeader {
  readonly v: 1
  readonly suite: typeof STREAM_SUITE
  readonly plaintextSize: number
  /** 32 bytes, for the key commitment. */
  readonly salt: string
  /** HKDF-SHA256(DEK, salt, "sealgate/commit/v1", 32). */
  readonly keyCommitment: string
}

/** What the plaintext of a dataset is: the bytes of one file, or an archive of many (docs/formats/dataset.md). */
export type DatasetContent = 'file' | 'archive'

/** Header of a dataset of an owner. */
export interface DatasetHeader extends SealedHeader {
  readonly kind: 'dataset'
  readonly content: DatasetContent
  /** Random, 16 bytes. */
  readonly datasetId: string
  /** Thumbprint of the owner's grant key: only grants under it count. */
  readonly owner: string
  readonly legal: LegalContext
}

/** The file key of a result, wrapped for one recipient. */
export interface WrappedKey {
  /** Digest of the recipient's HPKE key. */
  readonly recipient: string
  readonly suite: HpkeSuiteName
  readonly enc: string
  readonly ciphertext: string
}

/** Header of the sealed results of a job. */
export interface ResultHeader extends SealedHeader {
  readonly kind: 'result'
  /** Job digest. */
  readonly job: string
  readonly recipients: readonly WrappedKey[]
}

export type Header = DatasetHeader | ResultHeader

const legalSchema: z.ZodType<LegalContext> = z.strictObject({
  purposes: setField(iriField, 64),
  legalBasis: iriField.nullable(),
  categories: setField(iriField, 64),
  jurisdictions: setField(textField(64), 64),
  retention: textField(128).nullable(),
  agreement: textField(256).nullable(),
})

const sealed = {
  v: z.literal(1),
  suite: z.literal(STREAM_SUITE),
  plaintextSize: countField(),
  salt: bytesField(32),
  keyCommitment: sha256Field,
}

const schema: z.ZodType<Header> = z.discriminatedUnion('kind', [
  z.strictObject({
    ...sealed,
    kind: z.literal('dataset'),
    content: z.enum(['file', 'archive']),
    datasetId: bytesField(16),
    owner: sha256Field,
    legal: legalSchema,
  }),
  z.strictObject({
    ...sealed,
    kind: z.literal('result'),
    job: sha256Field,
    recipients: z
      .array(z.strictObject({ recipient: sha256Field, suite: hpkeSuiteField, enc: blobField(2048), ciphertext: blobField(256) }))
      .min(1)
      .max(16),
  }),
])

export { legalSchema }

export function parseHeader(bytes: Uint8Array): Header {
  return parseDocument('header', schema, bytes, MAX_HEADER_SIZE)
}

export function encodeHeader(header: Header): Uint8Array {
  return encodeDocument('header', schema, header)
}
