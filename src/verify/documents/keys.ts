import * as z from 'zod'
import { crypto } from '#crypto'
import { toBase64Url, utf8 } from '../bytes/bytes.ts'
import { ML_DSA_65_PUBLIC_KEY_SIZE } from '../crypto/ml-dsa.ts'
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

/** Members of an Ed25519 JWK, for schemas that add some. */
export const signingKeyFields: {
  readonly crv: z.ZodLiteral<'Ed25519'>
  readonly kty: z.ZodLiteral<'OKP'>
  readonly x: z.ZodType<string>
} = { crv: z.literal('Ed25519'), kty: z.literal('OKP'), x: bytesField(32) }

export const signingKeySchema: z.ZodType<SigningKey> = z.strictObject(signingKeyFields)

/** ML-DSA-65 public key as a JWK (RFC 9964 section 3), nothing else in it. */
export interface MlDsaKey {
  readonly alg: 'ML-DSA-65'
  readonly kty: 'AKP'
  /** 1952 bytes, base64url. */
  readonly pub: string
}

export const mlDsaKeySchema: z.ZodType<MlDsaKey> = z.strictObject({
  alg: z.literal('ML-DSA-65'),
  kty: z.literal('AKP'),
  pub: bytesField(ML_DSA_65_PUBLIC_KEY_SIZE),
})

/** RFC 7638 thumbprint (SHA-256, base64url; of an ML-DSA key: RFC 9964 section 6): how documents name a signer. */
export async function thumbprint(key: SigningKey | MlDsaKey): Promise<string> {
  const members = key.kty === 'OKP' ? { crv: key.crv, kty: key.kty, x: key.x } : { alg: key.alg, kty: key.kty, pub: key.pub }
  return toBase64Url(await crypto.digest('SHA-256', utf8(JSON.stringify(members))))
}
