import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { RootHasher, rootOf, SEGMENT_SIZE } from '../../../src/seal/index.ts'
import { testBytes } from '../../support/keys.ts'
import { chunked } from './support.ts'

const hash = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()

/** RFC 6962 section 2.1, as written there. */
function merkleTreeHash(leaves: readonly Uint8Array[]): Buffer {
  const [first, ...others] = leaves
  if (first === undefined) return hash()
  if (others.length === 0) return hash(Uint8Array.of(0), first)
  let k = 1
  while (2 * k < leaves.length) k *= 2
  return hash(Uint8Array.of(1), merkleTreeHash(leaves.slice(0, k)), merkleTreeHash(leaves.slice(k)))
}

describe('the root', () => {
  const stream = testBytes('root', 7 * SEGMENT_SIZE)

  it.each([0, 1, SEGMENT_SIZE - 1, SEGMENT_SIZE, SEGMENT_SIZE + 1, 2 * SEGMENT_SIZE, 5 * SEGMENT_SIZE - 1, 7 * SEGMENT_SIZE])(
    'of %d bytes is the Merkle tree hash of its 1 MiB pieces, however the chunks are cut',
    async (size) => {
      const bytes = stream.subarray(0, size)
      const want = merkleTreeHash(chunked(bytes, SEGMENT_SIZE))
      for (const cut of [777_777, SEGMENT_SIZE, 10 * SEGMENT_SIZE]) {
        const { root, sizeBytes } = await rootOf(chunked(bytes, cut))
        expect([Buffer.from(root).toString('hex'), sizeBytes]).toEqual([want.toString('hex'), size])
      }
    },
  )

  it('can be taken beside other work on the chunks', async () => {
    const hasher = new RootHasher()
    for (const chunk of chunked(stream, 300_000)) await hasher.update(chunk)
    expect(hasher.sizeBytes).toBe(stream.length)
    expect(Buffer.from(await hasher.finish()).equals(merkleTreeHash(chunked(stream, SEGMENT_SIZE)))).toBe(true)
  })
})
