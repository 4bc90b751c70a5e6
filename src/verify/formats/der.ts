import { AttestError } from '../errors.ts'

/** Tags that certificates and CRLs use (X.690 section 8; universal unless the name says otherwise). */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

const CONSTRUCTED = 0x20
const MAX_DEPTH = 32
const MAX_ROW = 64
const DIGIT_0 = 0x30
const LETTER_Z = 0x5a

interface Element {
  readonly tag: number
  readonly start: number
  readonly end: number
}

/**
 * The gate in front of everything that is DER: definite and minimal lengths, one-byte tags, primitive types in their one
 * form, no trailing bytes, at most 32 levels. Libraries accept more, which makes the hash of a certificate malleable.
 * @param at - Name of the input, for error places.
 * @throws AttestError `DER_MALFORMED`, with the offset.
 * @see X.690 (02/2021) sections 8.1, 8.2-8.19, 10.1, 11.1.
 */
export function assertDer(input: Uint8Array, at: string): void {
  if (walk(input, 0, input.length, 0, at) !== 1) throw malformed('want exactly one value, nothing after it', at, 0)
}

/** A SEQUENCE of at least 128 bytes, as every certificate and CRL is; no UTF-8 begins so: 80 to BF never follow an ASCII character. */
export function beginsLikeDer(bytes: Uint8Array): boolean {
  const [tag, length = 0] = bytes
  return tag === TAG.sequence && length > 0x80 && length < 0xc0
}

/**
 * The values of a row that lies side by side, as in a concatenated chain; each still has to pass the gate.
 * @throws AttestError `DER_MALFORMED`; `LIMIT_EXCEEDED` for more than 64: a row of two-byte values would be a million.
 */
export function splitDer(input: Uint8Array, at: string): Uint8Array[] {
  const out: Uint8Array[] = []
  for (let pos = 0; pos < input.length; ) {
    const { end } = readHeader(input, pos, input.length, at)
    if (out.length === MAX_ROW) throw new AttestError('LIMIT_EXCEEDED', `more than ${MAX_ROW} values in a row`, { at })
    out.push(input.subarray(pos, end))
    pos = end
  }
  return out
}

function walk(input: Uint8Array, from: number, to: number, depth: number, at: string): number {
  if (depth > MAX_DEPTH) throw malformed(`nested deeper than ${MAX_DEPTH}`, at, from)
  let count = 0
  for (let pos = from; pos < to; count++) {
    const element = readHeader(input, pos, to, at)
    if ((element.tag & CONSTRUCTED) !== 0) walk(input, element.start, element.end, depth + 1, at)
    if ((element.tag & 0xc0) === 0) assertUniversal(input, element, at)
    pos = element.end
  }
  return count
}

function readHeader(input: Uint8Array, pos: number, limit: number, at: string): Element {
  const tag = input[pos]
  const first = input[pos + 1]
  if (tag === undefined || first === undefined || pos + 2 > limit) throw malformed('value is cut off', at, pos)
  if ((tag & 0x1f) === 0x1f) throw malformed('tag of more than one byte', at, pos)
  let start = pos + 2
  let length = first
  if (first >= 0x80) {
    const size = first & 0x7f
    if (size === 0) throw malformed('indefinite length', at, pos)
    if (size > 3) throw malformed('length of more than three bytes', at, pos)
    if (start + size > limit) throw malformed('value is cut off', at, pos)
    length = 0
    for (let i = 0; i < size; i++) length = length * 256 + (input[start + i] ?? 0)
    if (length < 0x80 || length < 256 ** (size - 1)) throw malformed('length is not minimal', at, pos)
    start += size
  }
  if (start + length > limit) throw malformed('value is cut off', at, pos)
  return { tag, start, end: start + length }
}

function assertUniversal(input: Uint8Array, { tag, start, end }: Element, at: string): void {
  const number = tag & 0x1f
  const mustNest = number === 0x10 || number === 0x11
  if (number === 0) throw malformed('end-of-contents value', at, start)
  if (((tag & CONSTRUCTED) !== 0) !== mustNest) throw malformed('constructed where primitive is due, or the reverse', at, start)
  CONTENT_RULES[number]?.(input, start, end, at)
}

type ContentRule = (input: Uint8Array, start: number, end: number, at: string) => void

/** What the content of a universal type must look like in its one form, by tag number. */
const CONTENT_RULES: Readonly<Record<number, ContentRule>> = {
  [TAG.boolean]: assertBoolean,
  [TAG.integer]: assertMinimalInteger,
  [TAG.enumerated]: assertMinimalInteger,
  [TAG.bitString]: assertBitString,
  [TAG.null]: assertNull,
  [TAG.oid]: assertOid,
}

function assertBoolean(input: Uint8Array, start: number, end: number, at: string): void {
  const holds = end - start === 1 && (input[start] === 0 || input[start] === 0xff)
  if (!holds) throw malformed('BOOLEAN is neither 00 nor FF', at, start)
}

function assertNull(_: Uint8Array, start: number, end: number, at: string): void {
  if (start !== end) throw malformed('NULL with content', at, start)
}

function assertMinimalInteger(input: Uint8Array, start: number, end: number, at: string): void {
  if (start === end) throw malformed('INTEGER without content', at, start)
  const [first, second] = [input[start] ?? 0, input[start + 1] ?? 0]
  const padded = end - start > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))
  if (padded) throw malformed('INTEGER is not minimal', at, start)
}

function assertBitString(input: Uint8Array, start: number, end: number, at: string): void {
  const unused = input[start] ?? 0
  if (start === end || unused > 7 || (end - start === 1 && unused !== 0)) throw malformed('BIT STRING has no valid bit count', at, start)
  if (((input[end - 1] ?? 0) & ((1 << unused) - 1)) !== 0 && end - start > 1) throw malformed('BIT STRING has unused bits set', at, start)
}

function assertOid(input: Uint8Array, start: number, end: number, at: string): void {
  if (start === end || (input[end - 1] ?? 0) >= 0x80) throw malformed('OBJECT IDENTIFIER is cut off', at, start)
  for (let i = start; i < end; i++) {
    const begins = i === start || (input[i - 1] ?? 0) < 0x80
    if (begins && input[i] === 0x80) throw malformed('OBJECT IDENTIFIER is not minimal', at, i)
  }
}

function malformed(message: string, at: string, offset: number): AttestError {
  return new AttestError('DER_MALFORMED', message, { at: `${at}@0x${offset.toString(16).padStart(3, '0')}` })
}

/**
 * Reads the members of one value that passed {@link assertDer}, front to back. What a member should be is the caller's to
 * say; anything else is `CERTIFICATE_MALFORMED`.
 */
export class DerReader {
  readonly #input: Uint8Array
  readonly #end: number
  readonly #at: string
  #pos: number

  constructor(input: Uint8Array, at: string, from = 0, to: number = input.length) {
    this.#input = input
    this.#at = at
    this.#pos = from
    this.#end = to
  }

  get done(): boolean {
    return this.#pos >= this.#end
  }

  /** Tag of the next member; -1 at the end. */
  get peek(): number {
    return this.done ? -1 : (this.#input[this.#pos] ?? -1)
  }

  /** Where it stands, for {@link placeAt}: the place is put into words when there is an error to report. */
  get position(): number {
    return this.#pos
  }

  /** A place for an error message. */
  get place(): string {
    return this.placeAt(this.#pos)
  }

  placeAt(position: number): string {
    return `${this.#at}@0x${position.toString(16).padStart(3, '0')}`
  }

  /** A reader of a value that this one has read as a whole. */
  within(view: Uint8Array): DerReader {
    const from = view.byteOffset - this.#input.byteOffset
    return new DerReader(this.#input, this.#at, from, from + view.length)
  }

  /** The next member, for reading its own members. */
  open(tag: number): DerReader {
    const element = this.#take(tag)
    return new DerReader(this.#input, this.#at, element.start, element.end)
  }

  /** Content of the next member. A view, not a copy. */
  content(tag: number): Uint8Array {
    const element = this.#take(tag)
    return this.#input.subarray(element.start, element.end)
  }

  /** The next member with its tag and length. A view, not a copy. */
  whole(tag: number = this.peek): Uint8Array {
    const from = this.#pos
    const element = this.#take(tag)
    return this.#input.subarray(from, element.end)
  }

  oid(): string {
    return decodeOid(this.content(TAG.oid))
  }

  /** A non-negative INTEGER below 2^31. */
  smallInteger(): number {
    const bytes = this.content(TAG.integer)
    if (bytes.length > 4 || (bytes[0] ?? 0) >= 0x80) throw this.#unexpected('INTEGER out of range')
    return bytes.reduce((n, b) => n * 256 + b, 0)
  }

  boolean(): boolean {
    return this.content(TAG.boolean)[0] === 0xff
  }

  /** A BIT STRING of whole bytes, without its bit count. */
  bitString(): Uint8Array {
    const bytes = this.content(TAG.bitString)
    if (bytes[0] !== 0) throw this.#unexpected('BIT STRING is not whole bytes')
    return bytes.subarray(1)
  }

  /** UTCTime or GeneralizedTime in the one form of RFC 5280 section 4.1.2.5, in milliseconds since 1970. */
  time(): number {
    const short = this.peek === TAG.utcTime
    const text = this.content(short ? TAG.utcTime : TAG.generalizedTime)
    const from = short ? 2 : 4
    if (!isTime(text, from)) throw this.#unexpected('time is not in the form that RFC 5280 asks for')
    const pair = (at: number): number => 10 * ((text[at] ?? 0) - DIGIT_0) + (text[at + 1] ?? 0) - DIGIT_0
    const [month, day, hour, minute, second] = [pair(from), pair(from + 2), pair(from + 4), pair(from + 6), pair(from + 8)]
    const year = short ? (pair(0) < 50 ? 2000 : 1900) + pair(0) : 100 * pair(0) + pair(2)
    // JavaScript takes years below 100 for those of the twentieth century.
    const exists =
      year >= 100 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month) && hour < 24 && minute < 60 && second < 60
    if (!exists) throw this.#unexpected('time does not exist')
    return Date.UTC(year, month - 1, day, hour, minute, second)
  }

  /** Reads with `read` and then asserts the end. */
  only<T>(read: (reader: DerReader) => T): T {
    const value = read(this)
    this.end()
    return value
  }

  /** @throws AttestError `CERTIFICATE_MALFORMED` unless every member was read. */
  end(): void {
    if (!this.done) throw this.#unexpected('members after the last one')
  }

  #take(tag: number): Element {
    if (this.done || this.peek !== tag)
      throw this.#unexpected(this.done ? 'a member is missing' : `tag ${hex(this.peek)}, want ${hex(tag)}`)
    const element = readHeader(this.#input, this.#pos, this.#end, this.#at)
    this.#pos = element.end
    return element
  }

  #unexpected(message: string): AttestError {
    return new AttestError('CERTIFICATE_MALFORMED', message, { at: this.place })
  }
}

/** Digits and a Z, as many as there are with a year of `yearSize` digits. */
function isTime(text: Uint8Array, yearSize: number): boolean {
  const last = yearSize + 10
  if (text.length !== last + 1 || text[last] !== LETTER_Z) return false
  for (let i = 0; i < last; i++) if (((text[i] ?? 0) - DIGIT_0) >>> 0 > 9) return false
  return true
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function hex(tag: number): string {
  return `0x${tag.toString(16).padStart(2, '0')}`
}

/** Dotted decimal of an OBJECT IDENTIFIER's content. Arcs have at most 53 bits. */
export function decodeOid(content: Uint8Array): string {
  let text = ''
  let arc = 0
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f)
    if (!Number.isSafeInteger(arc)) throw new AttestError('CERTIFICATE_MALFORMED', 'OBJECT IDENTIFIER arc is too large')
    if (byte >= 0x80) continue
    text = text === '' ? topArcs(arc) : `${text}.${arc}`
    arc = 0
  }
  return text
}

/** The first two arcs share a number (X.690 section 8.19.4). */
function topArcs(first: number): string {
  const top = Math.min(2, Math.floor(first / 40))
  return `${top}.${first - 40 * top}`
}
