import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import type { TLSSocket } from 'node:tls'
import type { Logger } from 'pino'
import { httpStatusOf, LENGTH_HEADER, OFFSET_HEADER, publicError } from '../../rpc/index.ts'
import { AttestError } from '../../verify/errors.ts'
import { type Caller, callerOf } from '../server/caller.ts'
import type { BlobFolder } from '../store/blob-folder.ts'
import type { BlobRow } from '../store/tables.ts'
import type { Incoming, Uploads } from './uploads.ts'

export interface BytePath {
  readonly uploads: Uploads
  readonly folder: BlobFolder
  /** The blob, if this caller may read it; throws `NOT_FOUND` otherwise. */
  readonly readable: (caller: Caller, blobId: string) => Promise<BlobRow>
  readonly logger: Logger
}

const ROUTE = /^\/v1\/(uploads|blobs)\/([A-Za-z0-9_-]{1,64})$/
const CONTENT_RANGE = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/
const RANGE = /^bytes=(\d{1,16})-(\d{0,16})$/

/** Bytes of sealed files over HTTP/1.1, see rpc/http.ts. Nothing is kept in memory but what is under way. */
export function byteHandler(path: BytePath): RequestListener {
  return (request, response) => {
    void serve(path, request, response).catch((error: unknown) => refuse(path.logger, request, response, error))
  }
}

async function serve(path: BytePath, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const caller = callerOf((request.socket as TLSSocket).getPeerCertificate())
  const [, kind, id = ''] = ROUTE.exec(request.url ?? '') ?? []
  if (kind === 'uploads' && request.method === 'PUT') return put(path, caller, id, request, response)
  if (kind === 'uploads' && request.method === 'HEAD') return head(path, caller, id, response)
  if (kind === 'blobs' && (request.method === 'GET' || request.method === 'HEAD')) return get(path, caller, id, request, response)
  throw new AttestError('NOT_FOUND', 'no such path')
}

async function put({ uploads }: BytePath, caller: Caller, id: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const offset = await uploads.receive(caller, id, incomingOf(request))
  response.writeHead(200, { [OFFSET_HEADER]: offset, 'content-length': 0 }).end()
}

function incomingOf(request: IncomingMessage): Incoming {
  const [, start, end, total] = CONTENT_RANGE.exec(request.headers['content-range'] ?? '') ?? []
  if (start === undefined || end === undefined || total === undefined) {
    throw new AttestError('DOCUMENT_INVALID', 'want Content-Range: bytes a-b/size', { at: 'content-range' })
  }
  // Leaving the loop must not destroy the socket: the refusal still has to go out on it.
  const bytes = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>
  return { start: Number(start), end: Number(end), total: Number(total), bytes, abort: () => request.destroy() }
}

async function head({ uploads }: BytePath, caller: Caller, id: string, response: ServerResponse): Promise<void> {
  const { received, size } = await uploads.offset(caller, id)
  response.writeHead(200, { [OFFSET_HEADER]: received, [LENGTH_HEADER]: size }).end()
}

async function get(path: BytePath, caller: Caller, id: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const blob = await path.readable(caller, id)
  const { start, end } = rangeOf(request.headers.range, blob.size)
  const headers = { 'content-type': 'application/octet-stream', 'accept-ranges': 'bytes', 'content-length': end - start + 1 }
  if (request.headers.range === undefined) response.writeHead(200, headers)
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${end}/${blob.size}` })
  if (request.method === 'HEAD') return void response.end()
  try {
    await pipeline(path.folder.read(id, start, end), response)
  } catch (error) {
    // The status is out; a reader that went away is no failure of ours.
    if (!response.destroyed) response.destroy()
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') {
      path.logger.error({ err: error, blob: id }, 'blob could not be read')
    }
  }
}

function rangeOf(header: string | undefined, size: number): { readonly start: number; readonly end: number } {
  if (header === undefined) return { start: 0, end: size - 1 }
  const [, from, to] = RANGE.exec(header) ?? []
  const start = Number(from)
  const end = to === undefined || to === '' ? size - 1 : Math.min(Number(to), size - 1)
  if (from === undefined || start > end) throw new AttestError('DOCUMENT_INVALID', `want a range within ${size} bytes`, { at: 'range' })
  return { start, end }
}

function refuse(logger: Logger, request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) return
  const { code, message } = publicError(error)
  if (code === 'INTERNAL') logger.error({ err: error, method: request.method }, 'byte path failed')
  const body = JSON.stringify({ code, message })
  // What is left of the body is not wanted: the connection ends with this answer.
  response.writeHead(httpStatusOf(code), {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}
