import { fromUtf8, utf8 } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'

/** What a signed document may hold: no floats, no undefined, no dates. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

const MAX_DEPTH = 32

/**
 * JSON Canonicalization Scheme (RFC 8785) for the subset that sealgate signs: integers within ±(2^53-1), no lone
 * surrogates. Within that subset `JSON.stringify` already writes what RFC 8785 section 3.2 asks for; members are
 * sorted by UTF-16 code units.
 * @throws AttestError `DOCUMENT_INVALID` for anything outside the subset.
 */
export function encodeCanonical(value: Json): Uint8Array {
  return utf8(write(value, 0))
}

function write(value: Json, depth: number): string {
  if (depth > MAX_DEPTH) throw new AttestError('DOCUMENT_INVALID', `nested deeper than ${MAX_DEPTH}`)
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) throw new AttestError('DOCUMENT_INVALID', 'numbers must be integers')
    return String(value)
  }
  if (typeof value === 'string') return writeString(value)
  if (Array.isArray(value)) return `[${value.map((v: Json) => write(v, depth + 1)).join(',')}]`
  if (typeof value !== 'object') throw new AttestError('DOCUMENT_INVALID', `${typeof value} is not JSON`)
  const entries = Object.entries(value as { readonly [key: string]: Json })
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `{${entries.map(([k, v]) => `${writeString(k)}:${write(v, depth + 1)}`).join(',')}}`
}

function writeString(text: string): string {
  if (!text.isWellFormed()) throw new AttestError('DOCUMENT_INVALID', 'string holds a lone surrogate')
  return JSON.stringify(text)
}

/**
 * Reads canonical JSON. Because the bytes must equal their own re-encoding there is one accepted spelling: duplicate
 * members, white space, other number forms and escapes are all refused.
 * @throws AttestError `JSON_MALFORMED`, `JSON_NOT_CANONICAL`, or `DOCUMENT_INVALID` when it is longer than `maxBytes`.
 */
export function parseCanonical(bytes: Uint8Array, maxBytes: number, at = 'json'): Json {
  if (bytes.length > maxBytes) throw new AttestError('DOCUMENT_INVALID', `longer than ${maxBytes} bytes`, { at })
  const text = fromUtf8(bytes)
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch (cause) {
    throw new AttestError('JSON_MALFORMED', 'not JSON', { at, cause })
  }
  let canonical: string
  try {
    canonical = write(value, 0)
  } catch (cause) {
    throw new AttestError('JSON_NOT_CANONICAL', 'not canonical JSON (RFC 8785)', { at, cause })
  }
  if (canonical !== text) throw new AttestError('JSON_NOT_CANONICAL', 'not canonical JSON (RFC 8785)', { at })
  return value
}
