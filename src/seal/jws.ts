import { FlattenedSign, importJWK } from 'jose'
import { fromBase64Url, toBase64Url, utf8 } from '../verify/bytes/bytes.ts'
import type { SigningKey } from '../verify/documents/keys.ts'
import { AttestError } from '../verify/errors.ts'
import { encodeCanonical } from '../verify/formats/canonical-json.ts'
import { JWS_ALG, JWS_ML_DSA_ALG } from '../verify/formats/jws.ts'
import type { MlDsaSigner } from './ml-dsa.ts'

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

/** Signs `payload` as General JSON with one signature per key, that of ML-DSA last, canonical. @see verifyGeneralJws */
export async function issueGeneralJws(
  payload: Uint8Array,
  typ: string,
  keys: readonly SigningPrivateKey[],
  mlDsa: MlDsaSigner | null = null,
): Promise<Uint8Array> {
  const signatures = []
  for (const key of keys) signatures.push(await signOne(payload, typ, key))
  if (mlDsa !== null) signatures.push(await signMlDsa(payload, typ, mlDsa))
  return encodeCanonical({ payload: toBase64Url(payload), signatures })
}

/** Adds a signature, and one of ML-DSA behind it, to a General JWS whose existing signatures the caller has verified: Ed25519 all. */
export async function countersignGeneralJws(
  jws: Uint8Array,
  typ: string,
  key: SigningPrivateKey,
  mlDsa: MlDsaSigner | null = null,
): Promise<Uint8Array> {
  const { payload, signatures } = JSON.parse(new TextDecoder().decode(jws)) as {
    payload: string
    signatures: { protected: string; signature: string }[]
  }
  const bytes = fromBase64Url(payload)
  const extra = mlDsa === null ? [] : [await signMlDsa(bytes, typ, mlDsa)]
  return encodeCanonical({ payload, signatures: [...signatures, await signOne(bytes, typ, key), ...extra] })
}

async function signMlDsa(payload: Uint8Array, typ: string, { key, sign }: MlDsaSigner): Promise<{ protected: string; signature: string }> {
  const header = toBase64Url(encodeCanonical({ alg: JWS_ML_DSA_ALG, jwk: { ...key }, typ }))
  return { protected: header, signature: toBase64Url(await sign(utf8(`${header}.${toBase64Url(payload)}`))) }
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
