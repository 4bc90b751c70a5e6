import { crypto } from '#crypto'

/** Bytes of every hash in a tree (SHA-256). */
export const HASH_SIZE = 32

const LEAF = Uint8Array.of(0x00)
const NODE = Uint8Array.of(0x01)

/** SHA-256(0x00 ‖ leaf), RFC 6962 section 2.1. */
export async function leafHash(leaf: Uint8Array): Promise<Uint8Array> {
  return crypto.digestParts('SHA-256', [LEAF, leaf])
}

/** As {@link leafHash}, for a leaf that lies in several pieces. */
export async function leafHashOfParts(parts: readonly Uint8Array[]): Promise<Uint8Array> {
  return crypto.digestParts('SHA-256', [LEAF, ...parts])
}

/** SHA-256(0x01 ‖ left ‖ right). */
export async function nodeHash(left: Uint8Array, right: Uint8Array): Promise<Uint8Array> {
  return crypto.digestParts('SHA-256', [NODE, left, right])
}

/** Root of the tree without leaves: SHA-256 of nothing. */
export async function emptyRoot(): Promise<Uint8Array> {
  return crypto.digest('SHA-256', new Uint8Array(0))
}

/** Joins neighbouring complete subtrees, largest first, into the Merkle Tree Hash of the leaves that they cover. */
export async function joinSubtrees(subtrees: readonly Uint8Array[]): Promise<Uint8Array> {
  if (subtrees.length === 0) return emptyRoot()
  const [last, ...rest] = subtrees.toReversed() as [Uint8Array, ...Uint8Array[]]
  let root = last
  for (const left of rest) root = await nodeHash(left, root)
  return root
}
