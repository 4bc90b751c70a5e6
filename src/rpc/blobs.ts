import { once } from 'node:events'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { AttestError, ERROR_CODES, type ErrorCode } from '../verify/errors.ts'
import { diagnose } from './diagnose.ts'
import { blobPath, OFFSET_HEADER, uploadPath } from './http.ts'
import { type Address, httpsOptions, type TlsIdentity } from './tls.ts'

export interface BlobEndpoint {
  readonly address: Address
  readonly identity: TlsIdentity
}

export interface UploadSource {
  readonly sizeBytes: number
  /** The bytes from `offset` on. Called again after an interruption. */
  from(offset: number): AsyncIterable<Uint8Array>
}

export interface TransferOptions {
  readonly signal?: AbortSignal
  /** Bytes that are durable so far. */
  readonly onProgress?: (bytes: number) => void
}

/** Interruptions in a row without progress before a transfer gives up. */
const MAX_STALLS = 5
const IDLE_TIMEOUT_MS = 60_000
const ANSWER_LIMIT = 64 * 1024

/**
 * Sends the bytes of an open upload, going on from what the gateway holds after each interruption.
 * @throws AttestError the gateway's own, or `GATEWAY_UNREACHABLE` / `TLS_REJECTED`, `CANCELLED`.
 */
export async function uploadBlob(
  endpoint: BlobEndpoint,
  uploadId: string,
  source: UploadSource,
  options: TransferOptions = {},
): Promise<void> {
  let stalls = 0
  let offset = await retryable(endpoint, options, () => uploadOffset(endpoint, uploadId, options))
  while (offset < source.sizeBytes) {
    options.onProgress?.(offset)
    const before = offset
    try {
      offset = await putFrom(endpoint, uploadId, source, offset, options)
    } catch (cause) {
      await giveUpUnlessTransient(endpoint, cause, options, ++stalls)
      offset = await retryable(endpoint, options, () => uploadOffset(endpoint, uploadId, options))
    }
    if (offset > before) stalls = 0
    else if (++stalls > MAX_STALLS) throw new AttestError('GATEWAY_UNREACHABLE', 'the upload makes no progress')
  }
  options.onProgress?.(offset)
}

/** Reads a blob from byte `offset`; goes on after interruptions. Ends early only by an error. */
export async function* downloadBlob(
  endpoint: BlobEndpoint,
  blobId: string,
  sizeBytes: number,
  options: TransferOptions & { readonly offset?: number } = {},
): AsyncGenerator<Uint8Array> {
  let at = options.offset ?? 0
  let stalls = 0
  while (at < sizeBytes) {
    try {
      const response = await answerOf(send(endpoint, 'GET', blobPath(blobId), { range: `bytes=${at}-` }, options).end())
      for await (const chunk of response as AsyncIterable<Uint8Array>) {
        if (at + chunk.length > sizeBytes) throw new AttestError('STREAM_TRUNCATED', `the gateway sent more than ${sizeBytes} bytes`)
        at += chunk.length
        stalls = 0
        yield chunk
        options.onProgress?.(at)
      }
      if (at < sizeBytes) throw Object.assign(new Error('answer ended early'), { code: 'ECONNRESET' })
    } catch (cause) {
      await giveUpUnlessTransient(endpoint, cause, options, ++stalls)
    }
  }
}

async function uploadOffset(endpoint: BlobEndpoint, uploadId: string, options: TransferOptions): Promise<number> {
  const response = await answerOf(send(endpoint, 'HEAD', uploadPath(uploadId), {}, options).end())
  response.resume()
  return offsetOf(response)
}

async function putFrom(
  endpoint: BlobEndpoint,
  uploadId: string,
  source: UploadSource,
  offset: number,
  options: TransferOptions,
): Promise<number> {
  const headers = {
    'content-range': `bytes ${offset}-${source.sizeBytes - 1}/${source.sizeBytes}`,
    'content-length': source.sizeBytes - offset,
  }
  const req = send(endpoint, 'PUT', uploadPath(uploadId), headers, options)
  const answer = answerOf(req)
  // The gateway may answer (with a refusal) before it has read the body: stop sending then.
  let answered = false
  answer.then(
    () => (answered = true),
    () => (answered = true),
  )
  for await (const chunk of source.from(offset)) {
    if (answered) break
    if (!req.write(chunk)) await Promise.race([once(req, 'drain'), answer])
  }
  if (!answered) req.end()
  const response = await answer
  response.resume()
  return offsetOf(response)
}

function offsetOf(response: IncomingMessage): number {
  const offset = Number(response.headers[OFFSET_HEADER])
  if (!Number.isSafeInteger(offset) || offset < 0) throw new AttestError('DOCUMENT_INVALID', 'the gateway named no offset')
  return offset
}

function send(
  { address, identity }: BlobEndpoint,
  method: string,
  path: string,
  headers: Record<string, string | number>,
  options: TransferOptions,
): ClientRequest {
  const signal = options.signal === undefined ? {} : { signal: options.signal }
  return request({ ...httpsOptions(address, identity), method, path, headers, timeout: IDLE_TIMEOUT_MS, ...signal })
}

/** @throws AttestError the gateway's refusal; a socket error as it is. */
async function answerOf(req: ClientRequest): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    req.on('response', resolve)
    req.on('error', reject)
    req.on('timeout', () => req.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
  })
  if (response.statusCode === 200 || response.statusCode === 206) return response
  throw await refusalOf(response)
}

export async function refusalOf(response: IncomingMessage): Promise<AttestError> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > ANSWER_LIMIT) break
    parts.push(chunk)
  }
  try {
    const { code, message } = JSON.parse(Buffer.concat(parts).toString('utf8')) as { code: string; message: string }
    if (code in ERROR_CODES && typeof message === 'string') return new AttestError(code as ErrorCode, message)
  } catch {
    // Fall through: not one of our answers.
  }
  const code = response.statusCode === 404 ? 'NOT_FOUND' : response.statusCode === 401 ? 'UNAUTHENTICATED' : 'INTERNAL'
  return new AttestError(code, `the gateway answered with HTTP status ${response.statusCode}`)
}

async function retryable<T>(endpoint: BlobEndpoint, options: TransferOptions, attempt: () => Promise<T>): Promise<T> {
  for (let stalls = 1; ; stalls++) {
    try {
      return await attempt()
    } catch (cause) {
      await giveUpUnlessTransient(endpoint, cause, options, stalls)
    }
  }
}

/** Waits a little before the next try, or throws what stands in its way. */
async function giveUpUnlessTransient(endpoint: BlobEndpoint, cause: unknown, options: TransferOptions, stalls: number): Promise<void> {
  if (options.signal?.aborted) throw new AttestError('CANCELLED', 'the transfer was cancelled', { cause })
  if (cause instanceof AttestError) throw cause
  if (stalls >= MAX_STALLS) {
    throw (
      (await diagnose(endpoint.address, endpoint.identity)) ?? new AttestError('GATEWAY_UNREACHABLE', 'the transfer was cut off', { cause })
    )
  }
  await new Promise((resolve) => setTimeout(resolve, 50 * 2 ** stalls))
}
