import { AttestError } from '../../errors.ts'

/** Reads a TPM structure front to back: integers most significant byte first, buffers behind their 16-bit size (TPM2B). */
export class TpmReader {
  readonly #name: string
  readonly #input: Uint8Array
  readonly #view: DataView
  #cursor = 0

  constructor(name: string, input: Uint8Array) {
    this.#name = name
    this.#input = input
    this.#view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  }

  get cursor(): number {
    return this.#cursor
  }

  /** A place for an error message: structure and offset in hexadecimal. */
  get place(): string {
    return `${this.#name}@0x${this.#cursor.toString(16).padStart(3, '0')}`
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2))
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4))
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8))
  }

  bytes(length: number): Uint8Array {
    const from = this.#take(length)
    return this.#input.slice(from, from + length)
  }

  /** TPM2B of at most `limit` bytes. */
  sized(limit: number): Uint8Array {
    const length = this.u16()
    if (length > limit) throw this.refuse(`buffer of ${length} bytes, want at most ${limit}`)
    return this.bytes(length)
  }

  /** @throws AttestError `EVIDENCE_TRAILING` unless everything was read. */
  end(): void {
    if (this.#cursor === this.#input.length) return
    throw new AttestError('EVIDENCE_TRAILING', `${this.#input.length - this.#cursor} bytes after the end`, { at: this.place })
  }

  refuse(message: string): AttestError {
    return new AttestError('EVIDENCE_UNSUPPORTED', message, { at: this.place })
  }

  #take(length: number): number {
    const from = this.#cursor
    if (from + length > this.#input.length)
      throw new AttestError('EVIDENCE_TRUNCATED', `field of ${length} bytes passes the end`, { at: this.place })
    this.#cursor += length
    return from
  }
}
