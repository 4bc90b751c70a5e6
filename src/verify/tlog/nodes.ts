import type { Awaitable } from '../crypto/types.ts'
import { AttestError } from '../errors.ts'
import { HASH_SIZE } from './hash.ts'

/**
 * A complete subtree: the leaves from `index · 2^level` up to, not including, `(index + 1) · 2^level`. Its hash never
 * changes once those leaves are there, so a log stores it by this name and answers every proof from such nodes alone.
 */
export interface NodeId {
  readonly level: number
  readonly index: number
}

export interface TreeNode extends NodeId {
  readonly hash: Uint8Array
}

/** Answers the stored hashes of complete subtrees, in the order asked. A root or proof asks once, for O(log n) of them. */
export type NodeReader = (nodes: readonly NodeId[]) => Awaitable<readonly Uint8Array[]>

/**
 * The complete subtrees that cover the leaves from `start` up to, not including, `end`, largest first. `start` must be a
 * multiple of the largest one's size, as it is for every range of RFC 6962.
 */
export function coveringNodes(start: number, end: number): readonly NodeId[] {
  const nodes: NodeId[] = []
  let at = start
  for (let level = bitLength(end - start) - 1; level >= 0; level--) {
    const size = 2 ** level
    if (at + size > end) continue
    nodes.push({ level, index: at / size })
    at += size
  }
  return nodes
}

/** Number of binary digits of a non-negative integer; tree sizes pass 2^31, where JavaScript's bit operators end. */
export function bitLength(value: number): number {
  return value === 0 ? 0 : value.toString(2).length
}

/** @throws AttestError `LOG_CORRUPT` when the store does not answer one hash per node. */
export async function readNodes(nodes: readonly NodeId[], read: NodeReader): Promise<readonly Uint8Array[]> {
  const hashes = nodes.length === 0 ? [] : await read(nodes)
  if (hashes.length !== nodes.length || hashes.some((h) => h.length !== HASH_SIZE)) {
    throw new AttestError('LOG_CORRUPT', `the log's store lacks some of ${nodes.length} tree nodes`)
  }
  return hashes
}
