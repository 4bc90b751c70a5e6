import * as z from 'zod'
import { encodeCanonical, type Json, parseCanonical } from '../formats/canonical-json.ts'
import { type EvidenceBundleJson, evidenceBundleSchema } from './evidence-bundle.ts'
import { blobField, bytesField, checkDocument, parseDocument } from './fields.ts'
import {
  MAX_RECEIPT_ENDORSEMENTS,
  MAX_RECEIPT_FILE_SIZE,
  type ProvenEntry,
  provenEntrySchema,
  type ReceiptFile,
  receiptFileSchema,
} from './receipt-file.ts'

/** What every receipt file of an event has. Each JWS is its exact canonical JSON, base64url. */
interface EventFileBase {
  readonly v: 1
  /** General JWS, the opening of the entry. */
  readonly receipt: string
  readonly entry: ProvenEntry
}

export interface ErasureFile extends EventFileBase {
  readonly type: 'sealgate/erasure-file/v1'
  readonly order: string
  /** The header names the one key whose order counts. */
  readonly header: string
  /** Exact bytes of the policy that the order names. */
  readonly policy: string | null
}

export interface RevocationFile extends EventFileBase {
  readonly type: 'sealgate/revocation-file/v1'
  readonly revocation: string
  readonly grant: string
  /** Exact bytes of the policy that the grant names. */
  readonly policy: string
}

export interface HoldFile extends EventFileBase {
  readonly type: 'sealgate/hold-file/v1'
  readonly hold: string
  readonly grant: string
  /** Exact bytes of the policy that the grant names. */
  readonly policy: string
}

export interface OnboardingFile extends EventFileBase {
  readonly type: 'sealgate/onboarding-file/v1'
  readonly evidence: EvidenceBundleJson
  /** The gateway's challenge. */
  readonly nonce: string
  readonly endorsements: readonly string[]
}

/** Everything that a third party needs to check one event for ever, with no network. Carries no trust. */
export type EventFile = ErasureFile | RevocationFile | HoldFile | OnboardingFile

const document = blobField(512 * 1024)
const base = { v: z.literal(1), receipt: document, entry: provenEntrySchema }

const schema: z.ZodType<EventFile> = z.discriminatedUnion('type', [
  z.strictObject({ ...base, type: z.literal('sealgate/erasure-file/v1'), order: document, header: document, policy: document.nullable() }),
  z.strictObject({ ...base, type: z.literal('sealgate/revocation-file/v1'), revocation: document, grant: document, policy: document }),
  z.strictObject({ ...base, type: z.literal('sealgate/hold-file/v1'), hold: document, grant: document, policy: document }),
  z.strictObject({
    ...base,
    type: z.literal('sealgate/onboarding-file/v1'),
    evidence: evidenceBundleSchema,
    nonce: bytesField(32),
    endorsements: z.array(blobField(1024 * 1024)).max(MAX_RECEIPT_ENDORSEMENTS),
  }),
])

const EVENT_FILES: readonly EventFile['type'][] = [
  'sealgate/erasure-file/v1',
  'sealgate/hold-file/v1',
  'sealgate/onboarding-file/v1',
  'sealgate/revocation-file/v1',
]

export function parseEventFile(bytes: Uint8Array): EventFile {
  return parseDocument('event-file', schema, bytes, MAX_RECEIPT_FILE_SIZE)
}

export function encodeEventFile(file: EventFile): Uint8Array {
  return encodeCanonical(checkDocument('event-file', schema, file) as unknown as Json)
}

/** A receipt file of either kind: of a job, or of an event. */
export function parseAnyReceiptFile(bytes: Uint8Array): ReceiptFile | EventFile {
  const json = parseCanonical(bytes, MAX_RECEIPT_FILE_SIZE, 'receipt-file')
  const type = (json as { readonly type?: unknown } | null)?.type
  if (EVENT_FILES.some((t) => t === type)) return checkDocument('event-file', schema, json)
  return checkDocument('receipt-file', receiptFileSchema, json)
}
