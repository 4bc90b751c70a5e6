import * as z from 'zod'
import { type Item, itemsSchema } from './array.ts'
import { argvSchema, envSchema, type ImageRef, imageRefSchema } from './contract.ts'
import {
  bytesField,
  countField,
  encodeDocument,
  instantField,
  iriField,
  parseDocument,
  setField,
  sha256Field,
  textField,
} from './fields.ts'

/** JWS `typ` of a grant. */
export const GRANT_TYP = 'sealgate-grant-v1+jws'

/** What an owner allows (design section 3.4). Signed under the key that the datasets' headers name. */
export interface Grant {
  readonly v: 1
  /** Random, 16 bytes. */
  readonly grantId: string
  /** SHA-256 of each dataset header. */
  readonly datasets: readonly string[]
  readonly images: readonly ImageRef[]
  /** Null: any arguments. A grant for a general-purpose image pins them. */
  readonly argv: readonly string[] | null
  readonly env: { readonly [name: string]: string } | null
  /** Items of which array jobs may consist. Absent: no array job. Null: any items. */
  readonly items?: readonly Item[] | null | undefined
  /** Thumbprints (RFC 7638) of the keys that may sign contracts. */
  readonly submitters: readonly string[]
  /** Digests of the HPKE keys that may receive results. */
  readonly recipients: readonly string[]
  /** SHA-256 of the SPKI of the TLS keys that may speak with a service on the data. Empty: no service. */
  readonly clients: readonly string[]
  readonly purposes: readonly string[]
  /** SHA-256 of the policy that must hold. */
  readonly policy: string
  /** Use slots k = 0 … uses-1. */
  readonly uses: number
  /** SHA-256("sealgate/use-key/v1" ‖ useKey). */
  readonly useKeyCommitment: string
  readonly notBefore: string
  readonly expires: string
  /** `direct`: the owner's own key releases. `brokered:` and a thumbprint: that key of a broker does, and the owner's does not. */
  readonly release: GrantRelease
  readonly jurisdictions: readonly string[]
  readonly agreement: string | null
}

const BROKERED = 'brokered:'

export type GrantRelease = 'direct' | `brokered:${string}`

const releaseField = z.custom<GrantRelease>(
  (value) =>
    value === 'direct' ||
    (typeof value === 'string' && value.startsWith(BROKERED) && sha256Field.safeParse(value.slice(BROKERED.length)).success),
  { error: 'want direct, or brokered: and the thumbprint of a key' },
)

/** Thumbprint of the broker's key; null for a grant that its owner's own client releases. */
export function brokerOf({ release }: Pick<Grant, 'release'>): string | null {
  return release === 'direct' ? null : release.slice(BROKERED.length)
}

export function brokeredBy(thumbprint: string): GrantRelease {
  return `${BROKERED}${thumbprint}`
}

const schema: z.ZodType<Grant> = z.strictObject({
  v: z.literal(1),
  grantId: bytesField(16),
  datasets: setField(sha256Field, 64).refine((d) => d.length >= 1, { error: 'want at least one dataset' }),
  images: z.array(imageRefSchema).min(1).max(16),
  argv: argvSchema.nullable(),
  env: envSchema.nullable(),
  items: itemsSchema.nullable().optional(),
  submitters: setField(sha256Field, 64),
  recipients: setField(sha256Field, 64),
  clients: setField(sha256Field, 64),
  purposes: setField(iriField, 64),
  policy: sha256Field,
  uses: countField(1_000_000),
  useKeyCommitment: sha256Field,
  notBefore: instantField,
  expires: instantField,
  release: releaseField,
  jurisdictions: setField(textField(64), 64),
  agreement: textField(256).nullable(),
})

export function parseGrant(bytes: Uint8Array): Grant {
  return parseDocument('grant', schema, bytes)
}

export function encodeGrant(grant: Grant): Uint8Array {
  return encodeDocument('grant', schema, grant)
}

/** JWS `typ` of a revocation. */
export const REVOCATION_TYP = 'sealgate-revocation-v1+jws'

/** Takes a grant back. Signed by the owner; no key is released under it from then on. */
export interface Revocation {
  readonly v: 1
  /** SHA-256 of the grant's canonical bytes. */
  readonly grant: string
  readonly revokedAt: string
  /** Whether jobs that have their keys already are to be stopped too. */
  readonly stopJobs: boolean
}

const revocationSchema: z.ZodType<Revocation> = z.strictObject({
  v: z.literal(1),
  grant: sha256Field,
  revokedAt: instantField,
  stopJobs: z.boolean(),
})

export function parseRevocation(bytes: Uint8Array): Revocation {
  return parseDocument('revocation', revocationSchema, bytes)
}

export function encodeRevocation(revocation: Revocation): Uint8Array {
  return encodeDocument('revocation', revocationSchema, revocation)
}
