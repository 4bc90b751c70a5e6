import { TILE_WIDTH } from '../verify/tlog/index.ts'

const MAX_LEAF_SIZE = 4096
/** Largest bundle whose entries can be leaves of ours: each has two bytes of length before it. */
const MAX_BUNDLE_SIZE: number = TILE_WIDTH * (2 + MAX_LEAF_SIZE)

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
