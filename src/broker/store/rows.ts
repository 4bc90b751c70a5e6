import { z } from 'zod'
import { blobField, countField, encodeDocument, parseDocument, sha256Field } from '../../verify/documents/fields.ts'
import { type HpkePublicKey, hpkePublicKeySchema, type SigningKey, signingKeySchema } from '../../verify/documents/keys.ts'
import { AttestError } from '../../verify/errors.ts'

/** A key under a key-encryption key. */
export interface WrappedKey {
  /** Id and epoch of that key. */
  readonly kek: string
  readonly epoch: number
  readonly ciphertext: string
}

/** The key-encryption keys that count, oldest first; the last one wraps. A row under any other is not opened. */
export interface EpochsRow {
  readonly v: 1
  readonly type: 'sealgate/broker-epochs/v1'
  readonly keks: readonly { readonly epoch: number; readonly id: string }[]
}

export interface DatasetRow {
  readonly v: 1
  readonly type: 'sealgate/broker-dataset/v1'
  readonly header: string
  readonly wrapped: WrappedKey
}

export interface GrantRow {
  readonly v: 1
  readonly type: 'sealgate/broker-grant/v1'
  /** The grant as its owner signed it. */
  readonly jws: string
  /** Its use key. */
  readonly wrapped: WrappedKey
}

export interface IntentKeyRow {
  readonly v: 1
  readonly type: 'sealgate/broker-intent-key/v1'
  readonly publicKey: SigningKey
  readonly wrapped: WrappedKey
}

export interface KemKeyRow {
  readonly v: 1
  readonly type: 'sealgate/broker-kem-key/v1'
  readonly publicKey: HpkePublicKey
  readonly wrapped: WrappedKey
}

/** What is known of a grant for ever, also when its keys are gone: whose it is, and which slots were used. */
export interface LedgerRow {
  readonly v: 1
  readonly type: 'sealgate/broker-ledger/v1'
  readonly owner: string
  /** The lowest slot that was not used. Never goes back. */
  readonly nextSlot: number
}

export interface RevocationRow {
  readonly v: 1
  readonly type: 'sealgate/broker-revocation/v1'
  /** The revocation as the owner signed it. */
  readonly jws: string
}

/** A row that holds a wrapped key. */
export type KeyRow = DatasetRow | GrantRow | IntentKeyRow | KemKeyRow

const v = z.literal(1)
const epochField = countField(999_999)
const wrapped: z.ZodType<WrappedKey> = z.strictObject({ kek: z.string().min(1).max(512), epoch: epochField, ciphertext: blobField(8192) })
const keyRow: z.ZodType<KeyRow> = z.discriminatedUnion('type', [
  z.strictObject({ v, type: z.literal('sealgate/broker-dataset/v1'), header: blobField(64 * 1024), wrapped }),
  z.strictObject({ v, type: z.literal('sealgate/broker-grant/v1'), jws: blobField(64 * 1024), wrapped }),
  z.strictObject({ v, type: z.literal('sealgate/broker-intent-key/v1'), publicKey: signingKeySchema, wrapped }),
  z.strictObject({ v, type: z.literal('sealgate/broker-kem-key/v1'), publicKey: hpkePublicKeySchema, wrapped }),
])
const epochs: z.ZodType<EpochsRow> = z.strictObject({
  v,
  type: z.literal('sealgate/broker-epochs/v1'),
  keks: z
    .array(z.strictObject({ epoch: epochField, id: z.string().min(1).max(512) }))
    .min(1)
    .max(64)
    .refine((list) => list.every(({ epoch }, i) => i === 0 || (list[i - 1]?.epoch ?? 0) < epoch), { error: 'want rising epochs' }),
})
const ledger: z.ZodType<LedgerRow> = z.strictObject({
  v,
  type: z.literal('sealgate/broker-ledger/v1'),
  owner: sha256Field,
  nextSlot: countField(1_000_000),
})
const revocation: z.ZodType<RevocationRow> = z.strictObject({ v, type: z.literal('sealgate/broker-revocation/v1'), jws: blobField(4096) })

/** Reads and writes rows of one kind. */
export interface RowCodec<T> {
  /** @throws AttestError `KEYSTORE_CORRUPT`. */
  parse(name: string, bytes: Uint8Array): T
  encode(row: T): Uint8Array
}

function codec<T>(schema: z.ZodType<T>): RowCodec<T> {
  return {
    parse: (name, bytes) => {
      try {
        return parseDocument('row', schema, bytes, 256 * 1024)
      } catch (cause) {
        throw corrupt(name, 'is damaged', cause)
      }
    },
    encode: (row) => encodeDocument('row', schema, row),
  }
}

export const epochsRows: RowCodec<EpochsRow> = codec(epochs)
const anyKeyRows: RowCodec<KeyRow> = codec(keyRow)
/** The name says what kind of key is there: a row that was moved, or put in another's place, is refused. */
export const keyRows: RowCodec<KeyRow> = {
  parse: (name, bytes) => {
    const row = anyKeyRows.parse(name, bytes)
    if (name !== nameOfType(row, name)) throw corrupt(name, 'holds another kind of key')
    return row
  },
  encode: (row) => anyKeyRows.encode(row),
}

function nameOfType({ type }: KeyRow, name: string): string {
  if (type === 'sealgate/broker-intent-key/v1') return ROWS.intentKey
  if (type === 'sealgate/broker-kem-key/v1') return ROWS.kemKey
  const digest = digestOfRow(name)
  return type === 'sealgate/broker-dataset/v1' ? ROWS.dataset(digest) : ROWS.grant(digest)
}
export const ledgerRows: RowCodec<LedgerRow> = codec(ledger)
export const revocationRows: RowCodec<RevocationRow> = codec(revocation)

export function corrupt(name: string, what: string, cause?: unknown): AttestError {
  return new AttestError('KEYSTORE_CORRUPT', `${name} ${what}`, { at: 'broker.store', cause })
}

const DIGEST = /^[A-Za-z0-9_-]{43}$/

/** Names of rows. Digests become file names, so nothing else may. */
export const ROWS: {
  readonly epochs: string
  readonly intentKey: string
  readonly kemKey: string
  readonly dataset: (digest: string) => string
  readonly grant: (digest: string) => string
  readonly ledger: (digest: string) => string
  readonly revocation: (digest: string) => string
} = {
  epochs: 'epochs.json',
  intentKey: 'own-intent-key.json',
  kemKey: 'own-kem-key.json',
  dataset: (digest) => `dataset-${checkDigest(digest)}.json`,
  grant: (digest) => `grant-${checkDigest(digest)}.json`,
  ledger: (digest) => `ledger-${checkDigest(digest)}.json`,
  revocation: (digest) => `revoked-${checkDigest(digest)}.json`,
}

/** What rows with a wrapped key begin with. */
export const KEY_ROWS: readonly string[] = ['dataset-', 'grant-', 'own-']

/** The digest in the name of a dataset's or grant's row. */
export function digestOfRow(name: string): string {
  const digest = /^(?:dataset|grant)-([A-Za-z0-9_-]{43})\.json$/.exec(name)?.[1]
  if (digest === undefined) throw corrupt(name, 'is not the name of such a row')
  return digest
}

function checkDigest(digest: string): string {
  if (DIGEST.test(digest)) return digest
  throw new AttestError('USAGE', `"${digest}" is not a dataset or grant id`)
}
