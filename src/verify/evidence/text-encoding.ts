import { fromBase64, fromBase64Url, fromHex } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'

/** The whole input as text without white space at its ends, or null when it has bytes that no text encoding of evidence has. */
export function printableText(input: Uint8Array): string | null {
  if (input.some((b) => (b < 0x20 && b !== 0x09 && b !== 0x0a && b !== 0x0d) || b > 0x7e)) return null
  return new TextDecoder().decode(input).trim()
}

/**
 * Bytes of hexadecimal (either case, `0x` in front or not), base64 or base64url. Line breaks are allowed, as `xxd -p` and
 * `base64` make them; inside of a line the encoding is strict. Null for any other text.
 */
export function decodeText(text: string): Uint8Array | null {
  const compact = text.replace(/[\r\n]+/g, '')
  for (const decode of [(t: string) => fromHex(t.replace(/^0x/, '')), fromBase64, fromBase64Url]) {
    try {
      return decode(compact)
    } catch (error) {
      if (!(error instanceof AttestError)) throw error
    }
  }
  return null
}
