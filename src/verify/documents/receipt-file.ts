import * as z from 'zod'
import { encodeCanonical, type Json } from '../formats/canonical-json.ts'
import { type EvidenceBundleJson, evidenceBundleSchema } from './evidence-bundle.ts'
import { blobField, bytesField, checkDocument, countField, parseDocument, sha256Field } from './fields.ts'
import { MAX_RELEASES } from './leaf.ts'

/** A log entry with its proof. */
export interface ProvenEntry {
  /** Canonical JSON of the leaf, base64url. */
  readonly leaf: string
  readonly salt: string
  readonly index: number
  /** Sibling hashes, leaf to root. */
  readonly proof: readonly string[]
  /** C2SP signed note. */
  readonly checkpoint: string
}

/**
 * Everything that a third party needs to check one job for ever, with no network (design section 6). Carries no trust.
 * Each JWS is its exact canonical JSON, base64url.
 */
export interface ReceiptFile {
  readonly v: 1
  readonly type: 'sealgate/receipt-file/v1'
  readonly receipt: string
  readonly contract: string
  readonly grants: readonly string[]
  readonly policies: readonly string[]
  /** Dataset headers in the order of the contract's inputs. */
  readonly headers: readonly string[]
  /** One for each release that was logged, in the order of the log. */
  readonly intents: readonly string[]
  readonly evidence: EvidenceBundleJson | null
  readonly ownerNonces: readonly string[]
  /** The checkpoint that went into the job nonce. */
  readonly nonceCheckpoint: string | null
  /** Certificates, CRLs and OCSP responses (DER) and documents of Intel and NVIDIA as used. */
  readonly endorsements: readonly string[]
  /** `releases` are the entries of `intents`, in their order. */
  readonly log: { readonly releases: readonly ProvenEntry[]; readonly ending: ProvenEntry }
}

/** Largest receipt file, in bytes. */
export const MAX_RECEIPT_FILE_SIZE: number = 16 * 1024 * 1024
/** Endorsements beside those in the evidence: a system of GPUs and switches needs some forty. */
export const MAX_RECEIPT_ENDORSEMENTS = 128

export const provenEntrySchema: z.ZodType<ProvenEntry> = z.strictObject({
  leaf: blobField(4096),
  salt: bytesField(32),
  index: countField(),
  proof: z.array(sha256Field).max(64),
  checkpoint: z
    .string()
    .min(1)
    .max(16 * 1024),
})

const document = blobField(512 * 1024)

export const receiptFileSchema: z.ZodType<ReceiptFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/receipt-file/v1'),
  receipt: document,
  contract: document,
  grants: z.array(document).max(16),
  policies: z.array(document).max(16),
  headers: z.array(document).max(64),
  intents: z.array(document).max(MAX_RELEASES),
  evidence: evidenceBundleSchema.nullable(),
  ownerNonces: z.array(bytesField(32)).max(16),
  nonceCheckpoint: z
    .string()
    .min(1)
    .max(16 * 1024)
    .nullable(),
  endorsements: z.array(blobField(1024 * 1024)).max(MAX_RECEIPT_ENDORSEMENTS),
  log: z.strictObject({ releases: z.array(provenEntrySchema).max(MAX_RELEASES), ending: provenEntrySchema }),
})

export function parseReceiptFile(bytes: Uint8Array): ReceiptFile {
  return parseDocument('receipt-file', receiptFileSchema, bytes, MAX_RECEIPT_FILE_SIZE)
}

export function encodeReceiptFile(file: ReceiptFile): Uint8Array {
  return encodeCanonical(checkDocument('receipt-file', receiptFileSchema, file) as unknown as Json)
}
