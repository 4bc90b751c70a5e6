import { concat } from '../verify/bytes/bytes.ts'
import { parseHeader } from '../verify/documents/header.ts'
import { AttestError } from '../verify/errors.ts'
import { Gatherer } from './gatherer.ts'
import type { RandomBytes, Secret } from './secret.ts'
import { createStreamHeader, SegmentCipher } from './segments.ts'
import { ciphertextSize, STREAM_HEADER_SIZE, segmentSpan, TAG_SIZE } from './sizes.ts'

/** Bytes in chunks of any size: Node streams, Web Streams and generators are such sources. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

export interface SealOptions {
  /** Canonical bytes of the file header, which states the plaintext's size. */
  readonly header: Uint8Array
  readonly dek: Secret
  readonly random: RandomBytes
}

/**
 * Encrypts a plaintext as it comes. Yields the stream header, then the segments, in chunks of varying size; holds about
 * one segment in memory. A source must not overwrite chunks that it has handed over.
 * @throws AttestError `KEY_COMMITMENT_MISMATCH`; `FILE_UNREADABLE` when the plaintext is not as long as the header says:
 *   what was yielded until then is no valid file.
 */
export async function* sealStream(plaintext: Chunks, options: SealOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const streamHeader = createStreamHeader(options.random)
  const cipher = await SegmentCipher.create(options.header, streamHeader, options.dek)
  yield streamHeader
  const gathered = new Gatherer()
  let index = 0
  let received = 0
  for await (const chunk of plaintext) {
    received += chunk.length
    if (received > cipher.plaintextSize) throw changedWhileSealed(received, cipher.plaintextSize)
    gathered.push(chunk)
    for (; index < cipher.count - 1; index++) {
      const { plaintextSize } = segmentSpan(cipher.plaintextSize, index)
      if (gathered.size < plaintextSize) break
      for (const part of await cipher.seal(index, gathered.take(plaintextSize))) yield part
    }
  }
  if (received < cipher.plaintextSize) throw changedWhileSealed(received, cipher.plaintextSize)
  for (const part of await cipher.seal(index, gathered.take(gathered.size))) yield part
}

function changedWhileSealed(got: number, want: number): AttestError {
  return new AttestError('FILE_UNREADABLE', `the input changed while it was sealed: ${want} bytes announced, ${got} read`)
}

export interface OpenOptions {
  /** Canonical bytes of the file header, as received. */
  readonly header: Uint8Array
  readonly dek: Secret
}

/**
 * Decrypts a stream as it comes and yields each segment's plaintext only after its tag verified, and the last segment's
 * only after the source has ended where it should. Holds about one segment in memory.
 * @throws AttestError `KEY_COMMITMENT_MISMATCH` before anything is opened, `HEADER_INVALID`, `SEGMENT_INVALID` for a
 *   changed, moved, repeated or foreign segment, `STREAM_TRUNCATED` for one byte too few or too many.
 */
export function openStream(stream: Chunks, options: OpenOptions): AsyncGenerator<Uint8Array, void, undefined> {
  return openRest(stream, options, null)
}

/** Where opening goes on. */
export interface ResumePoint {
  /** The first 40 bytes of the stream. */
  readonly streamHeader: Uint8Array
  /** The first segment to open, from 0. Its place in stream and plaintext: `segmentSpan`. */
  readonly segment: number
}

/**
 * As {@link openStream}, from one segment to the end.
 * @param rest - The stream from that segment's offset on; for segment 0 the whole stream.
 * @throws AttestError as `openStream`; `LIMIT_EXCEEDED` for a segment outside the stream.
 */
export function openStreamFrom(rest: Chunks, point: ResumePoint, options: OpenOptions): AsyncGenerator<Uint8Array, void, undefined> {
  return openRest(rest, options, point.segment === 0 ? null : point)
}

async function* openRest(stream: Chunks, options: OpenOptions, point: ResumePoint | null): AsyncGenerator<Uint8Array, void, undefined> {
  const { plaintextSize } = parseHeader(options.header)
  const total = ciphertextSize(plaintextSize)
  const gathered = new Gatherer()
  let cipher = point === null ? null : await SegmentCipher.create(options.header, point.streamHeader, options.dek)
  let index = point?.segment ?? 0
  let received = segmentSpan(plaintextSize, index).offset
  for await (const chunk of stream) {
    received += chunk.length
    if (received > total) throw new AttestError('STREAM_TRUNCATED', `the stream goes on after ${total} bytes`, { at: 'stream' })
    gathered.push(chunk)
    if (cipher === null) {
      if (gathered.size < STREAM_HEADER_SIZE) continue
      cipher = await SegmentCipher.create(options.header, concat(...gathered.take(STREAM_HEADER_SIZE)), options.dek)
    }
    for (; index < cipher.count - 1; index++) {
      const size = segmentSpan(cipher.plaintextSize, index).plaintextSize + TAG_SIZE
      if (gathered.size < size) break
      for (const part of await cipher.open(index, gathered.take(size))) yield part
    }
  }
  if (cipher === null || received < total) {
    throw new AttestError('STREAM_TRUNCATED', `the stream ends after ${received} of ${total} bytes`, { at: 'stream' })
  }
  for (const part of await cipher.open(index, gathered.take(gathered.size))) yield part
}
