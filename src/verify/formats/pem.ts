import { fromBase64 } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'

/** One textual encoding of RFC 7468: what it says it is, and the bytes. */
export interface PemBlock {
  readonly label: string
  readonly der: Uint8Array
}

const MAX_BLOCKS = 64
const BLOCK = /-----BEGIN ([A-Z0-9][A-Z0-9 ]{0,62})-----\r?\n([A-Za-z0-9+/=\r\n]*?)-----END ([A-Z0-9][A-Z0-9 ]{0,62})-----/g

export function looksLikePem(text: string): boolean {
  return text.includes('-----BEGIN ')
}

/**
 * Every block of a PEM text, in order. Text outside of the blocks is explanation and is not read (RFC 7468 section 2);
 * inside of them only base64 and line ends are accepted.
 * @throws AttestError `ENCODING_INVALID` for a block that does not end, has other characters, or for more than 64 blocks.
 */
export function parsePem(text: string, at: string): PemBlock[] {
  const blocks: PemBlock[] = []
  for (const [, label = '', body = '', endLabel] of text.matchAll(BLOCK)) {
    if (label !== endLabel) throw new AttestError('ENCODING_INVALID', `PEM block ${label} ends as ${endLabel}`, { at })
    blocks.push({ label, der: decode(body, label, at) })
    if (blocks.length > MAX_BLOCKS) throw new AttestError('ENCODING_INVALID', `more than ${MAX_BLOCKS} PEM blocks`, { at })
  }
  if (blocks.length !== text.split('-----BEGIN ').length - 1) throw new AttestError('ENCODING_INVALID', 'PEM block is damaged', { at })
  return blocks
}

function decode(body: string, label: string, at: string): Uint8Array {
  try {
    return fromBase64(body.replace(/[\r\n]/g, ''))
  } catch (cause) {
    throw new AttestError('ENCODING_INVALID', `PEM block ${label} is not base64`, { at, cause })
  }
}
