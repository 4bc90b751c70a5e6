import { AttestError } from '../errors.ts'
import type { CborKey, CborMap, CborValue } from './cbor.ts'

/** Reads typed members of a CBOR map. Which members may be there at all is for the caller to say: {@link CborFields.strangers}. */
export class CborFields {
  readonly #map: CborMap
  readonly #at: string

  /** @throws AttestError `DOCUMENT_INVALID` when `value` is no map. */
  constructor(value: CborValue | undefined, at: string) {
    if (!(value instanceof Map)) throw new AttestError('DOCUMENT_INVALID', 'want a map', { at })
    this.#map = value as CborMap
    this.#at = at
  }

  has(key: CborKey): boolean {
    return this.#map.has(key)
  }

  /** Keys beside the known ones, in the order of the encoding. */
  strangers(known: readonly CborKey[]): readonly CborKey[] {
    return [...this.#map.keys()].filter((key) => !known.includes(key))
  }

  /** A byte string of one of these lengths. */
  bytes(key: CborKey, sizes: readonly number[]): Uint8Array {
    return this.#sized(this.#map.get(key), key, sizes)
  }

  /** A byte string of `min` to `max` bytes. */
  blob(key: CborKey, min: number, max: number): Uint8Array {
    return this.#bounded(this.#map.get(key), key, min, max)
  }

  /** A byte string that may be `null` or absent. */
  optionalBlob(key: CborKey, max: number): Uint8Array | null {
    return (this.#map.get(key) ?? null) === null ? null : this.blob(key, 0, max)
  }

  text(key: CborKey, max: number): string {
    const value = this.#map.get(key)
    if (typeof value !== 'string' || value.length > max) throw this.invalid(key, `want a text of at most ${max} characters`)
    return value
  }

  /** A text that may be absent. */
  optionalText(key: CborKey, max: number): string | null {
    return this.has(key) ? this.text(key, max) : null
  }

  /** An integer from `min` to `max`. */
  integer(key: CborKey, min: number, max: number): number {
    const value = this.#map.get(key)
    if (typeof value !== 'number' || value < min || value > max) throw this.invalid(key, `want an integer from ${min} to ${max}`)
    return value
  }

  /** Maps in a list of `min` to `max` items. */
  list(key: CborKey, min: number, max: number): readonly CborFields[] {
    return this.#items(key, min, max).map((item, i) => new CborFields(item, `${this.#place(key)}[${i}]`))
  }

  /** Byte strings of one of these lengths, in a list of `min` to `max` items. */
  bytesList(key: CborKey, min: number, max: number, sizes: readonly number[]): readonly Uint8Array[] {
    return this.#items(key, min, max).map((item, i) => this.#sized(item, `${key}[${i}]`, sizes))
  }

  /** Byte strings of 1 to `maxBytes` bytes, in a list of `min` to `max` items. */
  blobs(key: CborKey, min: number, max: number, maxBytes: number): readonly Uint8Array[] {
    return this.#items(key, min, max).map((item, i) => this.#bounded(item, `${key}[${i}]`, 1, maxBytes))
  }

  /** Byte strings of `size` bytes by an index from 0 to `last`, of which there is one at least. */
  registers(key: CborKey, last: number, size: number): ReadonlyMap<number, Uint8Array> {
    const map = this.#map.get(key)
    if (!(map instanceof Map) || map.size === 0) throw this.invalid(key, 'want a map that is not empty')
    const registers = new Map<number, Uint8Array>()
    for (const [index, value] of map as CborMap) {
      if (typeof index !== 'number' || index < 0 || index > last) throw this.invalid(key, `want an index from 0 to ${last}`)
      registers.set(index, this.#sized(value, `${key}[${index}]`, [size]))
    }
    return registers
  }

  invalid(key: CborKey, message: string): AttestError {
    return new AttestError('DOCUMENT_INVALID', message, { at: this.#place(key) })
  }

  #items(key: CborKey, min: number, max: number): readonly CborValue[] {
    const value = this.#map.get(key)
    if (!Array.isArray(value) || value.length < min || value.length > max) throw this.invalid(key, `want a list of ${min} to ${max} items`)
    return value as readonly CborValue[]
  }

  #sized(value: CborValue | undefined, key: CborKey, sizes: readonly number[]): Uint8Array {
    if (!(value instanceof Uint8Array) || !sizes.includes(value.length)) throw this.invalid(key, `want ${sizes.join(' or ')} bytes`)
    return value
  }

  #bounded(value: CborValue | undefined, key: CborKey, min: number, max: number): Uint8Array {
    if (!(value instanceof Uint8Array) || value.length < min || value.length > max) throw this.invalid(key, `want ${min} to ${max} bytes`)
    return value
  }

  #place(key: CborKey): string {
    return `${this.#at}.${key}`
  }
}
