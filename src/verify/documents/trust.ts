import * as z from 'zod'
import { blobField, encodeDocument, parseDocument, setField, sha256Field, textField } from './fields.ts'
import { type SigningKey, signingKeySchema } from './keys.ts'

/**
 * Everything beyond the built-in vendor roots that its user chose to trust (design section 2). Nothing that a gateway,
 * host or receipt hands over is added to it.
 */
export interface TrustFile {
  readonly v: 1
  readonly type: 'sealgate/trust/v1'
  readonly logs: readonly { readonly origin: string; readonly key: string }[]
  /** C2SP verifier keys. */
  readonly witnesses: readonly string[]
  /** Keys that countersign receipts. */
  readonly gateways: readonly SigningKey[]
  /** Thumbprints of the owners whose grants count. */
  readonly owners: readonly string[]
  /** Root certificates (DER, base64url) of simulators. What verifies under them is marked as simulated. */
  readonly simulatedRoots: readonly string[]
}

const schema: z.ZodType<TrustFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/trust/v1'),
  logs: z.array(z.strictObject({ origin: textField(256), key: textField(512) })).max(64),
  witnesses: setField(textField(512), 64),
  gateways: z.array(signingKeySchema).max(64),
  owners: setField(sha256Field, 1024),
  simulatedRoots: z.array(blobField(8192)).max(16),
})

export function parseTrustFile(bytes: Uint8Array): TrustFile {
  return parseDocument('trust', schema, bytes)
}

export function encodeTrustFile(trust: TrustFile): Uint8Array {
  return encodeDocument('trust', schema, trust)
}
