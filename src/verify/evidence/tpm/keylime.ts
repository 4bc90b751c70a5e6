import { fromBase64 } from '../../bytes/bytes.ts'

/** `r`, then TPMS_ATTEST, TPMT_SIGNATURE and PCR values in base64, as Keylime's agent hands out a quote. */
const KEYLIME = /^r([A-Za-z0-9+/]+={0,2}):([A-Za-z0-9+/]+={0,2}):([A-Za-z0-9+/]+={0,2})$/

/**
 * Takes the text of a Keylime agent apart. Its PCR values are C structures of tpm2-tools, which are not read.
 * @returns Quote, signature and PCR values; null for any other text.
 * @throws AttestError `ENCODING_INVALID`.
 * @see Keylime, keylime/tpm/tpm_main.py (check_quote) and rust-keylime keylime/src/tpm.rs.
 */
export function splitKeylime(text: string): readonly [quote: Uint8Array, signature: Uint8Array, pcrs: Uint8Array] | null {
  const [, quote, signature, pcrs] = KEYLIME.exec(text) ?? []
  if (quote === undefined || signature === undefined || pcrs === undefined) return null
  return [fromBase64(quote), fromBase64(signature), fromBase64(pcrs)]
}
