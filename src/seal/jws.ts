import { FlattenedSign, importJWK } from 'jose'
import { fromBase64Url, toBase64Url } from '../verify/bytes/bytes.ts'
import type { SigningKey } from '../verify/documents/keys.ts'
import { AttestError } from '../verify/errors.ts'
import { encodeCanonical } from '../verify/formats/canonical-json.ts'
import { JWS_ALG } from '../verify/formats/jws.ts'

/** Ed25519 private key as a JWK (RFC 8037). Never logged, never serialised except by the key files of the command line. */
export interface SigningPrivateKey extends SigningKey {
  readonly d: string
}

export function publicOf(key: SigningPrivateKey): SigningKey {
  return { crv: key.crv, kty: key.kty, x: key.x }
}

/** Signs `payload` as Flattened JSON, canonical. @see verifyFlattenedJws */
export async function issueFlattenedJws(payload: Uint8Array, typ: string, key: SigningPrivateKey): Promise<Uint8Array> {
  return encodeCanonical({ payload: toBase64Url(payload), ...(await signOne(payload, typ, key)) })
}

/** Signs `payload` as General JSON with one signature per key, canonical. @see verifyGeneralJws */
export async function issueGeneralJws(payload: Uint8Array, typ: string, keys: readonly SigningPrivateKey[]): Promise<Uint8Array> {
  const signatures = []
  for (const key of keys) signatures.push(await signOne(payload, typ, key))
  return encodeCanonical({ payload: toBase64Url(payload), signatures })
}

/** Adds a signature to a General JWS whose existing signatures the caller has verified. */
export async function countersignGeneralJws(jws: Uint8Array, typ: string, key: SigningPrivateKey): Promise<Uint8Array> {
  const { payload, signatures } = JSON.parse(new TextDecoder().decode(jws)) as {
    payload: string
    signatures: { protected: string; signature: string }[]
  }
  return encodeCanonical({ payload, signatures: [...signatures, await signOne(fromBase64Url(payload), typ, key)] })
}

async function signOne(payload: Uint8Array, typ: string, key: SigningPrivateKey): Promise<{ protected: string; signature: string }> {
  const header = encodeCanonical({ alg: JWS_ALG, jwk: { ...publicOf(key) }, typ })
  const signer = await importJWK({ ...key }, JWS_ALG)
  const jws = await new FlattenedSign(payload)
    .setProtectedHeader(JSON.parse(new TextDecoder().decode(header)) as { alg: string })
    .sign(signer)
  if (jws.protected !== toBase64Url(header)) throw new AttestError('INTERNAL', 'protected header was re-encoded')
  return { protected: jws.protected, signature: jws.signature }
}
