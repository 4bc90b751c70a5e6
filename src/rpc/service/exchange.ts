import { createHash, type Hash } from 'node:crypto'
import { u32be, utf8 } from '../../verify/bytes/bytes.ts'
import { encodeCanonical, type Json } from '../../verify/formats/canonical-json.ts'

/** Header names and values as Node reads them, in turn. */
export type RawHeaders = readonly string[]

/** RFC 9110 section 7.6.1, with what belongs to a single hop beside it. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'expect',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
/** How a body is framed is each hop's own affair; its bytes are hashed. */
const FRAMING = 'content-length'

/** The headers that are for the other end. Those that `Connection` names, and our own, are not. */
export function endToEnd(raw: RawHeaders): RawHeaders {
  const dropped = new Set<string>(HOP_BY_HOP)
  for (const [name, value] of pairs(raw)) {
    if (name.toLowerCase() === 'connection') for (const token of value.split(',')) dropped.add(token.trim().toLowerCase())
  }
  // `Connection: host` must not take away what HTTP itself needs.
  for (const needed of ['host', FRAMING]) dropped.delete(needed)
  return pairs(raw)
    .filter(([name]) => !dropped.has(name.toLowerCase()) && !name.toLowerCase().startsWith('sealgate-'))
    .flat()
}

export function pairs(raw: RawHeaders): readonly (readonly [string, string])[] {
  const list: (readonly [string, string])[] = []
  for (let i = 0; i + 1 < raw.length; i += 2) list.push([raw[i] ?? '', raw[i + 1] ?? ''])
  return list
}

/** One side of an exchange, hashed as it passes. */
export class MessageHash {
  readonly #hash: Hash
  /** Bytes of the body so far. */
  bytes = 0

  private constructor(context: string, head: Json) {
    const bytes = encodeCanonical(head)
    this.#hash = createHash('sha256').update(utf8(context)).update(u32be(bytes.length)).update(bytes)
  }

  static ofRequest(method: string, target: string, headers: RawHeaders): MessageHash {
    return new MessageHash('sealgate/request/v1', { headers: canonical(headers), method, target })
  }

  static ofResponse(status: number, headers: RawHeaders): MessageHash {
    return new MessageHash('sealgate/response/v1', { headers: canonical(headers), status })
  }

  update(chunk: Uint8Array): void {
    this.bytes += chunk.length
    this.#hash.update(chunk)
  }

  digest(): Uint8Array {
    return new Uint8Array(this.#hash.digest())
  }
}

/** What both ends of the channel see alike: end-to-end headers in their order, names in lower case. */
function canonical(headers: RawHeaders): Json {
  return pairs(headers)
    .map(([name, value]) => [name.toLowerCase(), value])
    .filter(([name]) => name !== FRAMING)
}
