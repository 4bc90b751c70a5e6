import { AttestError } from '../errors.ts'

/**
 * Reads a fixed-size little-endian structure front to back, so that no byte goes unlooked at.
 * `at()` states the offset that the specification gives and fails loudly when the transcription has drifted.
 */
export class FieldReader {
  readonly #name: string
  readonly #input: Uint8Array
  readonly #view: DataView
  #cursor = 0

  /** @throws AttestError `EVIDENCE_TRUNCATED` or `EVIDENCE_TRAILING` unless `input` has exactly `size` bytes. */
  constructor(name: string, input: Uint8Array, size: number) {
    if (input.length < size) throw new AttestError('EVIDENCE_TRUNCATED', `${input.length} bytes, want ${size}`, { at: name })
    if (input.length > size) throw new AttestError('EVIDENCE_TRAILING', `${input.length} bytes, want ${size}`, { at: name })
    this.#name = name
    this.#input = input
    this.#view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  }

  get cursor(): number {
    return this.#cursor
  }

  /** Asserts the offset that the specification names. A mismatch is our defect, not the input's. */
  at(offset: number): this {
    if (offset !== this.#cursor) throw new AttestError('INTERNAL', `reader at ${this.#cursor}, layout says ${offset}`)
    return this
  }

  /** A place for an error message: structure and offset in hexadecimal. */
  place(offset: number = this.#cursor): string {
    return `${this.#name}@0x${offset.toString(16).padStart(3, '0')}`
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u16le(): number {
    return this.#view.getUint16(this.#take(2), true)
  }

  u32le(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  u64le(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
  }

  bytes(length: number): Uint8Array {
    const from = this.#take(length)
    return this.#input.slice(from, from + length)
  }

  /** @throws AttestError `EVIDENCE_RESERVED_NONZERO` at the first byte that is not zero. */
  zeros(length: number): void {
    const from = this.#take(length)
    for (let i = from; i < from + length; i++) {
      if (this.#input[i] !== 0) {
        throw new AttestError('EVIDENCE_RESERVED_NONZERO', 'reserved bytes must be zero', { at: this.place(i) })
      }
    }
  }

  end(): void {
    this.at(this.#input.length)
  }

  #take(length: number): number {
    const from = this.#cursor
    if (from + length > this.#input.length) {
      throw new AttestError('EVIDENCE_TRUNCATED', `field of ${length} bytes passes the end`, { at: this.place() })
    }
    this.#cursor += length
    return from
  }
}
