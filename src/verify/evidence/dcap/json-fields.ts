import { fromHex } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from './json.ts'

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/
const MAX_LIST = 256
const MAX_TEXT = 256

/** Reads typed members of a JSON object. Members that nobody asks for are left alone: Intel adds some now and then. */
export class JsonFields {
  readonly #object: JsonObject
  readonly #at: string

  /** @throws AttestError `DOCUMENT_INVALID` when `value` is no object. */
  constructor(value: JsonValue | undefined, at: string) {
    if (!isJsonObject(value)) throw new AttestError('DOCUMENT_INVALID', 'want an object', { at })
    this.#object = value
    this.#at = at
  }

  has(name: string): boolean {
    return this.#object.members.has(name)
  }

  get names(): readonly string[] {
    return [...this.#object.members.keys()]
  }

  value(name: string): JsonValue | undefined {
    return this.#object.members.get(name)
  }

  fields(name: string): JsonFields {
    return new JsonFields(this.#get(name), this.#place(name))
  }

  list(name: string): readonly JsonFields[] {
    return this.#array(name).map((item, i) => new JsonFields(item, `${this.#place(name)}[${i}]`))
  }

  /** A list that may be absent. */
  texts(name: string): readonly string[] {
    if (!this.has(name)) return []
    return this.#array(name).map((item) => {
      if (typeof item !== 'string' || item.length > MAX_TEXT) throw this.#invalid(name, 'want a list of texts')
      return item
    })
  }

  text(name: string, max: number = MAX_TEXT): string {
    const value = this.#get(name)
    if (typeof value !== 'string' || value.length > max) throw this.#invalid(name, 'want a text')
    return value
  }

  flag(name: string): boolean {
    const value = this.#get(name)
    if (typeof value !== 'boolean') throw this.#invalid(name, 'want true or false')
    return value
  }

  /** An integer from 0 to `max`. */
  count(name: string, max: number): number {
    const value = this.#get(name)
    if (typeof value !== 'number' || !Number.isInteger(value) || Object.is(value, -0) || value < 0 || value > max) {
      throw this.#invalid(name, `want an integer from 0 to ${max}`)
    }
    return value
  }

  /** Hexadecimal in either case: collateral has both, even in one document. */
  hex(name: string, sizeBytes: number): Uint8Array {
    const bytes = this.blob(name, sizeBytes)
    if (bytes.length !== sizeBytes) throw this.#invalid(name, `want hexadecimal of ${sizeBytes} bytes`)
    return bytes
  }

  /** Hexadecimal of at most `maxBytes` bytes. */
  blob(name: string, maxBytes: number): Uint8Array {
    const text = this.#get(name)
    if (typeof text !== 'string' || text.length > 2 * maxBytes) throw this.#invalid(name, `want hexadecimal of at most ${maxBytes} bytes`)
    try {
      return fromHex(text)
    } catch (cause) {
      throw new AttestError('DOCUMENT_INVALID', 'not hexadecimal', { at: this.#place(name), cause })
    }
  }

  /** Milliseconds since 1970. */
  time(name: string): number {
    const text = this.text(name)
    const ms = INSTANT.test(text) ? Date.parse(text) : Number.NaN
    const same = Number.isFinite(ms) && new Date(ms).toISOString().replace('.000Z', 'Z') === text
    if (!same) throw this.#invalid(name, 'want YYYY-MM-DDTHH:MM:SSZ')
    return ms
  }

  invalid(message: string): AttestError {
    return new AttestError('DOCUMENT_INVALID', message, { at: this.#at })
  }

  #array(name: string): readonly JsonValue[] {
    const value = this.#get(name)
    if (!Array.isArray(value) || value.length > MAX_LIST) throw this.#invalid(name, `want a list of at most ${MAX_LIST}`)
    return value as readonly JsonValue[]
  }

  #get(name: string): JsonValue | undefined {
    return this.#object.members.get(name)
  }

  #place(name: string): string {
    return `${this.#at}.${name}`
  }

  #invalid(name: string, message: string): AttestError {
    return new AttestError('DOCUMENT_INVALID', this.has(name) ? message : 'is missing', { at: this.#place(name) })
  }
}
