import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { equal, fromHex, toHex, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import {
  consistencyProof,
  emptyRoot,
  inclusionProof,
  leafHash,
  MerkleFrontier,
  rootAt,
  rootOfLeafHashes,
  verifyConsistency,
  verifyInclusion,
} from '../../../../src/verify/tlog/index.ts'
import { defined } from '../../../support/defined.ts'
import { storeTree } from '../../../support/log.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { referencePath, referenceProof, referenceRoot } from './support.ts'

/** Leaves and roots of the tree that the Certificate Transparency implementations test with. */
const CT_LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'].map(fromHex)
const CT_ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]

const leavesOf = (n: number): Uint8Array[] => Array.from({ length: n }, (_, i) => utf8(`leaf ${i}`))
const hashesOf = (leaves: readonly Uint8Array[]): Promise<Uint8Array[]> => Promise.all(leaves.map(leafHash))

describe('Merkle tree hash', () => {
  it('gives the published roots of the Certificate Transparency test tree', async () => {
    for (const [size, root] of CT_ROOTS.entries()) {
      expect(toHex(await rootOfLeafHashes(await hashesOf(CT_LEAVES.slice(0, size))))).toBe(root)
    }
    expect(toHex(await emptyRoot())).toBe(CT_ROOTS[0])
  })

  it('gives the same root from a frontier, from stored nodes and from the recursive definition', async () => {
    const leaves = leavesOf(70)
    const tree = await storeTree(await hashesOf(leaves))
    for (let size = 0; size <= leaves.length; size++) {
      const want = toHex(referenceRoot(leaves.slice(0, size)))
      expect(toHex(await rootAt(size, tree.read))).toBe(want)
      expect(toHex(await (await MerkleFrontier.load(size, tree.read)).root())).toBe(want)
    }
    expect(toHex(await tree.frontier.root())).toBe(toHex(referenceRoot(leaves)))
  })

  it('goes on appending from a loaded frontier', async () => {
    const leaves = leavesOf(45)
    const hashes = await hashesOf(leaves)
    const tree = await storeTree(hashes.slice(0, 23))
    let frontier = await MerkleFrontier.load(23, tree.read)
    for (const hash of hashes.slice(23)) frontier = (await frontier.append(hash)).frontier
    expect(toHex(await frontier.root())).toBe(toHex(referenceRoot(leaves)))
  })

  it('leaves the old frontier as it was when an append is not taken over', async () => {
    const [first, second] = (await hashesOf(leavesOf(2))) as [Uint8Array, Uint8Array]
    const { frontier } = await MerkleFrontier.empty.append(first)
    const root = toHex(await frontier.root())
    await frontier.append(second)
    expect(frontier.size).toBe(1)
    expect(toHex(await frontier.root())).toBe(root)
  })
})

describe('proofs of a stored tree', () => {
  it('equal the recursive definition, and verify, for every leaf of every tree up to 40', async () => {
    const leaves = leavesOf(40)
    const hashes = await hashesOf(leaves)
    const { read } = await storeTree(hashes)
    for (let size = 1; size <= leaves.length; size++) {
      const root = await rootAt(size, read)
      for (let index = 0; index < size; index++) {
        const proof = await inclusionProof(index, size, read)
        expect(proof.map(toHex)).toEqual(referencePath(index, leaves.slice(0, size)).map(toHex))
        await verifyInclusion({ leafHash: defined(hashes[index]), index, size, root, proof })
      }
    }
  })

  it('show every pair of trees up to 40 to be consistent, as the recursive definition does', async () => {
    const leaves = leavesOf(40)
    const { read } = await storeTree(await hashesOf(leaves))
    for (let newSize = 0; newSize <= leaves.length; newSize++) {
      const newRoot = await rootAt(newSize, read)
      for (let oldSize = 0; oldSize <= newSize; oldSize++) {
        const proof = await consistencyProof(oldSize, newSize, read)
        if (oldSize > 0) expect(proof.map(toHex)).toEqual(referenceProof(oldSize, leaves.slice(0, newSize)).map(toHex))
        await verifyConsistency({ oldSize, oldRoot: await rootAt(oldSize, read), newSize, newRoot, proof })
      }
    }
  })

  it('ask the store once, for a number of nodes that grows with the logarithm', async () => {
    const { read, reads } = await storeTree(await hashesOf(leavesOf(1023)))
    await inclusionProof(500, 1023, read)
    await consistencyProof(333, 1023, read)
    expect(reads.questions).toBe(2)
    expect(reads.count).toBeLessThanOrEqual(2 * 2 * 10)
  })

  it('hold for sizes beyond 2^32, where bit operators would lie', async () => {
    const size = 2 ** 40 + 2 ** 33 + 5
    const node = await leafHash(utf8('any complete subtree'))
    const asked: string[] = []
    const read = (nodes: readonly { level: number; index: number }[]): Uint8Array[] => {
      asked.push(...nodes.map((n) => `${n.level}/${n.index}`))
      return nodes.map(() => node)
    }
    const proof = await inclusionProof(size - 1, size, read)
    expect(asked).toEqual([`2/${2 ** 38 + 2 ** 31}`, '33/128', '40/0'])
    const root = await rootAt(size, read)
    await verifyInclusion({ leafHash: node, index: size - 1, size, root, proof })
  })

  it('refuses to prove a leaf that is not there and a tree that is larger than the new one', async () => {
    const { read } = await storeTree(await hashesOf(leavesOf(4)))
    expect(await outcomeOf(() => inclusionProof(4, 4, read))).toBe('NOT_FOUND')
    expect(await outcomeOf(() => inclusionProof(-1, 4, read))).toBe('NOT_FOUND')
    expect(await outcomeOf(() => inclusionProof(0.5, 4, read))).toBe('NOT_FOUND')
    expect(await outcomeOf(() => consistencyProof(5, 4, read))).toBe('NOT_FOUND')
  })

  it('reports a store that lacks nodes as corrupt', async () => {
    const { read } = await storeTree(await hashesOf(leavesOf(4)))
    expect(await outcomeOf(() => inclusionProof(1, 9, read))).toBe('LOG_CORRUPT')
    expect(await outcomeOf(() => rootAt(9, read))).toBe('LOG_CORRUPT')
    expect(await outcomeOf(() => MerkleFrontier.load(9, read))).toBe('LOG_CORRUPT')
    expect(await outcomeOf(() => rootAt(4, () => []))).toBe('LOG_CORRUPT')
  })
})

describe('verification', () => {
  const tree = fc.integer({ min: 2, max: 300 }).chain((size) =>
    fc.record({
      size: fc.constant(size),
      index: fc.integer({ min: 0, max: size - 1 }),
      oldSize: fc.integer({ min: 1, max: size - 1 }),
      pick: fc.nat(),
      bit: fc.integer({ min: 0, max: 255 }),
    }),
  )

  it('refuses an inclusion proof with any one bit of any hash changed, cut, lengthened or for another place', async () => {
    const property = fc.asyncProperty(tree, async ({ size, index, pick, bit }) => {
      const hashes = await hashesOf(leavesOf(size))
      const { read } = await storeTree(hashes)
      const proof = await inclusionProof(index, size, read)
      const good = { leafHash: defined(hashes[index]), index, size, root: await rootAt(size, read), proof }
      await verifyInclusion(good)
      const at = pick % (proof.length + 2)
      const bad = [
        at === 0 ? { ...good, leafHash: flip(good.leafHash, bit) } : null,
        at === 1 ? { ...good, root: flip(good.root, bit) } : null,
        at > 1 ? { ...good, proof: proof.map((h, i) => (i === at - 2 ? flip(h, bit) : h)) } : null,
        { ...good, proof: proof.slice(1) },
        { ...good, proof: proof.slice(0, -1) },
        { ...good, proof: [...proof, good.root] },
        { ...good, index: (index + 1) % size },
        { ...good, index: size },
      ].filter((c) => c !== null)
      for (const claim of bad) expect(await outcomeOf(() => verifyInclusion(claim))).toBe('LOG_PROOF_INVALID')
    })
    await fc.assert(property, { numRuns: 60, seed: 1 })
  })

  it('refuses a consistency proof with any one bit of any hash changed, cut, lengthened or for other sizes', async () => {
    const property = fc.asyncProperty(tree, async ({ size, oldSize, pick, bit }) => {
      const { read } = await storeTree(await hashesOf(leavesOf(size)))
      const proof = await consistencyProof(oldSize, size, read)
      const [oldRoot, newRoot] = [await rootAt(oldSize, read), await rootAt(size, read)]
      const good = { oldSize, oldRoot, newSize: size, newRoot, proof }
      await verifyConsistency(good)
      const at = pick % (proof.length + 2)
      const bad = [
        at === 0 ? { ...good, oldRoot: flip(oldRoot, bit) } : null,
        at === 1 ? { ...good, newRoot: flip(newRoot, bit) } : null,
        at > 1 ? { ...good, proof: proof.map((h, i) => (i === at - 2 ? flip(h, bit) : h)) } : null,
        { ...good, proof: proof.slice(1) },
        { ...good, proof: proof.slice(0, -1) },
        { ...good, proof: [...proof, newRoot] },
        { ...good, oldSize: size, newSize: oldSize },
        { ...good, oldRoot: newRoot, newRoot: oldRoot },
      ].filter((c) => c !== null)
      for (const claim of bad) expect(await outcomeOf(() => verifyConsistency(claim))).toBe('LOG_PROOF_INVALID')
    })
    await fc.assert(property, { numRuns: 60, seed: 2 })
  })

  it('refuses a fork: two trees of one size with different roots, and a log that shrank', async () => {
    const [a, b] = [await rootOfLeafHashes(await hashesOf(leavesOf(3))), await rootOfLeafHashes(await hashesOf(leavesOf(5)))]
    const same = { oldSize: 3, newSize: 3, proof: [] }
    expect(await outcomeOf(() => verifyConsistency({ ...same, oldRoot: a, newRoot: a }))).toBe('accepted')
    expect(await outcomeOf(() => verifyConsistency({ ...same, oldRoot: a, newRoot: b }))).toBe('LOG_PROOF_INVALID')
    expect(await outcomeOf(() => verifyConsistency({ oldSize: 5, oldRoot: b, newSize: 3, newRoot: a, proof: [] }))).toBe(
      'LOG_PROOF_INVALID',
    )
  })

  it('accepts an old tree without leaves only with the root of nothing and no proof', async () => {
    const [empty, newRoot] = [await emptyRoot(), await rootOfLeafHashes(await hashesOf(leavesOf(3)))]
    const good = { oldSize: 0, oldRoot: empty, newSize: 3, newRoot, proof: [] }
    expect(await outcomeOf(() => verifyConsistency(good))).toBe('accepted')
    expect(await outcomeOf(() => verifyConsistency({ ...good, oldRoot: newRoot }))).toBe('LOG_PROOF_INVALID')
    expect(await outcomeOf(() => verifyConsistency({ ...good, proof: [newRoot] }))).toBe('LOG_PROOF_INVALID')
  })

  it('refuses hashes of a wrong length, absurd proofs and numbers that are no counts', async () => {
    const hash = await leafHash(utf8('only leaf'))
    const good = { leafHash: hash, index: 0, size: 1, root: hash, proof: [] }
    expect(await outcomeOf(() => verifyInclusion(good))).toBe('accepted')
    for (const bad of [
      { ...good, leafHash: hash.slice(1), root: hash.slice(1) },
      { ...good, proof: Array.from({ length: 65 }, () => hash) },
      { ...good, size: Number.NaN },
      { ...good, size: 2 ** 53 },
      { ...good, index: -1 },
      { ...good, size: 0 },
    ]) {
      expect(await outcomeOf(() => verifyInclusion(bad))).toBe('LOG_PROOF_INVALID')
    }
  })

  it('refuses a leaf that is really an inner node: the prefixes keep them apart', async () => {
    const [a, b] = (await hashesOf(leavesOf(2))) as [Uint8Array, Uint8Array]
    const root = await rootOfLeafHashes([a, b])
    expect(equal(await leafHash(Uint8Array.of(...a, ...b)), root)).toBe(false)
  })
})

function flip(hash: Uint8Array, bit: number): Uint8Array {
  return hash.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
}
