import * as z from 'zod'
import { blobField, encodeDocument, instantField, parseDocument, setField, sha256Field, textField } from './fields.ts'
import { type MlDsaKey, mlDsaKeySchema, type SigningKey, signingKeyFields } from './keys.ts'

/** A gateway by the key that countersigns its receipts. */
export interface TrustedGateway extends SigningKey {
  /** Where it is there, receipts of this gateway must be signed by this key too. */
  readonly mlDsa?: MlDsaKey
}

/** A key of the file whose word counts only for what the log proves to be older than `at`. */
export interface RetiredKey {
  readonly kind: 'gateway' | 'log' | 'owner' | 'witness'
  /** As the file names it: `x` of a gateway, verifier key of a log or witness, thumbprint of an owner. */
  readonly key: string
  readonly at: string
  /** Somebody else may have had it since `at`. */
  readonly compromised: boolean
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
  /** Each key once; absent: none is retired. */
  readonly retired?: readonly RetiredKey[]
}

const gatewaySchema: z.ZodType<TrustedGateway> = z.strictObject({ ...signingKeyFields, mlDsa: mlDsaKeySchema.exactOptional() })

/** Of two entries for one key the weaker one would count. */
function areDistinct(gateways: readonly TrustedGateway[]): boolean {
  return new Set(gateways.map((g) => g.x)).size === gateways.length
}

const retiredSchema: z.ZodType<RetiredKey> = z.strictObject({
  kind: z.enum(['gateway', 'log', 'owner', 'witness']),
  key: textField(512),
  at: instantField,
  compromised: z.boolean(),
})

/** The keys of one kind, as {@link RetiredKey} names them. */
export function keysOfKind(trust: TrustFile, kind: RetiredKey['kind']): readonly string[] {
  switch (kind) {
    case 'gateway':
      return trust.gateways.map((g) => g.x)
    case 'log':
      return trust.logs.map((l) => l.key)
    case 'owner':
      return trust.owners
    case 'witness':
      return trust.witnesses
  }
}

/** A date of a key that the file does not name would be a slip of the pen that trusts on; of two dates one would not count. */
function retiresItsOwn(trust: TrustFile): boolean {
  const retired = trust.retired ?? []
  const distinct = new Set(retired.map(({ kind, key }) => `${kind} ${key}`)).size === retired.length
  return distinct && retired.every(({ kind, key }) => keysOfKind(trust, kind).includes(key))
}

const schema: z.ZodType<TrustFile> = z
  .strictObject({
    v: z.literal(1),
    type: z.literal('sealgate/trust/v1'),
    logs: z.array(z.strictObject({ origin: textField(256), key: textField(512) })).max(64),
    witnesses: setField(textField(512), 64),
    gateways: z.array(gatewaySchema).max(64).refine(areDistinct, { error: 'want each key once' }),
    owners: setField(sha256Field, 1024),
    simulatedRoots: z.array(blobField(8192)).max(16),
    retired: z.array(retiredSchema).min(1).max(1216).exactOptional(),
  })
  .refine(retiresItsOwn, { error: 'want each retired key once, and among the keys of the file', path: ['retired'] })

export function parseTrustFile(bytes: Uint8Array): TrustFile {
  return parseDocument('trust', schema, bytes)
}

export function encodeTrustFile(trust: TrustFile): Uint8Array {
  return encodeDocument('trust', schema, trust)
}
