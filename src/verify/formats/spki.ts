import { concat, equal, fromHex } from '../bytes/bytes.ts'
import { type Curve, EC_SPKI, isPointOn } from '../crypto/ec-spki.ts'
import { AttestError } from '../errors.ts'
import { assertDer, DerReader, TAG } from './der.ts'

/** Kinds of public keys that this verifier checks signatures with. */
export type KeyKind = 'rsa' | Curve

/** AlgorithmIdentifier rsaEncryption (RFC 3279 section 2.3.1). */
const RSA_ENCRYPTION = fromHex('300d06092a864886f70d0101010500')

/** Limits of an RSA modulus, in bytes: 2048 to 4096 bits. */
const MIN_MODULUS = 256
const MAX_MODULUS = 512

/**
 * SubjectPublicKeyInfo of an RSA key.
 * @param modulus - Most significant byte first, without leading zeros.
 * @param exponent - Likewise.
 * @throws AttestError `CERTIFICATE_MALFORMED` for a key of another size than 2048 to 4096 bits.
 */
export function rsaSpki(modulus: Uint8Array, exponent: Uint8Array, at: string): Uint8Array {
  const sized = modulus.length >= MIN_MODULUS && modulus.length <= MAX_MODULUS && (modulus[0] ?? 0) >= 0x80
  if (!sized) throw new AttestError('CERTIFICATE_MALFORMED', 'RSA modulus is not of 2048 to 4096 bits', { at })
  if (exponent.length === 0 || exponent.length > 4 || exponent[0] === 0)
    throw new AttestError('CERTIFICATE_MALFORMED', 'RSA exponent out of range', { at })
  const key = value(TAG.sequence, concat(integer(modulus), integer(exponent)))
  return value(TAG.sequence, concat(RSA_ENCRYPTION, value(TAG.bitString, concat(Uint8Array.of(0), key))))
}

/**
 * SubjectPublicKeyInfo of a point. Whether it lies on the curve is seen when the key is imported.
 * @param x - At most as long as a coordinate; shorter is zero-padded on the left.
 * @throws AttestError `CERTIFICATE_MALFORMED`.
 */
export function ecSpki(curve: Exclude<KeyKind, 'rsa'>, x: Uint8Array, y: Uint8Array, at: string): Uint8Array {
  const { prefix, size: whole } = EC_SPKI[curve]
  const size = (whole - prefix.length) / 2
  return concat(prefix, leftPadded(x, size, at), leftPadded(y, size, at))
}

/** The kind of a key, by the one encoding of it that both crypto backends read alike. Null for any other key or encoding. */
export function kindOfSpki(spki: Uint8Array, at: string): KeyKind | null {
  for (const curve of ['P-256', 'P-384'] as const) if (isPointOn(curve, spki)) return curve
  return isRsa(spki, at) ? 'rsa' : null
}

function isRsa(spki: Uint8Array, at: string): boolean {
  assertDer(spki, at)
  const reader = new DerReader(spki, at).open(TAG.sequence)
  if (!equal(reader.whole(), RSA_ENCRYPTION)) return false
  const bits = reader.only((r) => r.bitString())
  assertDer(bits, at)
  const key = new DerReader(bits, at).open(TAG.sequence)
  const [modulus, exponent] = [magnitude(key.content(TAG.integer)), magnitude(key.content(TAG.integer))]
  key.end()
  return equal(rsaSpki(modulus, exponent, at), spki)
}

/**
 * An integer of a signature or a key in a field of fixed length.
 * @throws AttestError `CERTIFICATE_MALFORMED` when it is longer.
 */
export function leftPadded(integerBytes: Uint8Array, size: number, at: string): Uint8Array {
  if (integerBytes.length > size) throw new AttestError('CERTIFICATE_MALFORMED', `integer of more than ${size} bytes`, { at })
  const out = new Uint8Array(size)
  out.set(integerBytes, size - integerBytes.length)
  return out
}

function magnitude(content: Uint8Array): Uint8Array {
  return content[0] === 0 ? content.subarray(1) : content
}

function integer(bytes: Uint8Array): Uint8Array {
  return value(TAG.integer, (bytes[0] ?? 0) >= 0x80 ? concat(Uint8Array.of(0), bytes) : bytes)
}

function value(tag: number, content: Uint8Array): Uint8Array {
  const n = content.length
  const length = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 0xff]
  return concat(Uint8Array.of(tag, ...length), content)
}
