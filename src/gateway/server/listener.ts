import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { Logger } from 'pino'
import { type Address, MAX_MESSAGE_SIZE, peerIdentity, secureOptions, type TlsIdentity } from '../../rpc/index.ts'
import { AttestError } from '../../verify/errors.ts'

export interface ListenerOptions {
  readonly identity: TlsIdentity
  readonly address: Address
  readonly connections: number
  readonly connectionsPerIdentity: number
  readonly logger: Logger
  /** Takes connections that ask for another protocol; without it there is none. */
  readonly upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
}

export interface Listener {
  /** Where it listens, the port filled in. */
  readonly address: Address
  /** Lets running calls end for a moment, then cuts what is left. */
  close(): Promise<void>
}

const MAX_STREAMS = 128
const HANDSHAKE_TIMEOUT_MS = 10_000
const KEEPALIVE_MS = 20_000
const IDLE_MS = 60_000
const MAX_HTTP_HEADER_SIZE = 16 * 1024
const CLOSE_GRACE_MS = 2_000

/** gRPC limits of one connection. An idle host keeps its stream open, so only pings tell that it is there. */
const GRPC_OPTIONS = {
  'grpc.max_receive_message_length': MAX_MESSAGE_SIZE,
  'grpc.max_send_message_length': MAX_MESSAGE_SIZE,
  'grpc.max_concurrent_streams': MAX_STREAMS,
  'grpc.keepalive_time_ms': KEEPALIVE_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_MS,
  'grpc.max_connection_idle_ms': 10 * IDLE_MS,
  'grpc-node.max_session_memory': 64,
}

export function createGrpcServer(): Server {
  return new Server(GRPC_OPTIONS)
}

/**
 * One TLS 1.3 port for both: ALPN `h2` goes to gRPC, `http/1.1` to the byte path. A connection without a certificate of our
 * CA ends in the handshake.
 * @throws AttestError `PORT_IN_USE`, `USAGE` for an address that is not ours, `TLS_REJECTED` for key files that do not fit.
 */
export async function listen(grpc: Server, http: RequestListener, options: ListenerOptions): Promise<Listener> {
  const { identity, address, logger } = options
  const httpServer = createHttpServer(
    { maxHeaderSize: MAX_HTTP_HEADER_SIZE, headersTimeout: HANDSHAKE_TIMEOUT_MS, requestTimeout: 0 },
    http,
  )
  httpServer.timeout = IDLE_MS
  if (options.upgrade !== undefined) httpServer.on('upgrade', options.upgrade)
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure())
  const connections = new Connections(options)

  const server = createTls(identity)
  server.on('secureConnection', (socket) => {
    // Errors of an injected socket belong to whoever reads it; between connections nobody does.
    socket.on('error', () => {})
    if (!connections.admit(socket)) return socket.destroy()
    if (socket.alpnProtocol === 'h2') return injector.injectConnection(socket)
    if (socket.alpnProtocol === 'http/1.1') return void httpServer.emit('connection', socket)
    return socket.destroy()
  })
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    logger.warn({ peer: socket.remoteAddress, reason: error.code ?? 'closed' }, 'TLS refused')
  })
  server.maxConnections = options.connections
  await startListening(server, address)

  const bound = server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port
  return {
    address: { host: address.host, port },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      injector.drain(CLOSE_GRACE_MS)
      httpServer.closeIdleConnections()
      const graceful = new Promise<void>((resolve) => grpc.tryShutdown(() => resolve()))
      await Promise.race([graceful, new Promise((resolve) => setTimeout(resolve, CLOSE_GRACE_MS).unref())])
      grpc.forceShutdown()
      injector.destroy()
      httpServer.closeAllConnections()
      connections.destroyAll()
      await closed
    },
  }
}

function createTls(identity: TlsIdentity): ReturnType<typeof createTlsServer> {
  try {
    return createTlsServer({
      ...secureOptions(identity),
      ALPNProtocols: ['h2', 'http/1.1'],
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    })
  } catch (cause) {
    throw new AttestError('TLS_REJECTED', 'tls.key, tls.crt and ca.crt do not make a TLS identity', { cause })
  }
}

function startListening(server: ReturnType<typeof createTlsServer>, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EADDRINUSE') reject(new AttestError('PORT_IN_USE', `${host}:${port} is taken`, { cause }))
      else reject(new AttestError('USAGE', `cannot listen on ${host}:${port} (${cause.code ?? 'unknown'})`, { cause }))
    })
    server.listen(port, host, resolve)
  })
}

/** Open sockets, so that no identity takes them all and none outlives the server. */
class Connections {
  readonly #perIdentity: number
  readonly #logger: Logger
  readonly #open = new Map<string, Set<TLSSocket>>()

  constructor({ connectionsPerIdentity, logger }: ListenerOptions) {
    this.#perIdentity = connectionsPerIdentity
    this.#logger = logger
  }

  admit(socket: TLSSocket): boolean {
    const identity = peerIdentity(socket.getPeerCertificate().subjectaltname)
    const name = identity === null ? 'nobody' : `${identity.role}:${identity.name}`
    const sockets = this.#open.get(name) ?? new Set()
    if (sockets.size >= this.#perIdentity) {
      this.#logger.warn({ peer: name }, 'too many connections of one identity')
      return false
    }
    this.#open.set(name, sockets.add(socket))
    socket.once('close', () => {
      sockets.delete(socket)
      if (sockets.size === 0) this.#open.delete(name)
    })
    return true
  }

  destroyAll(): void {
    for (const sockets of this.#open.values()) for (const socket of sockets) socket.destroy()
  }
}
