import { equal } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'
import { emptyRoot, HASH_SIZE, nodeHash } from './hash.ts'

/** A tree of 2^53 leaves has paths of 53 hashes. */
export const MAX_PROOF_LENGTH = 64

/** A leaf's place in a tree, as {@link verifyInclusion} takes it. */
export interface InclusionClaim {
  /** {@link leafHash} of the leaf. */
  readonly leafHash: Uint8Array
  readonly index: number
  readonly size: number
  readonly root: Uint8Array
  /** Sibling hashes, leaf to root. */
  readonly proof: readonly Uint8Array[]
}

/**
 * Proves that the tree with this root and size holds the leaf at this index (RFC 9162 section 2.1.3.2). Says nothing of
 * who vouches for the root: see {@link verifyCheckpoint}.
 * @throws AttestError `LOG_PROOF_INVALID`.
 */
export async function verifyInclusion(claim: InclusionClaim): Promise<void> {
  const { index, size, proof } = claim
  checkShape(proof, [index, size], [claim.leafHash, claim.root])
  if (index >= size) throw invalid(`leaf ${index} lies outside a tree of ${size}`)
  let [fn, sn] = [index, size - 1]
  let root = claim.leafHash
  for (const sibling of proof) {
    if (sn === 0) throw invalid('inclusion proof is too long')
    if (isOdd(fn) || fn === sn) {
      root = await nodeHash(sibling, root)
      ;[fn, sn] = climbToRightChild(fn, sn)
    } else {
      root = await nodeHash(root, sibling)
    }
    ;[fn, sn] = [half(fn), half(sn)]
  }
  if (sn !== 0) throw invalid('inclusion proof is too short')
  if (!equal(root, claim.root)) throw invalid('inclusion proof leads to another root')
}

/** Two trees of one log, as {@link verifyConsistency} takes them. */
export interface ConsistencyClaim {
  readonly oldSize: number
  readonly oldRoot: Uint8Array
  readonly newSize: number
  readonly newRoot: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/**
 * Proves that the new tree only appended to the old one (RFC 9162 section 2.1.4.2). For equal sizes, and for an old tree
 * without leaves, the proof must be empty.
 * @throws AttestError `LOG_PROOF_INVALID`.
 */
export async function verifyConsistency(claim: ConsistencyClaim): Promise<void> {
  const { oldSize, oldRoot, newSize, newRoot, proof } = claim
  checkShape(proof, [oldSize, newSize], [oldRoot, newRoot])
  if (oldSize > newSize) throw invalid(`a log of ${oldSize} leaves shrank to ${newSize}`)
  if (oldSize === newSize || oldSize === 0) {
    if (proof.length > 0) throw invalid('consistency proof must be empty here')
    const expected = oldSize === newSize ? newRoot : await emptyRoot()
    if (!equal(oldRoot, expected)) throw invalid('consistency proof leads to another old root')
    return
  }
  // A complete old tree is itself the first node; the proof leaves it out.
  const [first, ...rest] = isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : proof
  if (first === undefined) throw invalid('consistency proof is too short')
  let [fn, sn] = [oldSize - 1, newSize - 1]
  while (isOdd(fn)) [fn, sn] = [half(fn), half(sn)]
  let [oldHash, newHash] = [first, first]
  for (const sibling of rest) {
    if (sn === 0) throw invalid('consistency proof is too long')
    if (isOdd(fn) || fn === sn) {
      oldHash = await nodeHash(sibling, oldHash)
      newHash = await nodeHash(sibling, newHash)
      ;[fn, sn] = climbToRightChild(fn, sn)
    } else {
      newHash = await nodeHash(newHash, sibling)
    }
    ;[fn, sn] = [half(fn), half(sn)]
  }
  if (sn !== 0) throw invalid('consistency proof is too short')
  if (!equal(oldHash, oldRoot)) throw invalid('consistency proof leads to another old root')
  if (!equal(newHash, newRoot)) throw invalid('consistency proof leads to another new root')
}

/** On the right edge of the tree some levels have no sibling: skip up to the first that has one on the left. */
function climbToRightChild(fn: number, sn: number): [fn: number, sn: number] {
  while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)]
  return [fn, sn]
}

function checkShape(proof: readonly Uint8Array[], counts: readonly number[], hashes: readonly Uint8Array[]): void {
  if (!counts.every((n) => Number.isSafeInteger(n) && n >= 0)) throw invalid('sizes and indices are integers from 0 to 2^53 - 1')
  if (proof.length > MAX_PROOF_LENGTH) throw invalid('proof is too long')
  if (![...proof, ...hashes].every((h) => h.length === HASH_SIZE)) throw invalid('every hash has 32 bytes')
}

function invalid(message: string): AttestError {
  return new AttestError('LOG_PROOF_INVALID', message, { at: 'log.proof' })
}

// Sizes pass 2^31, so no bit operators.
function half(n: number): number {
  return Math.floor(n / 2)
}

function isOdd(n: number): boolean {
  return n % 2 === 1
}

function isPowerOfTwo(n: number): boolean {
  let rest = n
  while (rest % 2 === 0) rest /= 2
  return rest === 1
}
