import { AttestError } from '../verify/errors.ts'

/** Entries in a full bundle (C2SP tlog-tiles). */
export const BUNDLE = 256
const MAX_LEAF_SIZE = 4096
/** Largest bundle whose entries can be leaves of ours: each has two bytes of length before it. */
export const MAX_BUNDLE_SIZE: number = BUNDLE * (2 + MAX_LEAF_SIZE)

/** Fetches a resource below a log's prefix; null where there is none. Throws where it cannot be had now. */
export type FetchEntries = (url: string) => Promise<Uint8Array | null>

const TIMEOUT_MS = 5_000

/** Asks a log over HTTP. No redirect; no more is read than a bundle can have. */
export const fetchEntries: FetchEntries = async (url) => {
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) })
  if (response.status === 404) return null
  if (response.status !== 200 || response.body === null) throw new Error(`status ${response.status}`)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > MAX_BUNDLE_SIZE) throw new Error('a bundle that is too long')
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}

/** `tile/entries/N` or `tile/entries/N.p/W`; N in groups of three digits, all but the last with an `x` before them. */
export function bundlePath(index: number, width: number): string {
  const digits = String(index)
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, '0')
  const groups = padded.match(/\d{3}/g) ?? []
  const path = groups.map((group, i) => (i === groups.length - 1 ? group : `x${group}`)).join('/')
  return `tile/entries/${path}${width === BUNDLE ? '' : `.p/${width}`}`
}

/**
 * Entries of a bundle, each behind its length (u16, big-endian). Exactly `width` of them, and no byte more.
 * @throws AttestError `ENCODING_INVALID`.
 */
export function parseBundle(bytes: Uint8Array, width: number): readonly Uint8Array[] {
  const entries: Uint8Array[] = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  while (entries.length < width) {
    if (at + 2 > bytes.length) throw malformed('ends early')
    const end = at + 2 + view.getUint16(at)
    if (end > bytes.length) throw malformed('ends early')
    entries.push(bytes.subarray(at + 2, end))
    at = end
  }
  if (at !== bytes.length) throw malformed('goes on too long')
  return entries
}

function malformed(message: string): AttestError {
  return new AttestError('ENCODING_INVALID', `a bundle of entries ${message}`, { at: 'witness.entries' })
}
