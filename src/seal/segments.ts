import { crypto } from '#crypto'
import { concat, u32be } from '../verify/bytes/bytes.ts'
import type { AeadKey } from '../verify/crypto/types.ts'
import { parseHeader } from '../verify/documents/header.ts'
import { AttestError } from '../verify/errors.ts'
import { checkKeyCommitment } from './key-commitment.ts'
import { draw, type RandomBytes, type Secret } from './secret.ts'
import { STREAM_HEADER_SIZE, segmentCount, segmentSpan } from './sizes.ts'

const SALT_SIZE = 32
const NONCE_PREFIX_SIZE = 7

/**
 * Seals and opens the segments of one stream: Tink's AES-GCM-HKDF streaming AEAD with AES-256, HKDF-SHA256, 1 MiB
 * segments and SHA-256 of the file header as associated data. A segment's nonce says its number and whether it is the
 * last one, so none can be moved, repeated, dropped or added.
 */
export class SegmentCipher {
  readonly #key: AeadKey
  readonly #noncePrefix: Uint8Array
  /** As the file header states it. */
  readonly plaintextSize: number
  readonly count: number

  private constructor(key: AeadKey, noncePrefix: Uint8Array, plaintextSize: number) {
    this.#key = key
    this.#noncePrefix = noncePrefix
    this.plaintextSize = plaintextSize
    this.count = segmentCount(plaintextSize)
  }

  /**
   * @param header - Canonical bytes of the file header.
   * @param streamHeader - The first 40 bytes of the stream.
   * @throws AttestError `KEY_COMMITMENT_MISMATCH`, `HEADER_INVALID` for a stream of another format.
   */
  static async create(header: Uint8Array, streamHeader: Uint8Array, dek: Secret): Promise<SegmentCipher> {
    const parsed = parseHeader(header)
    await checkKeyCommitment(parsed, dek)
    if (streamHeader.length !== STREAM_HEADER_SIZE || streamHeader[0] !== STREAM_HEADER_SIZE) {
      throw new AttestError('HEADER_INVALID', 'not the header of a Tink stream with 256-bit keys', { at: 'stream.header' })
    }
    const salt = streamHeader.subarray(1, 1 + SALT_SIZE)
    const key = await crypto.hkdfSha256(dek.expose(), salt, await crypto.digest('SHA-256', header), 32)
    const handle = await crypto.importAeadKey(key)
    key.fill(0)
    return new SegmentCipher(handle, streamHeader.slice(1 + SALT_SIZE), parsed.plaintextSize)
  }

  /** @returns parts of the ciphertext and its tag, without the stream header. Never seal two plaintexts under one index. */
  async seal(index: number, plaintext: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    return crypto.aeadSeal(this.#key, this.#nonce(index), plaintext)
  }

  /** @throws AttestError `SEGMENT_INVALID`; nothing of a bad segment is given out. */
  async open(index: number, sealed: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const plaintext = await crypto.aeadOpen(this.#key, this.#nonce(index), sealed)
    if (plaintext === null) throw new AttestError('SEGMENT_INVALID', 'the segment does not verify', { at: `segment[${index}]` })
    return plaintext
  }

  #nonce(index: number): Uint8Array {
    const { last } = segmentSpan(this.plaintextSize, index)
    return concat(this.#noncePrefix, u32be(index), Uint8Array.of(last ? 1 : 0))
  }
}

/** 0x28 ‖ salt ‖ nonce prefix, fresh for each sealing. */
export function createStreamHeader(random: RandomBytes): Uint8Array {
  return concat(Uint8Array.of(STREAM_HEADER_SIZE), draw(random, SALT_SIZE + NONCE_PREFIX_SIZE))
}
