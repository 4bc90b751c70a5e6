import { z } from 'zod'
import { encodeDocument, parseDocument, textField } from '../verify/documents/fields.ts'
import { parseAddress } from './tls.ts'

/** `identity.json` of an issued folder: who it speaks for, and where its gateway is. */
export interface IdentityFile {
  readonly v: 1
  readonly type: 'sealgate/identity/v1'
  readonly role: 'client' | 'host'
  readonly name: string
  /** host:port */
  readonly gateway: string
}

const schema: z.ZodType<IdentityFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/identity/v1'),
  role: z.enum(['client', 'host']),
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  gateway: textField(300),
})

export function encodeIdentity(identity: IdentityFile): Uint8Array {
  return encodeDocument('identity', schema, identity)
}

/** @throws AttestError `JSON_*`, `DOCUMENT_INVALID`, `USAGE` for a gateway that is no address. */
export function parseIdentity(bytes: Uint8Array): IdentityFile {
  const identity = parseDocument('identity', schema, bytes)
  parseAddress(identity.gateway)
  return identity
}
