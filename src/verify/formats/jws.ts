import { flattenedVerify, importJWK } from 'jose'
import * as z from 'zod'
import { crypto } from '#crypto'
import { fromBase64Url, toBase64Url, utf8 } from '../bytes/bytes.ts'
import { mlDsaSpki } from '../crypto/ml-dsa.ts'
import { MAX_DOCUMENT_SIZE, parseDocument } from '../documents/fields.ts'
import { type MlDsaKey, mlDsaKeySchema, type SigningKey, signingKeySchema, thumbprint } from '../documents/keys.ts'
import { AttestError } from '../errors.ts'

/** JWS signature algorithm: fully specified Ed25519 (RFC 9864). */
export const JWS_ALG = 'Ed25519'

/** JWS signature algorithm of the one signature that may follow them in General JSON Serialization (RFC 9964). */
export const JWS_ML_DSA_ALG = 'ML-DSA-65'

/** One verified signature: who made it. */
export interface JwsSigner {
  readonly key: SigningKey
  /** RFC 7638. */
  readonly thumbprint: string
}

/** Who made an ML-DSA-65 signature that verified. */
export interface MlDsaJwsSigner {
  readonly key: MlDsaKey
  /** RFC 9964 section 6. */
  readonly thumbprint: string
}

/** A JWS whose every signature was checked over the received bytes. */
export interface VerifiedJws {
  readonly payload: Uint8Array
  /** base64url SHA-256 of the payload: how other documents name this one. */
  readonly digest: string
  /** Of the Ed25519 signatures, in the order of the serialization; at least one, all distinct. */
  readonly signers: readonly JwsSigner[]
}

export interface VerifiedGeneralJws extends VerifiedJws {
  /** Of the ML-DSA-65 signature, which stands last; null where there is none. */
  readonly mlDsa: MlDsaJwsSigner | null
}

interface Ed25519Header {
  readonly alg: typeof JWS_ALG
  readonly jwk: SigningKey
  readonly typ: string
}

interface MlDsaHeader {
  readonly alg: typeof JWS_ML_DSA_ALG
  readonly jwk: MlDsaKey
  readonly typ: string
}

interface Signature {
  readonly protected: string
  readonly signature: string
}

const base64urlText: z.ZodType<string> = z.string().regex(/^[A-Za-z0-9_-]+$/)
const ed25519Header: z.ZodType<Ed25519Header> = z.strictObject({ alg: z.literal(JWS_ALG), jwk: signingKeySchema, typ: z.string() })
const mlDsaHeader: z.ZodType<MlDsaHeader> = z.strictObject({ alg: z.literal(JWS_ML_DSA_ALG), jwk: mlDsaKeySchema, typ: z.string() })
const signatureSchema: z.ZodType<Signature> = z.strictObject({ protected: base64urlText, signature: base64urlText })
const flattenedSchema = z.strictObject({ payload: base64urlText, protected: base64urlText, signature: base64urlText })
const generalSchema = z.strictObject({ payload: base64urlText, signatures: z.array(signatureSchema).min(1).max(4) })

/** The largest protected header in bytes: that of ML-DSA-65 with its key has some 2700. */
const MAX_HEADER_SIZE = 4096

/**
 * Verifies a JWS in Flattened JSON Serialization (RFC 7515 section 7.2.2), itself canonical JSON, whose protected
 * header is canonical JSON with exactly `alg` (Ed25519), `jwk` and `typ`. Says who signed, not whether that signer is trusted.
 * @throws AttestError `JWS_MALFORMED` (or `JSON_*`), `SIGNATURE_INVALID`.
 */
export async function verifyFlattenedJws(bytes: Uint8Array, typ: string, at: string): Promise<VerifiedJws> {
  const { payload, ...signature } = parseDocument(at, flattenedSchema, bytes, 2 * MAX_DOCUMENT_SIZE)
  return finish(payload, [await verifyEd25519(payload, signature, typ, at)], at)
}

/**
 * As {@link verifyFlattenedJws}, for General JSON Serialization (section 7.2.1): every signature must verify, not any one. One of
 * ML-DSA-65 may stand behind those of Ed25519, never before or between them or alone.
 */
export async function verifyGeneralJws(bytes: Uint8Array, typ: string, at: string): Promise<VerifiedGeneralJws> {
  const { payload, signatures } = parseDocument(at, generalSchema, bytes, 2 * MAX_DOCUMENT_SIZE)
  const last = signatures.at(-1)
  const extra = last !== undefined && algorithmOf(last, at) === JWS_ML_DSA_ALG ? last : null
  const classical = extra === null ? signatures : signatures.slice(0, -1)
  if (classical.length === 0) throw new AttestError('JWS_MALFORMED', `${JWS_ML_DSA_ALG} stands beside ${JWS_ALG}, never alone`, { at })
  const signers: JwsSigner[] = []
  for (const signature of classical) signers.push(await verifyEd25519(payload, signature, typ, at))
  if (new Set(signers.map((s) => s.thumbprint)).size !== signers.length) {
    throw new AttestError('JWS_MALFORMED', 'one key signed twice', { at })
  }
  const mlDsa = extra === null ? null : await verifyMlDsa(payload, extra, typ, at)
  return { ...(await finish(payload, signers, at)), mlDsa }
}

async function finish(payload: string, signers: readonly JwsSigner[], at: string): Promise<VerifiedJws> {
  const bytes = decode(payload, at)
  return { payload: bytes, digest: toBase64Url(await crypto.digest('SHA-256', bytes)), signers }
}

const namesAlgorithm: z.ZodType<{ readonly alg: string }> = z.looseObject({ alg: z.string() })

/** Which schema a header is read with; nothing else is taken from this look at it. */
function algorithmOf(signature: Signature, at: string): string {
  return parseDocument(`${at}.protected`, namesAlgorithm, decode(signature.protected, at), MAX_HEADER_SIZE).alg
}

function readHeader<T extends { readonly typ: string }>(schema: z.ZodType<T>, signature: Signature, typ: string, at: string): T {
  const header = parseDocument(`${at}.protected`, schema, decode(signature.protected, at), MAX_HEADER_SIZE)
  if (header.typ !== typ) throw new AttestError('JWS_MALFORMED', `typ is ${header.typ}, want ${typ}`, { at })
  return header
}

async function verifyEd25519(payload: string, signature: Signature, typ: string, at: string): Promise<JwsSigner> {
  const { jwk } = readHeader(ed25519Header, signature, typ, at)
  decode(signature.signature, at)
  try {
    const key = await importJWK({ ...jwk }, JWS_ALG)
    await flattenedVerify({ payload, ...signature }, key, { algorithms: [JWS_ALG] })
  } catch (cause) {
    throw new AttestError('SIGNATURE_INVALID', 'JWS signature does not verify', { at, cause })
  }
  return { key: jwk, thumbprint: await thumbprint(jwk) }
}

/** By the backend and not by jose, which knows only what the runtime has. */
async function verifyMlDsa(payload: string, signature: Signature, typ: string, at: string): Promise<MlDsaJwsSigner> {
  const { jwk } = readHeader(mlDsaHeader, signature, typ, at)
  const bytes = decode(signature.signature, at)
  const key = await crypto.importPublicKey('ml-dsa-65', mlDsaSpki(fromBase64Url(jwk.pub)))
  if (!(await crypto.verify(key, bytes, utf8(`${signature.protected}.${payload}`)))) {
    throw new AttestError('SIGNATURE_INVALID', `JWS signature of ${JWS_ML_DSA_ALG} does not verify`, { at })
  }
  return { key: jwk, thumbprint: await thumbprint(jwk) }
}

/** jose accepts more than one spelling of base64url; we do not. */
function decode(text: string, at: string): Uint8Array {
  try {
    return fromBase64Url(text)
  } catch (cause) {
    throw new AttestError('JWS_MALFORMED', 'not canonical base64url', { at, cause })
  }
}
