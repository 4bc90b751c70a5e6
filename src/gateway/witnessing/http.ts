import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Clock } from '../clock.ts'

export interface PostAnswer {
  readonly status: number
  readonly type: string
  readonly body: Uint8Array
}

/** What came of one POST: an answer, or words for why there is none. */
export type Posted = PostAnswer | { readonly failure: string }

export type HttpPost = (body: Uint8Array, signal: AbortSignal) => Promise<Posted>

export interface PostOptions {
  readonly url: URL
  readonly clock: Clock
  readonly timeoutMs: number
  /** Certificate authorities (PEM) instead of the public ones. */
  readonly ca: string | null
}

/** Signature lines: more than any witness has keys. */
const MAX_ANSWER_SIZE = 16 * 1024
const MAX_HEADER_SIZE = 8 * 1024

/**
 * A client for one address: one POST, one answer, no redirect, no proxy, no compression. Connections are kept for the next
 * request, as C2SP asks. What comes is checked by its signature; the rest here is for the sake of the machine.
 */
export function createHttpPost({ url, clock, timeoutMs, ca }: PostOptions): HttpPost & { close(): void } {
  // Agents of our own: the global ones may be told by the environment to go through a proxy.
  const options = { keepAlive: true, maxSockets: 2 }
  const agent =
    url.protocol === 'https:'
      ? new HttpsAgent({ ...options, minVersion: 'TLSv1.2', ...(ca === null ? {} : { ca }) })
      : new HttpAgent(options)
  const ask = url.protocol === 'https:' ? httpsRequest : httpRequest
  const post: HttpPost = (body, signal) =>
    new Promise((resolve) => {
      const headers = { 'content-type': 'text/plain; charset=utf-8', 'content-length': body.length, 'accept-encoding': 'identity' }
      const request = ask(url, { method: 'POST', agent, headers, maxHeaderSize: MAX_HEADER_SIZE })
      const finish = (posted: Posted): void => {
        stopTimer()
        signal.removeEventListener('abort', cancel)
        if ('failure' in posted) request.destroy()
        resolve(posted)
      }
      const cancel = (): void => finish({ failure: 'was not waited for' })
      const stopTimer = clock.after(timeoutMs, () => finish({ failure: `does not answer within ${timeoutMs} ms` }))
      request.on('error', (cause: NodeJS.ErrnoException) => finish({ failure: `does not answer (${cause.code ?? 'unknown'})` }))
      request.on('response', (response) => {
        readAnswer(response).then(finish, (cause: NodeJS.ErrnoException) => finish({ failure: `breaks off (${cause.code ?? 'unknown'})` }))
      })
      signal.addEventListener('abort', cancel)
      if (signal.aborted) return cancel()
      request.end(body)
    })
  return Object.assign(post, { close: () => agent.destroy() })
}

async function readAnswer(response: IncomingMessage): Promise<Posted> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > MAX_ANSWER_SIZE) return { failure: `answers more than ${MAX_ANSWER_SIZE} bytes` }
    chunks.push(chunk)
  }
  return { status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', body: new Uint8Array(Buffer.concat(chunks)) }
}
