import { type Chunks, type OpenOptions, openStream, type SealOptions, sealStream } from './stream.ts'

/** Both ends of a Web Stream that changes what goes through: an argument for `pipeThrough`. */
export type BytesTransform = ReadableWritablePair<Uint8Array, Uint8Array>

/**
 * {@link sealStream} as a Web Stream: plaintext is written, the encrypted stream is read. Nothing is read ahead of what the
 * reader takes but the segment at hand. Errors reach both ends; giving up one end gives up the other.
 */
export function sealTransform(options: SealOptions): BytesTransform {
  return transformOf((plaintext) => sealStream(plaintext, options))
}

/** {@link openStream} as a Web Stream. Of a segment that does not verify nothing comes out; the readable end fails instead. */
export function openTransform(options: OpenOptions): BytesTransform {
  return transformOf((stream) => openStream(stream, options))
}

/** Makes a Web Stream of anything that takes chunks and yields chunks. */
export function transformOf(work: (chunks: Chunks) => AsyncGenerator<Uint8Array, void, undefined>): BytesTransform {
  const { readable: source, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const reader = source.getReader()
  const output = work(read(reader))
  const readable = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const next = await output.next()
          if (next.done) controller.close()
          else controller.enqueue(next.value)
        } catch (error) {
          // The writer must not wait for a reader that is gone.
          await reader.cancel(error).catch(() => undefined)
          throw error
        }
      },
      // Also ends a read that the work waits for.
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
  return { readable, writable }
}

async function* read(reader: ReadableStreamDefaultReader<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
}

/** The chunks of a Web Stream, which is no async iterable in every browser. Leaving the loop cancels the stream. */
export async function* chunksOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = stream.getReader()
  try {
    yield* read(reader)
  } finally {
    // Nothing happens to a stream that has ended; one that has failed says so where it is read.
    await reader.cancel().catch(() => undefined)
    reader.releaseLock()
  }
}
