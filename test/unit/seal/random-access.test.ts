import { beforeAll, describe, expect, it } from 'vitest'
import {
  openStream,
  openStreamFrom,
  rootOf,
  rootOfLeaves,
  SEGMENT_SIZE,
  Secret,
  SegmentOpener,
  SegmentSealer,
  segmentCount,
  segmentLeaf,
  segmentSpan,
} from '../../../src/seal/index.ts'
import { concat, toHex } from '../../../src/verify/bytes/bytes.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { chunked, collect, type Example, flipped, sealedExample } from './support.ts'

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

  it('are sealed in any order, and make the stream that is sealed in one go', async () => {
    const { bytes: header, dek, plaintext, stream } = example
    const sealer = await SegmentSealer.create({ header, dek }, stream.subarray(0, 40))
    const pieces: Uint8Array[] = []
    const leaves: Uint8Array[] = []
    for (const i of [2, 0, 1]) {
      const { plaintextOffset, plaintextSize } = segmentSpan(plaintext.length, i)
      const part = plaintext.subarray(plaintextOffset, plaintextOffset + plaintextSize)
      const sealed = await sealer.sealSegment(i, [part.subarray(0, 50), part.subarray(50)])
      pieces[i] = concat(...sealed)
      leaves[i] = await segmentLeaf(sealed)
    }
    expect(Buffer.compare(concat(...pieces), stream)).toBe(0)
    expect(toHex(await rootOfLeaves(concat(...leaves)))).toBe(toHex((await rootOf([stream])).root))
    await expect(sealer.sealSegment(2, [new Uint8Array(99)])).rejects.toMatchObject({ code: 'INTERNAL' })
    expect(await outcomeOf(() => sealer.sealSegment(3, []))).toBe('LIMIT_EXCEEDED')
  })

  it.each([0, 1, 2])('open from segment %i to the end', async (segment) => {
    const { bytes: header, dek, plaintext, stream } = example
    const { offset, plaintextOffset } = segmentSpan(plaintext.length, segment)
    const point = { segment, streamHeader: stream.subarray(0, 40) }
    const opened = await collect(openStreamFrom(chunked(stream.subarray(offset), 70_000), point, { header, dek }))
    expect(Buffer.compare(opened, plaintext.subarray(plaintextOffset))).toBe(0)
    const attempt = (bytes: Uint8Array) => outcomeOf(() => collect(openStreamFrom([bytes], point, { header, dek })))
    expect(await attempt(stream.subarray(offset, -1))).toBe('STREAM_TRUNCATED')
    expect(await attempt(concat(stream.subarray(offset), Uint8Array.of(0)))).toBe('STREAM_TRUNCATED')
    expect(await attempt(flipped(stream.subarray(offset), 50))).toBe('SEGMENT_INVALID')
  })

  it('do not open from a segment outside the stream, or from another one than is said', async () => {
    const { bytes: header, dek, stream } = example
    const from = (segment: number, offset: number) =>
      outcomeOf(() =>
        collect(openStreamFrom([stream.subarray(offset)], { segment, streamHeader: stream.subarray(0, 40) }, { header, dek })),
      )
    expect(await from(3, 0)).toBe('LIMIT_EXCEEDED')
    expect(await from(-1, 0)).toBe('LIMIT_EXCEEDED')
    expect(await from(1, 2 * SEGMENT_SIZE)).toBe('STREAM_TRUNCATED')
    expect(await from(2, SEGMENT_SIZE)).toBe('STREAM_TRUNCATED')
  })

  it('agree with the stream', async () => {
    const parts: Uint8Array[] = []
    for await (const part of openStream([example.stream], { header: example.bytes, dek: example.dek })) parts.push(part)
    expect(Buffer.concat(parts).equals(example.plaintext)).toBe(true)
  })
})
