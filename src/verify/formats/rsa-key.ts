import { concat, fromHex } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'

/** AlgorithmIdentifier rsaEncryption with NULL (RFC 3279 section 2.3.1). */
const RSA_ENCRYPTION = fromHex('300d06092a864886f70d0101010500')

const MIN_MODULUS_SIZE = 256
const MAX_MODULUS_SIZE = 1024
const MAX_EXPONENT_SIZE = 8

/**
 * SubjectPublicKeyInfo of an RSA key of 2048 to 8192 bits.
 * @param modulus - Big-endian, without leading zeros, as is `exponent`.
 * @throws AttestError `DOCUMENT_INVALID`.
 */
export function spkiOfRsaKey(modulus: Uint8Array, exponent: Uint8Array, at: string): Uint8Array {
  const fits = isNumber(modulus, MIN_MODULUS_SIZE, MAX_MODULUS_SIZE) && isNumber(exponent, 1, MAX_EXPONENT_SIZE)
  if (!fits) throw new AttestError('DOCUMENT_INVALID', 'want an RSA key of 2048 to 8192 bits', { at })
  const key = value(0x30, integer(modulus), integer(exponent))
  return value(0x30, RSA_ENCRYPTION, value(0x03, Uint8Array.of(0), key))
}

function isNumber(bytes: Uint8Array, min: number, max: number): boolean {
  return bytes.length >= min && bytes.length <= max && bytes[0] !== 0
}

function integer(magnitude: Uint8Array): Uint8Array {
  return value(0x02, Uint8Array.from((magnitude[0] ?? 0) >= 0x80 ? [0] : []), magnitude)
}

/** DER with content below 64 KiB. */
function value(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const n = content.reduce((sum, part) => sum + part.length, 0)
  const length = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 0xff]
  return concat(Uint8Array.of(tag, ...length), ...content)
}
