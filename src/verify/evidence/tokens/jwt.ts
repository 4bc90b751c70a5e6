import { fromBase64Url, fromUtf8, utf8 } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import { parseStrictJson } from '../dcap/json.ts'
import { JsonFields } from '../dcap/json-fields.ts'

/** A JWT in compact serialization as it was received. Nothing about it is trusted yet. */
export interface Jwt {
  readonly text: string
  /** What the token says signed it: compared with what its issuer uses, never followed. */
  readonly alg: string
  readonly kid: string | null
  readonly claims: JsonFields
  /** header.payload, as received. */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

export const MAX_JWT_SIZE: number = 64 * 1024
/** The end of the year 9999. */
const MAX_TIME = 253402300799

/**
 * Reads a JWT (RFC 7519, RFC 7515 section 7.1). Keys, certificates and addresses of keys in the header are not read at all; what
 * is critical there is refused.
 * @throws AttestError `JWS_MALFORMED`, `JSON_MALFORMED`, `DOCUMENT_INVALID`, `LIMIT_EXCEEDED`.
 */
export function parseJwt(text: string, at: string): Jwt {
  if (text.length > MAX_JWT_SIZE) throw new AttestError('LIMIT_EXCEEDED', `larger than ${MAX_JWT_SIZE} bytes`, { at })
  const parts = text.split('.')
  const [header = '', payload = '', signature = ''] = parts
  if (parts.length !== 3) throw new AttestError('JWS_MALFORMED', 'want header, payload and signature', { at })
  const fields = readJson(header, `${at}.header`)
  // RFC 7515 section 4.1.11, RFC 7797: nothing that changes the meaning of the bytes.
  if (fields.has('crit') || fields.has('b64')) throw new AttestError('EVIDENCE_UNSUPPORTED', 'critical header parameters', { at })
  return {
    text,
    alg: fields.text('alg'),
    kid: fields.has('kid') ? fields.text('kid') : null,
    claims: readJson(payload, `${at}.claims`),
    signed: utf8(`${header}.${payload}`),
    signature: decode(signature, at),
  }
}

function readJson(part: string, at: string): JsonFields {
  const bytes = decode(part, at)
  try {
    return new JsonFields(parseStrictJson(fromUtf8(bytes), at), at)
  } catch (cause) {
    if (cause instanceof AttestError && cause.code === 'ENCODING_INVALID')
      throw new AttestError('JWS_MALFORMED', 'not UTF-8', { at, cause })
    throw cause
  }
}

function decode(text: string, at: string): Uint8Array {
  try {
    return fromBase64Url(text)
  } catch (cause) {
    throw new AttestError('JWS_MALFORMED', 'not canonical base64url', { at, cause })
  }
}

/** When a token holds, in milliseconds since 1970, both inclusive. `exp` is the first instant at which it does not. */
export interface TokenWindow {
  readonly notBefore: number
  readonly notAfter: number
}

/** `exp` and `iat` must be there; `nbf` may be. */
export function windowOf({ claims }: Jwt): TokenWindow {
  const issued = claims.count('iat', MAX_TIME)
  const notBefore = claims.has('nbf') ? claims.count('nbf', MAX_TIME) : issued
  return { notBefore: 1000 * Math.max(issued, notBefore), notAfter: 1000 * claims.count('exp', MAX_TIME) - 1 }
}
