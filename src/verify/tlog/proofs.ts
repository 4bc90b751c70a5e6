import { AttestError } from '../errors.ts'
import { joinSubtrees } from './hash.ts'
import { bitLength, coveringNodes, type NodeId, type NodeReader, readNodes } from './nodes.ts'

/** The leaves from `start` up to, not including, `end`. */
interface Range {
  readonly start: number
  readonly end: number
}

/** Merkle Tree Hash of the first `size` leaves of a stored tree. */
export async function rootAt(size: number, read: NodeReader): Promise<Uint8Array> {
  return joinSubtrees(await readNodes(coveringNodes(0, size), read))
}

/**
 * Proof that leaf `index` is in the tree of the first `size` leaves: PATH(m, D[n]) of RFC 9162 section 2.1.3.1, leaf to
 * root.
 * @throws AttestError `NOT_FOUND` for an index outside the tree, `LOG_CORRUPT`.
 */
export async function inclusionProof(index: number, size: number, read: NodeReader): Promise<readonly Uint8Array[]> {
  return hashRanges(inclusionRanges(index, size), read)
}

/** The stored nodes that {@link inclusionProof} reads. @throws AttestError `NOT_FOUND`. */
export function inclusionNodes(index: number, size: number): readonly NodeId[] {
  return nodesOf(inclusionRanges(index, size))
}

function inclusionRanges(index: number, size: number): readonly Range[] {
  if (!isCount(index) || !isCount(size) || index >= size) throw new AttestError('NOT_FOUND', `no leaf ${index} in a tree of ${size}`)
  return pathOf(index, { start: 0, end: size })
}

function pathOf(index: number, tree: Range): readonly Range[] {
  const siblings: Range[] = []
  let { start, end } = tree
  while (end - start > 1) {
    const middle = start + splitOf(end - start)
    if (index < middle) {
      siblings.push({ start: middle, end })
      end = middle
    } else {
      siblings.push({ start, end: middle })
      start = middle
    }
  }
  return siblings.reverse()
}

/**
 * Proof that the first `oldSize` leaves are a prefix of the first `newSize`: PROOF(m, D[n]) of RFC 9162 section 2.1.4.1.
 * Empty for equal sizes and for an old tree without leaves.
 * @throws AttestError `NOT_FOUND` when the old tree is the larger one, `LOG_CORRUPT`.
 */
export async function consistencyProof(oldSize: number, newSize: number, read: NodeReader): Promise<readonly Uint8Array[]> {
  return hashRanges(consistencyRanges(oldSize, newSize), read)
}

/** The stored nodes that {@link consistencyProof} reads. @throws AttestError `NOT_FOUND`. */
export function consistencyNodes(oldSize: number, newSize: number): readonly NodeId[] {
  return nodesOf(consistencyRanges(oldSize, newSize))
}

function consistencyRanges(oldSize: number, newSize: number): readonly Range[] {
  if (!isCount(oldSize) || !isCount(newSize) || oldSize > newSize) {
    throw new AttestError('NOT_FOUND', `no tree of ${oldSize} leaves inside one of ${newSize}`)
  }
  if (oldSize === 0 || oldSize === newSize) return []
  // The path of the old tree's last leaf, from the largest subtree that ends with it; itself unless the old root is it.
  let { start, end } = { start: 0, end: newSize }
  const siblings: Range[] = []
  while (end !== oldSize) {
    const middle = start + splitOf(end - start)
    if (oldSize <= middle) {
      siblings.push({ start: middle, end })
      end = middle
    } else {
      siblings.push({ start, end: middle })
      start = middle
    }
  }
  const node = start === 0 ? [] : [{ start, end }]
  return [...node, ...siblings.reverse()]
}

function nodesOf(ranges: readonly Range[]): readonly NodeId[] {
  return ranges.flatMap((r) => coveringNodes(r.start, r.end))
}

/** One question to the store for all ranges, then one hash per range. */
async function hashRanges(ranges: readonly Range[], read: NodeReader): Promise<readonly Uint8Array[]> {
  const covers = ranges.map((r) => coveringNodes(r.start, r.end))
  const hashes = await readNodes(covers.flat(), read)
  const proof: Uint8Array[] = []
  let at = 0
  for (const cover of covers) {
    proof.push(await joinSubtrees(hashes.slice(at, at + cover.length)))
    at += cover.length
  }
  return proof
}

/** The largest power of two smaller than `size`; `size` is at least 2. */
function splitOf(size: number): number {
  return 2 ** (bitLength(size - 1) - 1)
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}
