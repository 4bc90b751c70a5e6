import { beforeAll, describe, expect, it } from 'vitest'
import { openStream, SEGMENT_SIZE, Secret, SegmentOpener, segmentCount, segmentSpan } from '../../../src/seal/index.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { type Example, flipped, sealedExample } from './support.ts'

describe('single segments', () => {
  let example: Example
  let opener: SegmentOpener
  beforeAll(async () => {
    example = await sealedExample(2 * SEGMENT_SIZE + 100)
    opener = await SegmentOpener.create({ header: example.bytes, dek: example.dek }, example.stream.subarray(0, 40))
  })
  const piece = (i: number): Uint8Array => {
    const { offset, size } = segmentSpan(example.plaintext.length, i)
    return example.stream.subarray(offset, offset + size)
  }

  it('open in any order', async () => {
    expect(segmentCount(example.plaintext.length)).toBe(3)
    for (const i of [2, 0, 1, 0]) {
      const { plaintextOffset, plaintextSize } = segmentSpan(example.plaintext.length, i)
      const want = example.plaintext.subarray(plaintextOffset, plaintextOffset + plaintextSize)
      expect(Buffer.compare(await opener.openSegment(i, piece(i)), want)).toBe(0)
    }
  })

  it('open when the plaintext is empty', async () => {
    const empty = await sealedExample(0)
    const one = await SegmentOpener.create({ header: empty.bytes, dek: empty.dek }, empty.stream.subarray(0, 40))
    expect(await one.openSegment(0, empty.stream)).toEqual(new Uint8Array(0))
  })

  it('are refused in another place, of another size, changed, or outside the stream', async () => {
    const open = (i: number, bytes: Uint8Array) => outcomeOf(() => opener.openSegment(i, bytes))
    expect(await open(1, piece(0))).toBe('SEGMENT_INVALID')
    expect(await open(0, piece(1))).toBe('SEGMENT_INVALID')
    expect(await open(2, piece(1))).toBe('STREAM_TRUNCATED')
    expect(await open(1, piece(1).subarray(1))).toBe('STREAM_TRUNCATED')
    expect(await open(1, flipped(piece(1), 12_345))).toBe('SEGMENT_INVALID')
    for (const at of [0, 5, 39]) expect(await open(0, flipped(piece(0), at))).toBe('SEGMENT_INVALID')
    expect(await open(3, piece(1))).toBe('LIMIT_EXCEEDED')
  })

  it('are refused with another key or stream header', async () => {
    const create = (dek: Secret, head: Uint8Array) => outcomeOf(() => SegmentOpener.create({ header: example.bytes, dek }, head))
    expect(await create(new Secret(new Uint8Array(32)), example.stream.subarray(0, 40))).toBe('KEY_COMMITMENT_MISMATCH')
    expect(await create(example.dek, example.stream.subarray(0, 39))).toBe('HEADER_INVALID')
    expect(await create(example.dek, flipped(example.stream.subarray(0, 40), 0))).toBe('HEADER_INVALID')
  })

  it('agree with the stream', async () => {
    const parts: Uint8Array[] = []
    for await (const part of openStream([example.stream], { header: example.bytes, dek: example.dek })) parts.push(part)
    expect(Buffer.concat(parts).equals(example.plaintext)).toBe(true)
  })
})
