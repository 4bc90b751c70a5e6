import { describe, expect, it } from 'vitest'
import { chunksOf, openTransform, Secret, sealTransform } from '../../../src/seal/index.ts'
import { chunked, collect, fixedRandom, flipped, sealedExample } from './support.ts'

const SIZE = 2_500_000
const example = await sealedExample(SIZE, 'web streams')
const { bytes: header, dek } = example

function streamOf(bytes: Uint8Array, size = 100_000): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunked(bytes, size)) controller.enqueue(chunk)
      controller.close()
    },
  })
}

describe('Web Streams', () => {
  it('seal what opens again, byte for byte', async () => {
    const sealed = streamOf(example.plaintext).pipeThrough(sealTransform({ header, dek, random: fixedRandom('web') }))
    const opened = await collect(chunksOf(sealed.pipeThrough(openTransform({ header, dek }))))
    expect(Buffer.compare(opened, example.plaintext)).toBe(0)
  })

  it('give out nothing of a changed segment, and fail at both ends', async () => {
    const changed = flipped(example.stream, 1_500_000)
    const { readable, writable } = openTransform({ header, dek })
    const piping = streamOf(changed).pipeTo(writable)
    const given: Uint8Array[] = []
    const reading = (async () => {
      for await (const chunk of chunksOf(readable)) given.push(chunk)
    })()
    await expect(reading).rejects.toMatchObject({ code: 'SEGMENT_INVALID' })
    await expect(piping).rejects.toMatchObject({ code: 'SEGMENT_INVALID' })
    expect(given.reduce((n, c) => n + c.length, 0)).toBe(1_048_520)
  })

  it('refuse another key before anything is read, and a stream that ends early', async () => {
    const wrong = streamOf(example.stream).pipeThrough(openTransform({ header, dek: new Secret(new Uint8Array(32)) }))
    await expect(collect(chunksOf(wrong))).rejects.toMatchObject({ code: 'KEY_COMMITMENT_MISMATCH' })
    const short = streamOf(example.stream.subarray(0, -1)).pipeThrough(openTransform({ header, dek }))
    await expect(collect(chunksOf(short))).rejects.toMatchObject({ code: 'STREAM_TRUNCATED' })
  })

  it('read no more of the source than is asked for, and give it up when the reader leaves', async () => {
    let [pulled, cancelled] = [0, false]
    const endless = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          controller.enqueue(example.plaintext.subarray(pulled, pulled + 1000))
          pulled += 1000
        },
        cancel() {
          cancelled = true
        },
      },
      { highWaterMark: 0 },
    )
    const reader = endless.pipeThrough(sealTransform({ header, dek, random: fixedRandom('lazy') })).getReader()
    expect((await reader.read()).value?.length).toBe(40)
    expect(pulled).toBeLessThanOrEqual(2000)
    await reader.cancel('enough')
    await new Promise((resolve) => setImmediate(resolve))
    expect(cancelled).toBe(true)
  })

  it('end a read that waits when the reader leaves', async () => {
    const { readable, writable } = openTransform({ header, dek })
    const reader = readable.getReader()
    const waiting = reader.read()
    await reader.cancel('gone')
    expect((await waiting).done).toBe(true)
    await expect(writable.getWriter().write(new Uint8Array(1))).rejects.toBe('gone')
  })

  it('pass on what breaks the source', async () => {
    const broken = new ReadableStream<Uint8Array>({
      start: (controller) => controller.error(new Error('disk gone')),
    })
    const sealed = broken.pipeThrough(sealTransform({ header, dek, random: fixedRandom('broken') }))
    await expect(collect(chunksOf(sealed))).rejects.toThrow('disk gone')
  })
})
