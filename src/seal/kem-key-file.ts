import * as z from 'zod'
import { fromBase64Url, toBase64Url } from '../verify/bytes/bytes.ts'
import { blobField, encodeDocument, parseDocument } from '../verify/documents/fields.ts'
import { type HpkePublicKey, type HpkeSuiteName, hpkeSuiteField } from '../verify/documents/keys.ts'
import type { KemKey } from './hpke.ts'
import { Secret } from './secret.ts'

interface KemKeyFile extends HpkePublicKey {
  readonly v: 1
  readonly type: 'sealgate/hpke-key/v1'
  readonly suite: HpkeSuiteName
  readonly privateKey: string
}

const schema: z.ZodType<KemKeyFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/hpke-key/v1'),
  suite: hpkeSuiteField,
  publicKey: blobField(2048),
  privateKey: blobField(64),
})

/** The private key in the clear, for a key file: whoever reads it can open what was sealed to it. */
export function encodeKemKey(key: KemKey): Uint8Array {
  const privateKey = toBase64Url(key.privateKey.expose())
  return encodeDocument('hpke-key', schema, { v: 1, type: 'sealgate/hpke-key/v1', ...key.publicKey, privateKey })
}

/** @throws AttestError `JSON_*`, `DOCUMENT_INVALID`. */
export function parseKemKey(bytes: Uint8Array): KemKey {
  const { suite, publicKey, privateKey } = parseDocument('hpke-key', schema, bytes)
  return { publicKey: { suite, publicKey }, privateKey: new Secret(fromBase64Url(privateKey)) }
}
