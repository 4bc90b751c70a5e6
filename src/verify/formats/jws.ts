import { flattenedVerify, importJWK } from 'jose'
import * as z from 'zod'
import { crypto } from '#crypto'
import { fromBase64Url, toBase64Url } from '../bytes/bytes.ts'
import { MAX_DOCUMENT_SIZE, parseDocument } from '../documents/fields.ts'
import { type SigningKey, signingKeySchema, thumbprint } from '../documents/keys.ts'
import { AttestError } from '../errors.ts'

/** JWS signature algorithm: fully specified Ed25519 (RFC 9864). The only one. */
export const JWS_ALG = 'Ed25519'

/** One verified signature: who made it. */
export interface JwsSigner {
  readonly key: SigningKey
  /** RFC 7638. */
  readonly thumbprint: string
}

/** A JWS whose every signature was checked over the received bytes. */
export interface VerifiedJws {
  readonly payload: Uint8Array
  /** base64url SHA-256 of the payload: how other documents name this one. */
  readonly digest: string
  /** In the order of the serialization; at least one, all distinct. */
  readonly signers: readonly JwsSigner[]
}

interface ProtectedHeader {
  readonly alg: typeof JWS_ALG
  readonly jwk: SigningKey
  readonly typ: string
}

interface Signature {
  readonly protected: string
  readonly signature: string
}

const base64urlText: z.ZodType<string> = z.string().regex(/^[A-Za-z0-9_-]+$/)
const headerSchema: z.ZodType<ProtectedHeader> = z.strictObject({
  alg: z.literal(JWS_ALG),
  jwk: signingKeySchema,
  typ: z.string(),
})
const signatureSchema: z.ZodType<Signature> = z.strictObject({ protected: base64urlText, signature: base64urlText })
const flattenedSchema = z.strictObject({ payload: base64urlText, protected: base64urlText, signature: base64urlText })
const generalSchema = z.strictObject({ payload: base64urlText, signatures: z.array(signatureSchema).min(1).max(4) })

/**
 * Verifies a JWS in Flattened JSON Serialization (RFC 7515 section 7.2.2), itself canonical JSON, whose protected
 * header is canonical JSON with exactly `alg`, `jwk` and `typ`. Says who signed, not whether that signer is trusted.
 * @throws AttestError `JWS_MALFORMED` (or `JSON_*`), `SIGNATURE_INVALID`.
 */
export async function verifyFlattenedJws(bytes: Uint8Array, typ: string, at: string): Promise<VerifiedJws> {
  const { payload, ...signature } = parseDocument(at, flattenedSchema, bytes, 2 * MAX_DOCUMENT_SIZE)
  return verifyAll(payload, [signature], typ, at)
}

/**
 * As {@link verifyFlattenedJws}, for General JSON Serialization (section 7.2.1): every signature must verify, not any one.
 */
export async function verifyGeneralJws(bytes: Uint8Array, typ: string, at: string): Promise<VerifiedJws> {
  const { payload, signatures } = parseDocument(at, generalSchema, bytes, 2 * MAX_DOCUMENT_SIZE)
  return verifyAll(payload, signatures, typ, at)
}

async function verifyAll(payload: string, signatures: readonly Signature[], typ: string, at: string): Promise<VerifiedJws> {
  const signers: JwsSigner[] = []
  for (const signature of signatures) signers.push(await verifyOne(payload, signature, typ, at))
  if (new Set(signers.map((s) => s.thumbprint)).size !== signers.length) {
    throw new AttestError('JWS_MALFORMED', 'one key signed twice', { at })
  }
  const bytes = decode(payload, at)
  return { payload: bytes, digest: toBase64Url(await crypto.digest('SHA-256', bytes)), signers }
}

async function verifyOne(payload: string, signature: Signature, typ: string, at: string): Promise<JwsSigner> {
  const header = parseDocument(`${at}.protected`, headerSchema, decode(signature.protected, at), 4096)
  if (header.typ !== typ) throw new AttestError('JWS_MALFORMED', `typ is ${header.typ}, want ${typ}`, { at })
  decode(signature.signature, at)
  try {
    const key = await importJWK({ ...header.jwk }, JWS_ALG)
    await flattenedVerify({ payload, ...signature }, key, { algorithms: [JWS_ALG] })
  } catch (cause) {
    throw new AttestError('SIGNATURE_INVALID', 'JWS signature does not verify', { at, cause })
  }
  return { key: header.jwk, thumbprint: await thumbprint(header.jwk) }
}

/** jose accepts more than one spelling of base64url; we do not. */
function decode(text: string, at: string): Uint8Array {
  try {
    return fromBase64Url(text)
  } catch (cause) {
    throw new AttestError('JWS_MALFORMED', 'not canonical base64url', { at, cause })
  }
}
