import { joinSubtrees, nodeHash } from './hash.ts'
import { coveringNodes, type NodeReader, readNodes, type TreeNode } from './nodes.ts'

/** What one more leaf makes of a frontier. */
export interface Appended {
  readonly frontier: MerkleFrontier
  /** The subtrees that this leaf completed, the leaf's own node first: what a log stores. */
  readonly nodes: readonly TreeNode[]
}

/**
 * What must be kept of a tree to go on appending: the hashes of the complete subtrees along its right edge, one per bit
 * set in the size. Immutable, so a log takes over the next frontier only when its nodes are durable.
 */
export class MerkleFrontier {
  static readonly empty: MerkleFrontier = new MerkleFrontier(0, [])

  /** Number of leaves. */
  readonly size: number
  readonly #subtrees: readonly Uint8Array[]

  private constructor(size: number, subtrees: readonly Uint8Array[]) {
    this.size = size
    this.#subtrees = subtrees
  }

  /** The frontier of a stored tree. @throws AttestError `LOG_CORRUPT` when nodes are missing. */
  static async load(size: number, read: NodeReader): Promise<MerkleFrontier> {
    return new MerkleFrontier(size, await readNodes(coveringNodes(0, size), read))
  }

  /** @param hash - {@link leafHash} of the next leaf, 32 bytes. */
  async append(hash: Uint8Array): Promise<Appended> {
    const subtrees = [...this.#subtrees]
    const nodes: TreeNode[] = [{ level: 0, index: this.size, hash }]
    let node = hash
    // A set bit of the size is a complete subtree waiting for its right neighbour, smallest last.
    for (let level = 1, rest = this.size; rest % 2 === 1; level++) {
      node = await nodeHash(subtrees.pop() as Uint8Array, node)
      rest = (rest - 1) / 2
      nodes.push({ level, index: rest, hash: node })
    }
    return { frontier: new MerkleFrontier(this.size + 1, [...subtrees, node]), nodes }
  }

  /** Merkle Tree Hash of all leaves so far. */
  async root(): Promise<Uint8Array> {
    return joinSubtrees(this.#subtrees)
  }
}

/** Merkle Tree Hash over leaf hashes that are all at hand. */
export async function rootOfLeafHashes(hashes: readonly Uint8Array[]): Promise<Uint8Array> {
  let frontier = MerkleFrontier.empty
  for (const hash of hashes) frontier = (await frontier.append(hash)).frontier
  return frontier.root()
}
