import { AttestError } from '../../errors.ts'

/** A JSON value. Objects are maps, so no member name has a meaning of its own. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject

export interface JsonObject {
  readonly members: ReadonlyMap<string, JsonValue>
  /** Where the text of each member's value begins and ends, in UTF-16 units: signatures are over exactly that text. */
  readonly spans: ReadonlyMap<string, readonly [start: number, end: number]>
}

const MAX_DEPTH = 16
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

/**
 * Parses JSON (RFC 8259) and refuses what `JSON.parse` lets pass: members that appear twice, deep nesting. The text is not
 * ours to choose, so white space and any order of members are accepted.
 * @throws AttestError `JSON_MALFORMED`, with the offset.
 */
export function parseStrictJson(text: string, at: string): JsonValue {
  const parser = new Parser(text, at)
  return parser.document()
}

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && 'members' in value
}

class Parser {
  readonly #text: string
  readonly #at: string
  #pos = 0

  constructor(text: string, at: string) {
    this.#text = text
    this.#at = at
  }

  document(): JsonValue {
    this.#space()
    const value = this.#value(0)
    this.#space()
    if (this.#pos !== this.#text.length) throw this.#malformed('text after the value')
    return value
  }

  #value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw this.#malformed(`nested deeper than ${MAX_DEPTH}`)
    switch (this.#text[this.#pos] ?? '') {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      default:
        return this.#number()
    }
  }

  #object(depth: number): JsonObject {
    const members = new Map<string, JsonValue>()
    const spans = new Map<string, readonly [number, number]>()
    this.#list('}', () => {
      if (this.#text[this.#pos] !== '"') throw this.#malformed('member name is due')
      const name = this.#string()
      if (members.has(name)) throw this.#malformed(`member ${JSON.stringify(name)} appears twice`)
      this.#space()
      if (this.#text[this.#pos] !== ':') throw this.#malformed('colon is due')
      this.#pos++
      this.#space()
      const start = this.#pos
      members.set(name, this.#value(depth + 1))
      spans.set(name, [start, this.#pos])
    })
    return { members, spans }
  }

  #array(depth: number): JsonValue[] {
    const items: JsonValue[] = []
    this.#list(']', () => items.push(this.#value(depth + 1)))
    return items
  }

  #list(close: string, item: () => void): void {
    this.#pos++
    this.#space()
    if (this.#text[this.#pos] === close) {
      this.#pos++
      return
    }
    for (;;) {
      item()
      this.#space()
      const next = this.#text[this.#pos++]
      if (next === close) return
      if (next !== ',') throw this.#malformed('comma or end of the list is due')
      this.#space()
    }
  }

  #string(): string {
    const start = this.#pos
    let end = start + 1
    let escaped = false
    for (; ; end++) {
      const unit = this.#text.charCodeAt(end)
      if (Number.isNaN(unit) || unit < 0x20) throw this.#malformed('string does not end')
      if (unit === 0x22) break
      if (unit === 0x5c) {
        escaped = true
        end++
      }
    }
    this.#pos = end + 1
    return escaped ? this.#unescape(this.#text.slice(start, end + 1)) : this.#text.slice(start + 1, end)
  }

  #unescape(quoted: string): string {
    try {
      return JSON.parse(quoted) as string
    } catch (cause) {
      throw new AttestError('JSON_MALFORMED', 'string has an escape that does not exist', { at: this.#at, cause })
    }
  }

  #number(): number {
    NUMBER.lastIndex = this.#pos
    const match = NUMBER.exec(this.#text)
    if (match === null) throw this.#malformed('value is due')
    this.#pos = NUMBER.lastIndex
    return Number(match[0])
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#pos)) throw this.#malformed('value is due')
    this.#pos += word.length
    return value
  }

  #space(): void {
    for (; ; this.#pos++) {
      const unit = this.#text.charCodeAt(this.#pos)
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return
    }
  }

  #malformed(message: string): AttestError {
    return new AttestError('JSON_MALFORMED', message, { at: `${this.#at}[${this.#pos}]` })
  }
}
