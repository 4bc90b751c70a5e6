import { createHash } from 'node:crypto'

const sha256 = (...parts) => {
  const state = createHash('sha256')
  for (const part of parts) state.update(part)
  return new Uint8Array(state.digest())
}

export const leafOf = (data) => sha256(Uint8Array.of(0), data)

const split = (n) => 2 ** Math.floor(Math.log2(n - 1))

/** RFC 9162 section 2.1.1, word for word. */
export function treeHash(leaves) {
  if (leaves.length === 0) return sha256()
  if (leaves.length === 1) return leaves[0]
  const k = split(leaves.length)
  return sha256(Uint8Array.of(1), treeHash(leaves.slice(0, k)), treeHash(leaves.slice(k)))
}

/** PATH(m, D[n]) of section 2.1.3.1. */
export function inclusionPath(m, leaves) {
  if (leaves.length <= 1) return []
  const k = split(leaves.length)
  if (m < k) return [...inclusionPath(m, leaves.slice(0, k)), treeHash(leaves.slice(k))]
  return [...inclusionPath(m - k, leaves.slice(k)), treeHash(leaves.slice(0, k))]
}

/** PROOF(m, D[n]) of section 2.1.4.1; empty for m = 0. */
export function consistencyPath(m, leaves) {
  return m === 0 ? [] : subproof(m, leaves, true)
}

function subproof(m, leaves, isWhole) {
  if (m === leaves.length) return isWhole ? [] : [treeHash(leaves)]
  const k = split(leaves.length)
  if (m <= k) return [...subproof(m, leaves.slice(0, k), isWhole), treeHash(leaves.slice(k))]
  return [...subproof(m - k, leaves.slice(k), false), treeHash(leaves.slice(0, k))]
}
