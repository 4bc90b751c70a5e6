import { decode } from 'cbor2/decoder'
import { fromUtf8, toHex } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'

/** What the gate lets pass: no floats, no tags inside, no `undefined`. */
export type CborValue = null | boolean | number | string | Uint8Array | readonly CborValue[] | CborMap
export type CborKey = number | string
export type CborMap = ReadonlyMap<CborKey, CborValue>

/** What one format allows. */
export interface CborLimits {
  /** Largest input, in bytes. */
  readonly maxSize: number
  /** Maps that end with a break code instead of saying their size. */
  readonly indefiniteMaps?: boolean
}

const MAX_DEPTH = 16
const INDEFINITE = 31
const BREAK = 0xff
const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 } as const
/** false, true, null (RFC 8949 section 3.3). */
const SIMPLE: readonly number[] = [20, 21, 22]

/** The gate has looked at everything; these keep the library from converting anything. */
const OPTIONS = { ignoreGlobalTags: true, preferMap: true, rejectDuplicateKeys: true, rejectFloats: true, rejectUndefined: true } as const

/**
 * Reads one CBOR value (RFC 8949) that passes the gate in front of the library: shortest form of every number and length,
 * integers that JavaScript holds exactly, text that is UTF-8, keys that are integers or text and stand once in their map, at
 * most 16 levels, nothing after the value. Order of keys is free, since none of the formats here asks for one.
 * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`, `CBOR_MALFORMED`, with the offset; `LIMIT_EXCEEDED`.
 */
export function decodeCbor(input: Uint8Array, at: string, limits: CborLimits): CborValue {
  if (input.length > limits.maxSize) throw new AttestError('LIMIT_EXCEEDED', `larger than ${limits.maxSize} bytes`, { at })
  const bytes = new Uint8Array(input)
  new Gate(bytes, at, limits.indefiniteMaps === true).only()
  return decode(bytes, OPTIONS) as CborValue
}

/** A tag in front of a value, and the value; `tag` is null where there is none. @throws AttestError as {@link decodeCbor}. */
export function takeTag(input: Uint8Array, at: string): { readonly tag: number | null; readonly rest: Uint8Array } {
  if (input.length === 0 || (input[0] ?? 0) >> 5 !== MAJOR.tag) return { tag: null, rest: input }
  const gate = new Gate(input, at, false)
  const tag = gate.tag()
  return { tag, rest: input.subarray(gate.offset) }
}

interface Head {
  readonly major: number
  readonly info: number
  readonly value: number
}

class Gate {
  readonly #input: Uint8Array
  readonly #view: DataView
  readonly #at: string
  readonly #indefiniteMaps: boolean
  #pos = 0

  constructor(input: Uint8Array, at: string, indefiniteMaps: boolean) {
    this.#input = input
    this.#view = new DataView(input.buffer, input.byteOffset, input.byteLength)
    this.#at = at
    this.#indefiniteMaps = indefiniteMaps
  }

  get offset(): number {
    return this.#pos
  }

  only(): void {
    this.#item(0)
    if (this.#pos !== this.#input.length) throw new AttestError('EVIDENCE_TRAILING', 'bytes after the value', { at: this.#place() })
  }

  tag(): number {
    const { info, value } = this.#head()
    if (info === INDEFINITE) throw this.#malformed('tag without a number')
    return value
  }

  #head(): Head {
    const initial = this.#view.getUint8(this.#take(1))
    const [major, info] = [initial >> 5, initial & 0x1f]
    if (info < 24 || info === INDEFINITE) return { major, info, value: info }
    if (info > 27) throw this.#malformed('reserved additional information')
    const size = 1 << (info - 24)
    const value = this.#argument(size)
    const shortest = value >= (size === 1 ? 24 : 2 ** (4 * size))
    if (!shortest) throw this.#malformed('number or length is not in its shortest form')
    return { major, info, value }
  }

  #argument(size: number): number {
    const from = this.#take(size)
    if (size === 1) return this.#view.getUint8(from)
    if (size === 2) return this.#view.getUint16(from)
    if (size === 4) return this.#view.getUint32(from)
    const value = this.#view.getBigUint64(from)
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#malformed('number beyond 2^53 - 1')
    return Number(value)
  }

  #item(depth: number): void {
    if (depth > MAX_DEPTH) throw this.#malformed(`nested deeper than ${MAX_DEPTH}`)
    const head = this.#head()
    const { major, info, value } = head
    if (info === INDEFINITE && major !== MAJOR.map) throw this.#malformed('indefinite length')
    switch (major) {
      case MAJOR.bytes:
        this.#take(value)
        break
      case MAJOR.text:
        this.#text(value)
        break
      case MAJOR.array:
        this.#fits(value)
        for (let i = 0; i < value; i++) this.#item(depth + 1)
        break
      case MAJOR.map:
        this.#map(head, depth)
        break
      case MAJOR.tag:
        throw this.#malformed(`tag ${value} where none is allowed`)
      case MAJOR.simple:
        if (!SIMPLE.includes(value) || info > 23) throw this.#malformed('want false, true or null: no floats, no undefined')
    }
  }

  #map({ info, value }: Head, depth: number): void {
    const seen = new Set<string>()
    if (info === INDEFINITE) {
      if (!this.#indefiniteMaps) throw this.#malformed('indefinite length')
      while (this.#peek() !== BREAK) this.#entry(seen, depth)
      this.#take(1)
      return
    }
    this.#fits(2 * value)
    for (let i = 0; i < value; i++) this.#entry(seen, depth)
  }

  /** Keys have one encoding each, so equal keys are equal bytes. */
  #entry(seen: Set<string>, depth: number): void {
    const start = this.#pos
    const major = this.#peek() >> 5
    if (major > MAJOR.text || major === MAJOR.bytes) throw this.#malformed('key is neither integer nor text')
    this.#item(depth + 1)
    const key = toHex(this.#input.subarray(start, this.#pos))
    if (seen.has(key)) throw this.#malformed('key appears twice')
    seen.add(key)
    this.#item(depth + 1)
  }

  #text(length: number): void {
    const from = this.#take(length)
    try {
      fromUtf8(this.#input.subarray(from, from + length))
    } catch (cause) {
      throw new AttestError('CBOR_MALFORMED', 'text is not UTF-8', { at: this.#place(), cause })
    }
  }

  /** Every item takes a byte at least: a list that cannot be there is refused before anyone makes room for it. */
  #fits(items: number): void {
    if (items > this.#input.length - this.#pos) throw this.#truncated()
  }

  #peek(): number {
    this.#fits(1)
    return this.#view.getUint8(this.#pos)
  }

  #take(length: number): number {
    const from = this.#pos
    this.#fits(length)
    this.#pos += length
    return from
  }

  #place(): string {
    return `${this.#at}@0x${this.#pos.toString(16).padStart(3, '0')}`
  }

  #truncated(): AttestError {
    return new AttestError('EVIDENCE_TRUNCATED', 'value passes the end', { at: this.#place() })
  }

  #malformed(message: string): AttestError {
    return new AttestError('CBOR_MALFORMED', message, { at: this.#place() })
  }
}
