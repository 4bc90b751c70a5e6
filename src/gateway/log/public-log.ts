import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Logger } from 'pino'
import type { Address, TlsIdentity } from '../../rpc/index.ts'
import { utf8 } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { parseTilePath, TILE_WIDTH, type Tile } from '../../verify/tlog/index.ts'

/** What of a log anybody may read. */
export interface PublicLog {
  checkpoint(): Promise<string>
  tile(tile: Tile): Promise<Uint8Array | null>
}

export interface PublicLogOptions {
  readonly address: Address
  /** Null: plain HTTP. No certificate is asked of callers either way. */
  readonly tls: TlsIdentity | null
  readonly connections: number
  readonly logger: Logger
}

export interface PublicListener {
  /** Where it listens, the port filled in. */
  readonly address: Address
  close(): Promise<void>
}

const MAX_HTTP_HEADER_SIZE = 8 * 1024
const REQUEST_TIMEOUT_MS = 10_000
const IDLE_MS = 30_000
const MAX_REQUESTS_PER_CONNECTION = 1000
/** Requests that are worked on at once: a client may send many down one connection before it reads an answer. */
const MAX_WORKING = 64
const CLOSE_GRACE_MS = 1_000

/** A full tile never changes. A partial one neither, but a monitor has no use for it for long. */
const FULL = 'public, max-age=31536000, immutable'
const PARTIAL = 'public, max-age=3600, immutable'
/** A checkpoint is renewed every ten seconds at most. */
const CHECKPOINT = 'public, max-age=2'
const REFUSED = 'no-store'

/**
 * Serves a log to anybody as C2SP tlog-tiles has it: `GET /checkpoint`, `/tile/L/N[.p/W]`, `/tile/entries/N[.p/W]`. Nothing
 * is written for a caller but, every ten seconds at most, a checkpoint with a new time.
 * @throws AttestError `PORT_IN_USE`, `USAGE` for an address that is not ours.
 */
export async function servePublicLog(log: PublicLog, options: PublicLogOptions): Promise<PublicListener> {
  const { address, connections } = options
  const server = createListener(options, publicLogHandler(log, options.logger))
  server.maxConnections = connections
  server.maxRequestsPerSocket = MAX_REQUESTS_PER_CONNECTION
  server.timeout = IDLE_MS
  server.keepAliveTimeout = IDLE_MS
  await startListening(server, address)
  const bound = server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port
  return {
    address: { host: address.host, port },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeIdleConnections()
      const timer = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
      await closed
      clearTimeout(timer)
    },
  }
}

function createListener({ tls }: PublicLogOptions, handler: RequestListener): Server {
  const limits = { maxHeaderSize: MAX_HTTP_HEADER_SIZE, headersTimeout: REQUEST_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS }
  if (tls === null) return createServer(limits, handler)
  return createTlsServer({ ...limits, cert: tls.cert, key: tls.key, minVersion: 'TLSv1.2', handshakeTimeout: REQUEST_TIMEOUT_MS }, handler)
}

function startListening(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EADDRINUSE') reject(new AttestError('PORT_IN_USE', `${host}:${port} is taken`, { cause }))
      else reject(new AttestError('USAGE', `cannot listen on ${host}:${port} (${cause.code ?? 'unknown'})`, { cause }))
    })
    server.listen(port, host, resolve)
  })
}

interface Answer {
  readonly status: number
  readonly type: 'text/plain; charset=utf-8' | 'application/octet-stream'
  readonly cache: string
  readonly body: Uint8Array
  /** True for what is worth compressing. */
  readonly text?: boolean
}

/** The handler alone, for a server of the caller's. */
export function publicLogHandler(log: PublicLog, logger: Logger): RequestListener {
  let working = 0
  return (request, response) => {
    response.on('error', () => {})
    if (working >= MAX_WORKING) return void send(request, response, refusal(503, 'busy, try again'))
    working++
    void answer(log, request)
      .catch((error: unknown) => failure(logger, error))
      .then((found) => send(request, response, found))
      .catch((error: unknown) => {
        logger.error({ err: error }, 'public log failed')
        response.destroy()
      })
      .finally(() => {
        working--
      })
  }
}

async function answer(log: PublicLog, { method, url = '' }: IncomingMessage): Promise<Answer> {
  if (method !== 'GET' && method !== 'HEAD') return refusal(405, 'only GET and HEAD')
  if (url === '/checkpoint') {
    return { status: 200, type: 'text/plain; charset=utf-8', cache: CHECKPOINT, body: utf8(await log.checkpoint()) }
  }
  if (!url.startsWith('/tile/')) return refusal(404, 'want /checkpoint, /tile/L/N or /tile/entries/N')
  const tile = parseTilePath(url.slice(1))
  const body = await log.tile(tile)
  if (body === null) return refusal(404, 'the log does not reach that far')
  const cache = tile.width === TILE_WIDTH ? FULL : PARTIAL
  return { status: 200, type: 'application/octet-stream', cache, body, text: tile.kind === 'entries' }
}

function failure(logger: Logger, error: unknown): Answer {
  if (error instanceof AttestError && error.code === 'TILE_MALFORMED') return refusal(400, error.message)
  logger.error({ err: error }, 'public log failed')
  return refusal(503, 'the log cannot be read now')
}

function refusal(status: number, message: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', cache: REFUSED, body: utf8(`${message}\n`) }
}

const compress = promisify(gzip)

async function send(request: IncomingMessage, response: ServerResponse, { status, type, cache, body, text }: Answer): Promise<void> {
  const encoded = text === true && acceptsGzip(request.headers['accept-encoding']) ? await compress(body) : null
  const bytes = encoded ?? body
  response.writeHead(status, {
    'content-type': type,
    'content-length': bytes.length,
    'cache-control': cache,
    // Anybody's page may read a public log.
    'access-control-allow-origin': '*',
    'x-content-type-options': 'nosniff',
    ...(text === true ? { vary: 'accept-encoding' } : {}),
    ...(encoded === null ? {} : { 'content-encoding': 'gzip' }),
    ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
    ...(status === 503 ? { 'retry-after': '1' } : {}),
    // A body that nobody reads must not stand before the next request.
    ...(status === 405 || hasBody(request) ? { connection: 'close' } : {}),
  })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

function acceptsGzip(header: string | undefined): boolean {
  const codings = (header ?? '').split(',').map((coding) => coding.trim().toLowerCase())
  return codings.some((coding) => /^gzip(;q=(1(\.0+)?|0\.\d*[1-9]\d*))?$/.test(coding.replaceAll(' ', '')))
}
