/** 2048 to 8192 bits. */
const MIN_MODULUS_BITS = 2048
const MAX_MODULUS_BITS = 8192

/**
 * Whether an RSA modulus is of a size that both backends take; other keys have none. Smaller ones are weak, and WebCrypto throws
 * where a signature with a long salt cannot fit into them.
 */
export function isRsaSize(modulusBits: number | undefined): boolean {
  return modulusBits === undefined || (modulusBits >= MIN_MODULUS_BITS && modulusBits <= MAX_MODULUS_BITS)
}
