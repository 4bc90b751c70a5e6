import { MerkleFrontier } from '../verify/tlog/frontier.ts'
import { leafHashOfParts } from '../verify/tlog/hash.ts'
import { Gatherer } from './gatherer.ts'
import { SEGMENT_SIZE } from './sizes.ts'
import type { Chunks } from './stream.ts'

const LEAF_SIZE = 32

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

/** Leaf of one segment as it lies in the stream, given in parts: for {@link rootOfLeaves}. */
export function segmentLeaf(piece: readonly Uint8Array[]): Promise<Uint8Array> {
  return leafHashOfParts(piece)
}

/** The root from the leaves of all segments in order: 32 bytes each, in a row. */
export async function rootOfLeaves(leaves: Uint8Array): Promise<Uint8Array> {
  let frontier = MerkleFrontier.empty
  for (let at = 0; at < leaves.length; at += LEAF_SIZE) frontier = (await frontier.append(leaves.subarray(at, at + LEAF_SIZE))).frontier
  return frontier.root()
}

/** Root and size of a whole stream. */
export async function rootOf(stream: Chunks): Promise<{ root: Uint8Array; sizeBytes: number }> {
  const hasher = new RootHasher()
  for await (const chunk of stream) await hasher.update(chunk)
  return { root: await hasher.finish(), sizeBytes: hasher.sizeBytes }
}
