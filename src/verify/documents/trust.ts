import * as z from 'zod'
import { blobField, encodeDocument, parseDocument, setField, sha256Field, textField } from './fields.ts'
import { type MlDsaKey, mlDsaKeySchema, type SigningKey, signingKeyFields } from './keys.ts'

/** A gateway by the key that countersigns its receipts. */
export interface TrustedGateway extends SigningKey {
  /** Where it is there, receipts of this gateway must be signed by this key too. */
  readonly mlDsa?: MlDsaKey
}

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
  /** Keys that countersign receipts, each once. */
  readonly gateways: readonly TrustedGateway[]
  /** Thumbprints of the owners whose grants count. */
  readonly owners: readonly string[]
  /** Root certificates (DER, base64url) of simulators. What verifies under them is marked as simulated. */
  readonly simulatedRoots: readonly string[]
}

const gatewaySchema: z.ZodType<TrustedGateway> = z.strictObject({ ...signingKeyFields, mlDsa: mlDsaKeySchema.exactOptional() })

/** Of two entries for one key the weaker one would count. */
function areDistinct(gateways: readonly TrustedGateway[]): boolean {
  return new Set(gateways.map((g) => g.x)).size === gateways.length
}

const schema: z.ZodType<TrustFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/trust/v1'),
  logs: z.array(z.strictObject({ origin: textField(256), key: textField(512) })).max(64),
  witnesses: setField(textField(512), 64),
  gateways: z.array(gatewaySchema).max(64).refine(areDistinct, { error: 'want each key once' }),
  owners: setField(sha256Field, 1024),
  simulatedRoots: z.array(blobField(8192)).max(16),
})

export function parseTrustFile(bytes: Uint8Array): TrustFile {
  return parseDocument('trust', schema, bytes)
}

export function encodeTrustFile(trust: TrustFile): Uint8Array {
  return encodeDocument('trust', schema, trust)
}
