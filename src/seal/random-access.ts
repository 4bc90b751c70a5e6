import { concat, equal } from '../verify/bytes/bytes.ts'
import { AttestError } from '../verify/errors.ts'
import { Gatherer } from './gatherer.ts'
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
    const parts = await this.openParts(index, [piece])
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : concat(...parts)
  }

  /** As {@link openSegment}, for a piece in parts; the plaintext comes in parts too. Nothing is copied where the backend can. */
  async openParts(index: number, piece: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const at = `segment[${index}]`
    const { size } = segmentSpan(this.#cipher.plaintextSize, index)
    const got = piece.reduce((n, part) => n + part.length, 0)
    if (got !== size) throw new AttestError('STREAM_TRUNCATED', `${got} bytes, want ${size}`, { at })
    if (index > 0) return this.#cipher.open(index, piece)
    const gathered = new Gatherer()
    for (const part of piece) gathered.push(part)
    if (!equal(concat(...gathered.take(STREAM_HEADER_SIZE)), this.#streamHeader)) {
      throw new AttestError('SEGMENT_INVALID', 'the stream header is another one', { at })
    }
    return this.#cipher.open(index, gathered.take(gathered.size))
  }
}

/**
 * Seals single segments in any order, so that several threads can share a file. Each index once: two plaintexts under one
 * index would give both away.
 */
export class SegmentSealer {
  readonly #cipher: SegmentCipher
  readonly #streamHeader: Uint8Array

  private constructor(cipher: SegmentCipher, streamHeader: Uint8Array) {
    this.#cipher = cipher
    this.#streamHeader = streamHeader
  }

  /**
   * @param streamHeader - From `createStreamHeader`, drawn for this one sealing.
   * @throws AttestError `KEY_COMMITMENT_MISMATCH`, `HEADER_INVALID`.
   */
  static async create(options: OpenOptions, streamHeader: Uint8Array): Promise<SegmentSealer> {
    return new SegmentSealer(await SegmentCipher.create(options.header, streamHeader, options.dek), streamHeader.slice())
  }

  /**
   * @param plaintext - The segment's plaintext in parts, exactly as much as {@link segmentSpan} says.
   * @returns the segment as it lies in the stream, in parts; the first one with the stream header.
   * @throws AttestError `INTERNAL` for another size, `LIMIT_EXCEEDED` for an index outside the stream.
   */
  async sealSegment(index: number, plaintext: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const { plaintextSize } = segmentSpan(this.#cipher.plaintextSize, index)
    if (plaintext.reduce((n, part) => n + part.length, 0) !== plaintextSize) {
      throw new AttestError('INTERNAL', `segment ${index} holds ${plaintextSize} bytes of plaintext`)
    }
    const sealed = await this.#cipher.seal(index, plaintext)
    return index === 0 ? [this.#streamHeader, ...sealed] : sealed
  }
}
