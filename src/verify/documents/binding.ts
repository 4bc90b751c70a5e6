import * as z from 'zod'
import { bytesField, encodeDocument, parseDocument, sha256Field } from './fields.ts'
import { type HpkePublicKey, hpkePublicKeySchema } from './keys.ts'

export type BindingRole = 'host' | 'job' | 'session' | 'broker'

/**
 * What evidence commits to (design section 4): the host's keys, its devices, its configuration and the job.
 * CPU reports carry SHA-512 of the canonical bytes.
 */
export interface Binding {
  readonly v: 1
  readonly context: 'sealgate/attest/v1'
  readonly role: BindingRole
  /** 32 bytes. Role job: see {@link jobNonce}. */
  readonly nonce: string
  readonly kem: HpkePublicKey
  readonly sig: { readonly alg: 'Ed25519'; readonly publicKey: string }
  /** SHA-256 of the SPKI of the agent's TLS key; in the roles job and session that of the service's key, null for a batch job. */
  readonly tls: string | null
  readonly devices: readonly { readonly type: 'gpu' | 'nvswitch'; readonly report: string }[]
  /** SHA-256 of the canonical JSON of the agent's configuration. */
  readonly config: string
  /** Job digest in the roles job and session, else null. */
  readonly job: string | null
}

const schema: z.ZodType<Binding> = z.strictObject({
  v: z.literal(1),
  context: z.literal('sealgate/attest/v1'),
  role: z.enum(['host', 'job', 'session', 'broker']),
  nonce: bytesField(32),
  kem: hpkePublicKeySchema,
  sig: z.strictObject({ alg: z.literal('Ed25519'), publicKey: bytesField(32) }),
  tls: sha256Field.nullable(),
  devices: z.array(z.strictObject({ type: z.enum(['gpu', 'nvswitch']), report: sha256Field })).max(64),
  config: sha256Field,
  job: sha256Field.nullable(),
})

export function parseBinding(bytes: Uint8Array): Binding {
  return parseDocument('binding', schema, bytes)
}

export function encodeBinding(binding: Binding): Uint8Array {
  return encodeDocument('binding', schema, binding)
}
