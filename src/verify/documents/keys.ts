import * as z from 'zod'
import { crypto } from '#crypto'
import { toBase64Url, utf8 } from '../bytes/bytes.ts'
import { encodeCanonical } from '../formats/canonical-json.ts'
import { blobField, bytesField } from './fields.ts'

/** HPKE suites by name; the numbers are those of the IANA HPKE registry. See docs/formats/suites.md. */
export type HpkeSuiteName = 'MLKEM768-X25519,HKDF-SHA256,AES-256-GCM' | 'DHKEM-P384,HKDF-SHA384,AES-256-GCM'

export const HPKE_SUITES: readonly HpkeSuiteName[] = ['MLKEM768-X25519,HKDF-SHA256,AES-256-GCM', 'DHKEM-P384,HKDF-SHA384,AES-256-GCM']

export const DEFAULT_HPKE_SUITE: HpkeSuiteName = 'MLKEM768-X25519,HKDF-SHA256,AES-256-GCM'

/** Public key of a recipient; `publicKey` is SerializePublicKey of RFC 9180, base64url. */
export interface HpkePublicKey {
  readonly suite: HpkeSuiteName
  readonly publicKey: string
}

export const hpkeSuiteField: z.ZodType<HpkeSuiteName> = z.enum(HPKE_SUITES as unknown as [HpkeSuiteName, ...HpkeSuiteName[]])

export const hpkePublicKeySchema: z.ZodType<HpkePublicKey> = z.strictObject({
  suite: hpkeSuiteField,
  publicKey: blobField(2048),
})

/** base64url SHA-256 of the canonical JSON of a recipient key: how grants and intents name it. */
export async function hpkeKeyDigest(key: HpkePublicKey): Promise<string> {
  return toBase64Url(await crypto.digest('SHA-256', encodeCanonical({ suite: key.suite, publicKey: key.publicKey })))
}

/** Ed25519 public key as a JWK (RFC 8037), nothing else in it. */
export interface SigningKey {
  readonly crv: 'Ed25519'
  readonly kty: 'OKP'
  readonly x: string
}

export const signingKeySchema: z.ZodType<SigningKey> = z.strictObject({
  crv: z.literal('Ed25519'),
  kty: z.literal('OKP'),
  x: bytesField(32),
})

/** RFC 7638 thumbprint (SHA-256, base64url): how documents name a signer. */
export async function thumbprint(key: SigningKey): Promise<string> {
  const members = utf8(JSON.stringify({ crv: key.crv, kty: key.kty, x: key.x }))
  return toBase64Url(await crypto.digest('SHA-256', members))
}
