import { MerkleFrontier } from '../verify/tlog/frontier.ts'
import { leafHashOfParts } from '../verify/tlog/hash.ts'
import { Gatherer } from './gatherer.ts'
import { SEGMENT_SIZE } from './sizes.ts'
import type { Chunks } from './stream.ts'

/**
 * Root over an encrypted stream: the Merkle tree hash of RFC 6962 section 2.1 whose leaves are the stream's pieces of
 * 1 MiB, which are its segments. It names the ciphertext, so that what a contract means can be checked without any key.
 */
export class RootHasher {
  readonly #gathered = new Gatherer()
  #frontier = MerkleFrontier.empty
  #sizeBytes = 0

  /** Bytes hashed so far. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** The chunk must not be overwritten afterwards. */
  async update(chunk: Uint8Array): Promise<void> {
    this.#sizeBytes += chunk.length
    this.#gathered.push(chunk)
    while (this.#gathered.size >= SEGMENT_SIZE) await this.#append(SEGMENT_SIZE)
  }

  /** The 32-byte root. Nothing can be added afterwards. */
  async finish(): Promise<Uint8Array> {
    if (this.#gathered.size > 0) await this.#append(this.#gathered.size)
    return this.#frontier.root()
  }

  async #append(size: number): Promise<void> {
    const { frontier } = await this.#frontier.append(await leafHashOfParts(this.#gathered.take(size)))
    this.#frontier = frontier
  }
}

/** Root and size of a whole stream. */
export async function rootOf(stream: Chunks): Promise<{ root: Uint8Array; sizeBytes: number }> {
  const hasher = new RootHasher()
  for await (const chunk of stream) await hasher.update(chunk)
  return { root: await hasher.finish(), sizeBytes: hasher.sizeBytes }
}
