import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeFileHead, readSealedFile, sealedFileSize } from '../../../src/seal/index.ts'
import { concat, u32be } from '../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../src/verify/errors.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { chunked, collect, sealedExample } from './support.ts'

describe('a sealed file', () => {
  it('is read the same however its chunks are cut', async () => {
    const { file, bytes, stream, header } = await sealedExample(500)
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: file.length + 1 }), async (cut) => {
        const read = await readSealedFile(chunked(file, cut))
        expect(read.header).toEqual(header)
        expect(Buffer.compare(read.headerBytes, bytes)).toBe(0)
        expect(Buffer.compare(await collect(read.stream), stream)).toBe(0)
      }),
    )
  })

  it('has the size that its header implies', async () => {
    const { file, bytes } = await sealedExample(1234)
    expect(sealedFileSize(bytes)).toBe(file.length)
  })

  it('is refused when its header is longer than allowed, before that is read', async () => {
    let pulled = 0
    function* endless(): Generator<Uint8Array> {
      yield u32be(64 * 1024 + 1)
      for (;;) {
        pulled++
        yield new Uint8Array(1024)
      }
    }
    expect(await outcomeOf(() => readSealedFile(endless()))).toBe('HEADER_INVALID')
    expect(await outcomeOf(() => readSealedFile([u32be(0xffffffff)]))).toBe('HEADER_INVALID')
    expect(pulled).toBe(0)
  })

  it.each([
    ['nothing', new Uint8Array(0)],
    ['an empty header', encodeFileHead(new Uint8Array(0))],
    ['a header that is no JSON', encodeFileHead(Uint8Array.of(0x7b))],
    ['a header of another kind', encodeFileHead(new TextEncoder().encode('{"kind":"x"}'))],
  ])('is refused with %s', async (_, file) => {
    const error = await readSealedFile([file]).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(AttestError)
    expect((error as AttestError).code).toBe('HEADER_INVALID')
  })

  it('is refused with a header that is not canonical', async () => {
    const { bytes, stream } = await sealedExample(5)
    const spaced = concat(Uint8Array.of(0x20), bytes)
    expect(await outcomeOf(() => readSealedFile([encodeFileHead(spaced), stream]))).toBe('HEADER_INVALID')
  })

  it('lets go of its source on failure and on close', async () => {
    const { file } = await sealedExample(5)
    let closed = 0
    async function* source(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield bytes
      } finally {
        closed++
      }
    }
    expect(await outcomeOf(() => readSealedFile(source(new Uint8Array(64).fill(0xff))))).toBe('HEADER_INVALID')
    expect(closed).toBe(1)
    const read = await readSealedFile(source(file))
    await read.close()
    expect(closed).toBe(2)
  })

  it('never makes the reader fail with anything but an AttestError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (junk, framed) => {
        const file = framed ? encodeFileHead(junk) : junk
        expect(await outcomeOf(async () => collect((await readSealedFile([file])).stream))).toBe('HEADER_INVALID')
      }),
    )
  })
})
