import { AttestError } from '../errors.ts'

/** The one spelling of a 64-bit mask in requirements and claims: `0x`, then lower-case hexadecimal without leading zeros. */
export const MASK_PATTERN: RegExp = /^0x(?:0|[1-9a-f][0-9a-f]{0,15})$/

/** A 64-bit mask as it is written in specifications. @param mask - 8 bytes, little-endian. */
export function maskText(mask: Uint8Array): string {
  return `0x${readMask(mask).toString(16)}`
}

/** @param mask - 8 bytes, little-endian. */
export function readMask(mask: Uint8Array): bigint {
  return new DataView(mask.buffer, mask.byteOffset, mask.byteLength).getBigUint64(0, true)
}

/** @throws AttestError `USAGE` for any other spelling than that of {@link MASK_PATTERN}. */
export function parseMask(text: string): bigint {
  if (!MASK_PATTERN.test(text)) throw new AttestError('USAGE', `"${text.slice(0, 32)}" is no mask; want 0x and up to 16 hexadecimal digits`)
  return BigInt(text)
}
