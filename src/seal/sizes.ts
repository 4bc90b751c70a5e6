import { AttestError } from '../verify/errors.ts'

/** Ciphertext segment of Tink's `AES256_GCM_HKDF_1MB`: every segment but the last has this size in the stream. */
export const SEGMENT_SIZE: number = 1024 * 1024

/** 0x28 ‖ salt (32) ‖ nonce prefix (7); it lies inside the first segment. */
export const STREAM_HEADER_SIZE: number = 40

/** GCM tag at the end of each segment. */
export const TAG_SIZE: number = 16

/** Segment numbers are 32 bits. */
const MAX_SEGMENTS = 2 ** 32

const SEGMENT_PLAINTEXT = SEGMENT_SIZE - TAG_SIZE
const MAX_PLAINTEXT_SIZE = MAX_SEGMENTS * SEGMENT_PLAINTEXT - STREAM_HEADER_SIZE

/** Number of segments, at least one: an empty plaintext has one segment that holds only its tag. */
export function segmentCount(plaintextSize: number): number {
  if (!Number.isSafeInteger(plaintextSize) || plaintextSize < 0 || plaintextSize > MAX_PLAINTEXT_SIZE) {
    throw new AttestError('LIMIT_EXCEEDED', `plaintext of ${plaintextSize} bytes; at most ${MAX_PLAINTEXT_SIZE}`)
  }
  return Math.max(1, Math.ceil((plaintextSize + STREAM_HEADER_SIZE) / SEGMENT_PLAINTEXT))
}

/** Size of the encrypted stream, stream header and tags included, file header not. */
export function ciphertextSize(plaintextSize: number): number {
  return STREAM_HEADER_SIZE + plaintextSize + TAG_SIZE * segmentCount(plaintextSize)
}

/**
 * Inverse of {@link ciphertextSize}.
 * @throws AttestError `STREAM_TRUNCATED` for a size that no plaintext has.
 */
export function plaintextSize(streamSize: number): number {
  const segments = Math.ceil(streamSize / SEGMENT_SIZE)
  const size = streamSize - STREAM_HEADER_SIZE - TAG_SIZE * segments
  if (!Number.isSafeInteger(streamSize) || size < 0 || ciphertextSize(size) !== streamSize) {
    throw new AttestError('STREAM_TRUNCATED', `no plaintext has a stream of ${streamSize} bytes`)
  }
  return size
}

/** Where a segment lies in the encrypted stream and in the plaintext, in bytes. */
export interface SegmentSpan {
  readonly last: boolean
  readonly offset: number
  /** The first segment's size counts the stream header. */
  readonly size: number
  readonly plaintextOffset: number
  readonly plaintextSize: number
}

/** Finds a segment for random access. @throws AttestError `LIMIT_EXCEEDED` for an index outside the stream. */
export function segmentSpan(totalPlaintextSize: number, index: number): SegmentSpan {
  const count = segmentCount(totalPlaintextSize)
  if (!Number.isSafeInteger(index) || index < 0 || index >= count) {
    throw new AttestError('LIMIT_EXCEEDED', `segment ${index} of ${count}`)
  }
  const last = index === count - 1
  const offset = index * SEGMENT_SIZE
  const size = last ? ciphertextSize(totalPlaintextSize) - offset : SEGMENT_SIZE
  const overhead = TAG_SIZE + (index === 0 ? STREAM_HEADER_SIZE : 0)
  const plaintextOffset = index === 0 ? 0 : index * SEGMENT_PLAINTEXT - STREAM_HEADER_SIZE
  return { last, offset, size, plaintextOffset, plaintextSize: size - overhead }
}

/** Index of the segment that holds a byte of the plaintext. */
export function segmentOf(plaintextOffset: number): number {
  return Math.floor((plaintextOffset + STREAM_HEADER_SIZE) / SEGMENT_PLAINTEXT)
}
