import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { isIPv6 } from 'node:net'
import type { Logger } from 'pino'
import { AttestError } from '../verify/errors.ts'
import { MAX_ADD_CHECKPOINT_SIZE } from '../verify/tlog/index.ts'
import type { Answer, Cosigner } from './cosigner.ts'

export interface WitnessServerOptions {
  /** `host:port`. */
  readonly listen: string
  /** PEM texts; null for plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | null
  readonly logger: Logger
}

export interface WitnessServer {
  /** Where it listens, the port filled in. */
  readonly address: string
  close(): Promise<void>
}

const PATH = '/add-checkpoint'
const TIMEOUT_MS = 10_000
const KEEPALIVE_MS = 30_000
const MAX_CONNECTIONS = 256
const MAX_HEADER_SIZE = 8 * 1024
const CLOSE_GRACE_MS = 2_000

/**
 * Serves `POST /add-checkpoint` (C2SP tlog-witness). Everybody may ask: what counts is the log's signature.
 * @throws AttestError `PORT_IN_USE`, `USAGE`, `TLS_REJECTED` for a certificate and key that do not fit.
 */
export async function serveWitness(cosigner: Cosigner, { listen, tls, logger }: WitnessServerOptions): Promise<WitnessServer> {
  const { host, port } = parseListen(listen)
  const server = makeServer(tls, (request, response) => {
    handle(cosigner, request, response).catch((error: unknown) => {
      // The cause is for the operator alone.
      logger.error({ err: error }, 'a request could not be answered')
      send(response, 500, 'text/plain; charset=utf-8', 'internal error\n')
    })
  })
  server.maxConnections = MAX_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(listenError(listen, cause)))
    server.listen(port, host, resolve)
  })
  return { address: addressOf(server), close: () => close(server) }
}

function makeServer(tls: WitnessServerOptions['tls'], listener: RequestListener): Server {
  const options = {
    maxHeaderSize: MAX_HEADER_SIZE,
    headersTimeout: TIMEOUT_MS,
    requestTimeout: TIMEOUT_MS,
    keepAliveTimeout: KEEPALIVE_MS,
    connectionsCheckingInterval: 1000,
  }
  if (tls === null) return createServer(options, listener)
  try {
    return createTlsServer({ ...options, ...tls, minVersion: 'TLSv1.2', handshakeTimeout: TIMEOUT_MS }, listener)
  } catch (cause) {
    throw new AttestError('TLS_REJECTED', 'certificate and key of the witness do not fit', { cause })
  }
}

async function handle(cosigner: Cosigner, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url !== PATH) return refuse(request, response, 404, 'no such path\n')
  if (request.method !== 'POST') {
    response.setHeader('allow', 'POST')
    return refuse(request, response, 405, 'want POST\n')
  }
  const body = await readBody(request)
  if (body === null) return refuse(request, response, 413, `want at most ${MAX_ADD_CHECKPOINT_SIZE} bytes\n`)
  answer(response, await cosigner.addCheckpoint(body))
}

function answer(response: ServerResponse, answer: Answer): void {
  if (answer.status === 200) send(response, 200, 'text/plain; charset=utf-8', answer.lines)
  else if (answer.status === 409) send(response, 409, 'text/x.tlog.size', `${answer.size}\n`)
  else send(response, answer.status, 'text/plain; charset=utf-8', `${answer.reason}\n`)
}

/** Null for one that is too long, of which no more is read. */
async function readBody(request: IncomingMessage): Promise<Uint8Array | null> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_ADD_CHECKPOINT_SIZE) return null
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > MAX_ADD_CHECKPOINT_SIZE) return null
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}

/** What is refused unread must not be taken for the next request. */
function refuse(request: IncomingMessage, response: ServerResponse, status: number, text: string): void {
  response.setHeader('connection', 'close')
  send(response, status, 'text/plain; charset=utf-8', text)
  response.once('finish', () => request.destroy())
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text), 'cache-control': 'no-store' })
  response.end(text)
}

function parseListen(listen: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(listen)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || !(port <= 65_535) || (match?.[1] !== undefined && !isIPv6(host))) {
    throw new AttestError('USAGE', `"${listen}" is no address; want HOST:PORT`)
  }
  return { host, port }
}

function addressOf(server: Server): string {
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new AttestError('INTERNAL', 'a server without an address')
  return `${isIPv6(bound.address) ? `[${bound.address}]` : bound.address}:${bound.port}`
}

function listenError(listen: string, cause: NodeJS.ErrnoException): AttestError {
  if (cause.code === 'EADDRINUSE') return new AttestError('PORT_IN_USE', `another program listens on ${listen}`, { cause })
  return new AttestError('USAGE', `cannot listen on ${listen} (${cause.code ?? 'unknown'})`, { cause })
}

/** Lets running requests end for a moment, then cuts what is left. */
async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
  await closed
  clearTimeout(cut)
}
