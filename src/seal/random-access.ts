import { equal } from '../verify/bytes/bytes.ts'
import { AttestError } from '../verify/errors.ts'
import { SegmentCipher } from './segments.ts'
import { STREAM_HEADER_SIZE, segmentSpan } from './sizes.ts'
import type { OpenOptions } from './stream.ts'

/** Opens single segments in any order. {@link segmentSpan} says where each one lies. */
export class SegmentOpener {
  readonly #cipher: SegmentCipher
  readonly #streamHeader: Uint8Array

  private constructor(cipher: SegmentCipher, streamHeader: Uint8Array) {
    this.#cipher = cipher
    this.#streamHeader = streamHeader
  }

  /**
   * @param streamHeader - The first 40 bytes of the stream.
   * @throws AttestError `KEY_COMMITMENT_MISMATCH`, `HEADER_INVALID`.
   */
  static async create(options: OpenOptions, streamHeader: Uint8Array): Promise<SegmentOpener> {
    return new SegmentOpener(await SegmentCipher.create(options.header, streamHeader, options.dek), streamHeader.slice())
  }

  /**
   * @param piece - The segment as it lies in the stream, all of it; the first one with the stream header.
   * @throws AttestError `STREAM_TRUNCATED` for a piece of another size, `SEGMENT_INVALID`, `LIMIT_EXCEEDED` for an index
   *   outside the stream.
   */
  async openSegment(index: number, piece: Uint8Array): Promise<Uint8Array> {
    const at = `segment[${index}]`
    const { size } = segmentSpan(this.#cipher.plaintextSize, index)
    if (piece.length !== size) throw new AttestError('STREAM_TRUNCATED', `${piece.length} bytes, want ${size}`, { at })
    const skip = index === 0 ? STREAM_HEADER_SIZE : 0
    if (!equal(piece.subarray(0, skip), this.#streamHeader.subarray(0, skip))) {
      throw new AttestError('SEGMENT_INVALID', 'the stream header is another one', { at })
    }
    const [plaintext] = await this.#cipher.open(index, [piece.subarray(skip)])
    return plaintext ?? new Uint8Array(0)
  }
}
