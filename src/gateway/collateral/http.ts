import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { AttestError } from '../../verify/errors.ts'
import type { Clock } from '../clock.ts'

export interface HttpAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Empty unless the status is 200. */
  readonly body: Uint8Array
}

/** One GET. Never throws for a status. */
export type HttpGet = (url: URL, headers: Readonly<Record<string, string>>, maxBytes: number) => Promise<HttpAnswer>

export interface HttpOptions {
  readonly clock: Clock
  readonly timeoutMs: number
  /** Certificate authorities (PEM) instead of the public ones: a cache in one's own network often has one of its own. */
  readonly ca?: string
  /** Ends what is under way. */
  readonly signal: AbortSignal
}

/** Issuer chains come in a header: two or three certificates, URL-encoded, 4 to 6 KB. */
const MAX_HEADER_SIZE = 32 * 1024

/**
 * A client that does as little as can be: one request, one answer, no redirect, no proxy, no compression, no cookie. What
 * comes is checked by its signature; the rest here is for the sake of the machine.
 * @returns Rejects with AttestError `GATEWAY_UNREACHABLE`, `DEADLINE`, `LIMIT_EXCEEDED`, `ENCODING_INVALID`, `CANCELLED`.
 */
export function createHttpGet({ clock, timeoutMs, ca, signal }: HttpOptions): HttpGet {
  // Agents of our own: the global ones may be told by the environment to go through a proxy.
  const http = new HttpAgent()
  const https = new HttpsAgent({ minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) })
  return (url, headers, maxBytes) =>
    new Promise((resolve, reject) => {
      const options = {
        method: 'GET',
        headers: { accept: '*/*', 'accept-encoding': 'identity', ...headers },
        maxHeaderSize: MAX_HEADER_SIZE,
      }
      const request =
        url.protocol === 'https:' ? httpsRequest(url, { ...options, agent: https }) : httpRequest(url, { ...options, agent: http })
      const fail = (error: AttestError): void => {
        settle()
        request.destroy()
        reject(error)
      }
      const cancel = (): void => fail(new AttestError('CANCELLED', 'the service was stopped', { at: url.origin }))
      const stopTimer = clock.after(timeoutMs, () =>
        fail(new AttestError('DEADLINE', `no answer within ${timeoutMs} ms`, { at: url.origin })),
      )
      const settle = (): void => {
        stopTimer()
        signal.removeEventListener('abort', cancel)
      }
      signal.addEventListener('abort', cancel)
      if (signal.aborted) return cancel()
      request.on('error', (cause) => fail(unreachable(url, cause)))
      request.on('response', (response) => {
        readBody(response, maxBytes).then(
          (body) => {
            settle()
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body })
          },
          (cause: unknown) => fail(cause instanceof AttestError ? cause : unreachable(url, cause)),
        )
      })
      request.end()
    })
}

/** Reads no more than is wanted, and of a refusal nothing. */
async function readBody(response: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  if (response.statusCode !== 200) {
    response.destroy()
    return new Uint8Array()
  }
  const tooLarge = (): AttestError => new AttestError('LIMIT_EXCEEDED', `answer is larger than ${maxBytes} bytes`)
  const encoding = response.headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity') throw new AttestError('ENCODING_INVALID', 'answer is compressed, which was not asked for')
  if (Number(response.headers['content-length'] ?? 0) > maxBytes) throw tooLarge()
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > maxBytes) throw tooLarge()
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}

function unreachable(url: URL, cause: unknown): AttestError {
  const { code } = cause as NodeJS.ErrnoException
  return new AttestError('GATEWAY_UNREACHABLE', `${url.host} does not answer (${code ?? 'unknown'})`, { at: url.origin, cause })
}
