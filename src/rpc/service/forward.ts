import { type Agent, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Readable, Writable } from 'node:stream'
import { MAX_HEADER_SIZE } from './channel.ts'
import { endToEnd, MessageHash, type RawHeaders } from './exchange.ts'

/** One exchange as it passed here. */
export interface Exchanged {
  readonly request: MessageHash
  /** Null: no answer came. */
  readonly response: MessageHash | null
  readonly status: number | null
  /** Both messages passed whole. */
  readonly complete: boolean
  /** Headers of the answer as it came, our own among them. */
  readonly answered: IncomingMessage['headers']
}

export interface ForwardMeans {
  /** Where requests go. */
  readonly agent: Agent
  /** Headers for the next hop of our own, in turn. */
  readonly answerHeaders?: RawHeaders
  /** Called once, when the exchange is over. Its hashes can be read once. */
  readonly onEnd: (exchanged: Exchanged) => void
}

/** Methods whose requests have no body unless they say so (RFC 9110 section 9.3). */
const BODILESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE'])

/**
 * Passes one request on and its answer back, as they come, with no more in memory than is under way. Both were parsed
 * strictly and are framed anew, so that no two readers see different messages. Upgrades and trailers do not pass.
 */
export function forward(incoming: IncomingMessage, outgoing: ServerResponse, means: ForwardMeans): void {
  const { method = 'GET', url = '/', rawHeaders } = incoming
  const coding = incoming.headers['transfer-encoding']
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    incoming.resume()
    refuse(outgoing, 501, 'DOCUMENT_INVALID', 'no transfer coding but chunked passes')
    return
  }
  const headers = endToEnd(rawHeaders)
  const asked = MessageHash.ofRequest(method, url, headers)
  const framed = [...headers, ...framing(method, coding !== undefined, incoming.headers['content-length'] !== undefined)]
  let response: MessageHash | null = null
  let answer: IncomingMessage | null = null
  let [askedAll, answeredAll, over] = [false, false, false]
  const end = (): void => {
    if (over) return
    over = true
    const status = answer?.statusCode ?? null
    means.onEnd({ request: asked, response, status, complete: askedAll && answeredAll, answered: answer?.headers ?? {} })
  }
  const fail = (): void => {
    if (over) return
    end()
    upstream?.destroy()
    // What is left of the request is read and dropped, so that the connection can go on.
    incoming.removeAllListeners('data').resume()
    if (outgoing.headersSent) outgoing.destroy()
    else refuse(outgoing, 502, 'JOB_FAILED', 'no answer came from the other end')
  }
  const take = (received: IncomingMessage): void => {
    answer = received
    const list = endToEnd(received.rawHeaders)
    const hash = MessageHash.ofResponse(received.statusCode ?? 0, list)
    response = hash
    outgoing.sendDate = false
    outgoing.writeHead(received.statusCode ?? 0, received.statusMessage ?? '', [...list, ...(means.answerHeaders ?? [])])
    // An answer may stream: its head must not wait for the first byte of its body.
    outgoing.flushHeaders()
    received.on('error', fail)
    received.on('close', () => {
      if (!received.complete) fail()
    })
    pump(received, outgoing, hash, () => {
      answeredAll = received.complete
      if (!answeredAll) return fail()
      outgoing.end()
    })
  }
  const upstream = sent(() =>
    httpRequest({
      agent: means.agent,
      method,
      path: url,
      // As a list: Node then adds nothing but `Connection`.
      headers: framed as unknown as Record<string, string>,
      setHost: false,
      insecureHTTPParser: false,
      maxHeaderSize: MAX_HEADER_SIZE,
    }),
  )
  if (upstream === null) {
    fail()
    return
  }
  upstream.on('response', (received) => {
    if (sent(() => take(received)) === null) {
      received.destroy()
      fail()
    }
  })
  upstream.on('error', fail)
  outgoing.on('finish', end)
  outgoing.on('close', () => {
    if (!outgoing.writableFinished) fail()
  })
  incoming.on('error', fail)
  pump(incoming, upstream, asked, () => {
    askedAll = incoming.complete
    upstream.end()
  })
}

/** Null for a message that Node will not write, such as a status line with odd characters. */
function sent<T>(write: () => T): T | null {
  try {
    return write()
  } catch {
    return null
  }
}

/** What says how the next hop finds the end of a request, where its own headers do not. */
function framing(method: string, chunked: boolean, sized: boolean): RawHeaders {
  if (chunked) return ['Transfer-Encoding', 'chunked']
  return sized || BODILESS.has(method) ? [] : ['Content-Length', '0']
}

/** Reads no faster than the other side takes. */
function pump(from: Readable, to: Writable, hash: MessageHash, onEnd: () => void): void {
  from.on('data', (chunk: Uint8Array) => {
    hash.update(chunk)
    if (!to.write(chunk)) from.pause()
  })
  to.on('drain', () => from.resume())
  from.on('end', onEnd)
}

/** An answer of our own, in our own words: JSON `{"error":{"code","message"}}`. */
export function refuse(outgoing: ServerResponse, status: number, code: string, message: string): void {
  answerJson(outgoing, status, { error: { code, message } })
}

export function answerJson(outgoing: ServerResponse, status: number, document: unknown): void {
  const body = JSON.stringify(document)
  outgoing.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'cache-control': 'no-store' })
  outgoing.end(body)
}

/** Reads a small body whole. Null: it is longer, or was cut off. */
export async function readSmall(message: IncomingMessage, maxBytes: number): Promise<Buffer | null> {
  const parts: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of message as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > maxBytes) return null
      parts.push(chunk)
    }
  } catch {
    return null
  }
  return message.complete ? Buffer.concat(parts) : null
}
