import { AttestError } from '../errors.ts'

/** Values of digits by character code; whatever is none has this bit. */
const NO_DIGIT = 0x80
const HEX_DIGITS = digitsOf('0123456789abcdef')
for (let i = 0; i < 6; i++) HEX_DIGITS['A'.charCodeAt(0) + i] = 10 + i
const BASE64_DIGITS = digitsOf('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')

function digitsOf(alphabet: string): Uint8Array {
  const values = new Uint8Array(128).fill(NO_DIGIT)
  for (let i = 0; i < alphabet.length; i++) values[alphabet.charCodeAt(i)] = i
  return values
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))
const encoder = new TextEncoder()
/** Up to here a decoder costs more than its work. */
const SHORT = 64
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function toHex(bytes: Uint8Array): string {
  let out = ''
  for (let i = 0; i < bytes.length; i++) out += HEX[bytes[i] ?? 0]
  return out
}

/** @throws AttestError `ENCODING_INVALID` for an odd length or any character outside 0-9a-fA-F. */
export function fromHex(text: string): Uint8Array {
  const out = new Uint8Array(text.length >> 1)
  let bad = text.length & 1
  for (let i = 0; i < out.length; i++) {
    const [high, low] = [HEX_DIGITS[text.charCodeAt(2 * i)] ?? NO_DIGIT, HEX_DIGITS[text.charCodeAt(2 * i + 1)] ?? NO_DIGIT]
    bad |= (high | low) & NO_DIGIT
    out[i] = (high << 4) | low
  }
  if (bad !== 0) throw new AttestError('ENCODING_INVALID', 'not hexadecimal')
  return out
}

export function toBase64(bytes: Uint8Array): string {
  let binary = ''
  for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000))
  return btoa(binary)
}

/**
 * Strict base64 (RFC 4648 section 4): padded, no white space, unused bits zero, so every value has one spelling.
 * @throws AttestError `ENCODING_INVALID`.
 */
export function fromBase64(text: string): Uint8Array {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const digits = text.length - padding
  const bytes = new Uint8Array(Math.floor((digits * 3) / 4))
  let bad = text.length % 4 === 0 ? 0 : NO_DIGIT
  let [bits, size, at] = [0, 0, 0]
  for (let i = 0; i < digits; i++) {
    const digit = BASE64_DIGITS[text.charCodeAt(i)] ?? NO_DIGIT
    bad |= digit & NO_DIGIT
    bits = ((bits << 6) | digit) & 0xffff
    size += 6
    if (size < 8) continue
    size -= 8
    bytes[at++] = bits >> size
  }
  if (bad !== 0) throw new AttestError('ENCODING_INVALID', 'not base64')
  if ((bits & ((1 << size) - 1)) !== 0) throw new AttestError('ENCODING_INVALID', 'base64 with unused bits set')
  return bytes
}

/** base64url without padding (RFC 7515 section 2). */
export function toBase64Url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** @throws AttestError `ENCODING_INVALID` for padding, other alphabets or a second spelling. */
export function fromBase64Url(text: string): Uint8Array {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new AttestError('ENCODING_INVALID', 'not base64url')
  const padded = text.replaceAll('-', '+').replaceAll('_', '/') + '='.repeat((4 - (text.length % 4)) % 4)
  return fromBase64(padded)
}

export function utf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** @throws AttestError `ENCODING_INVALID` for bytes that are not UTF-8. */
export function fromUtf8(bytes: Uint8Array): string {
  if (bytes.length <= SHORT && isAscii(bytes)) return String.fromCharCode.apply(null, bytes as unknown as number[])
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new AttestError('ENCODING_INVALID', 'not UTF-8', { cause })
  }
}

export function isAscii(bytes: Uint8Array): boolean {
  let or = 0
  for (let i = 0; i < bytes.length; i++) or |= bytes[i] ?? 0
  return or < 0x80
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const p of parts) {
    out.set(p, at)
    at += p.length
  }
  return out
}

/** Equality in time that depends on the lengths only. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let diff = 0
  for (let i = 0; i < a.length; i++) diff |= (a[i] ?? 0) ^ (b[i] ?? 0)
  return diff === 0
}

/** Order of two byte strings, as unsigned bytes. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length)
  for (let i = 0; i < n; i++) {
    const d = (a[i] ?? 0) - (b[i] ?? 0)
    if (d !== 0) return d
  }
  return a.length - b.length
}

export function isZero(bytes: Uint8Array): boolean {
  let seen = 0
  for (let i = 0; i < bytes.length; i++) seen |= bytes[i] ?? 0
  return seen === 0
}

export function u32be(value: number): Uint8Array {
  const out = new Uint8Array(4)
  new DataView(out.buffer).setUint32(0, value)
  return out
}
