import { constants } from 'node:crypto'
import { Agent, createServer as createHttpServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls'
import type { BaseLogger } from 'pino'
import {
  EXCHANGE_HEADER,
  forward,
  MAX_CLIENT_CONNECTIONS,
  MAX_HEADER_SIZE,
  OWN_PATH,
  SERVICE_ALPN,
  spkiDigest,
} from '../../rpc/service/index.ts'
import type { ServiceTerms } from '../../verify/documents/contract.ts'
import type { EvidenceBundle } from '../../verify/documents/evidence-bundle.ts'
import type { Predicate } from '../../verify/documents/statement.ts'
import { OwnPaths } from './own-paths.ts'
import type { SessionLog, Sessions } from './sessions.ts'
import type { ServiceKey } from './tls-key.ts'

export interface FrontMeans {
  readonly key: ServiceKey
  readonly terms: ServiceTerms
  readonly sessions: Sessions
  /** Fresh evidence of the role `session` for this nonce, of 32 bytes. */
  readonly renew: (nonce: Uint8Array) => Promise<EvidenceBundle>
  /** No request was under way for the contract's time. */
  readonly onIdle: () => void
  readonly logger: BaseLogger
}

/** Opens a connection to the workload. */
export type ConnectWorkload = () => Promise<Socket>

/** TLS connections at a time, of all clients. */
const MAX_CONNECTIONS = 56
const HANDSHAKE_MS = 10_000
/** How long a connection may be without a request: half-sent heads end with it. */
const FIRST_REQUEST_MS = 30_000
const NEXT_REQUEST_MS = 120_000
/** How long nothing may move on a connection whose request is under way. */
const QUIET_MS = 15 * 60_000
/** Servers close connections that they keep for nobody, some after a few seconds: take none that may be closing. */
const WORKLOAD_KEEP_MS = 1000

interface Peer {
  readonly log: SessionLog
  timer: NodeJS.Timeout
}

/**
 * The enclave's end of a service: TLS 1.3 with clients whose keys the contract lists, HTTP to the workload, a hash of every
 * exchange. What it is handed are streams of bytes through a gateway that nobody trusts.
 */
export class ServiceFront {
  readonly #means: FrontMeans
  readonly #tls: TlsServer
  readonly #http: HttpServer
  readonly #own: OwnPaths
  readonly #streams = new Set<Duplex>()
  readonly #clients = new Map<string, number>()
  readonly #peers = new WeakMap<object, Peer>()
  #workload: Agent | null = null
  #onReady: (agent: Agent) => void = () => undefined
  readonly #ready: Promise<Agent>
  #underWay = 0
  #idle: NodeJS.Timeout | undefined
  #closed = false
  #onQuiet: () => void = () => undefined

  constructor(means: FrontMeans) {
    this.#means = means
    this.#own = new OwnPaths(means.renew)
    this.#ready = new Promise((resolve) => {
      this.#onReady = resolve
    })
    this.#tls = createTlsServer({
      key: means.key.key,
      cert: means.key.cert,
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      ALPNProtocols: [SERVICE_ALPN],
      // Certificates of clients are a form for their keys: which key may come is in the contract, and no authority is asked.
      requestCert: true,
      // No resumption: every connection proves both keys anew, and no ticket outlives one.
      secureOptions: constants.SSL_OP_NO_TICKET,
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_MS,
    })
    this.#tls.on('secureConnection', (socket) => void this.#welcome(socket))
    this.#tls.on('tlsClientError', ({ code }: NodeJS.ErrnoException, socket) => {
      means.logger.debug({ code: code ?? 'closed' }, 'a service connection was refused')
      socket.destroy()
    })
    this.#http = createHttpServer({
      maxHeaderSize: MAX_HEADER_SIZE,
      insecureHTTPParser: false,
      requestTimeout: 0,
      headersTimeout: 0,
      keepAliveTimeout: 0,
    })
    this.#http.timeout = QUIET_MS
    this.#http.on('request', (request, response) => this.#serve(request, response))
  }

  /** One more stream from the gateway. */
  accept(stream: Duplex): void {
    stream.on('error', () => undefined)
    if (this.#closed || this.#streams.size >= MAX_CONNECTIONS) return void stream.destroy()
    this.#streams.add(stream)
    stream.once('close', () => this.#streams.delete(stream))
    this.#tls.emit('connection', stream)
  }

  /** The workload takes connections: requests that wait go on. */
  open(connect: ConnectWorkload): void {
    const agent = new Agent({ keepAlive: true, timeout: WORKLOAD_KEEP_MS, maxSockets: MAX_CONNECTIONS, maxFreeSockets: MAX_CONNECTIONS })
    agent.createConnection = (_options, onCreate) => {
      connect().then(
        (socket) => onCreate?.(null, socket),
        (error: Error) => onCreate?.(error, undefined as unknown as Duplex),
      )
      return undefined
    }
    this.#workload = agent
    this.#onReady(agent)
    this.#rest()
  }

  /** Ends every connection. @returns the sessions as the receipt tells of them. */
  async close(): Promise<NonNullable<Predicate['sessions']>> {
    this.#closed = true
    clearTimeout(this.#idle)
    for (const stream of this.#streams) stream.destroy()
    this.#workload?.destroy()
    // What was under way is told of as cut off.
    if (this.#underWay > 0) await new Promise<void>((resolve) => (this.#onQuiet = resolve))
    return this.#means.sessions.close()
  }

  async #welcome(socket: TLSSocket): Promise<void> {
    const { logger, sessions, terms } = this.#means
    socket.on('error', () => undefined)
    const certificate = socket.getPeerX509Certificate()
    const client = certificate === undefined ? null : spkiDigest(certificate)
    const open = this.#clients.get(client ?? '') ?? 0
    const known = client !== null && terms.clients.includes(client)
    if (!known || socket.alpnProtocol !== SERVICE_ALPN || open >= MAX_CLIENT_CONNECTIONS) {
      logger.warn({ client: known ? client : 'unknown', open }, 'a client of the service was refused')
      return void socket.destroy()
    }
    this.#clients.set(client, open + 1)
    socket.once('close', () => this.#clients.set(client, (this.#clients.get(client) ?? 1) - 1))
    const log = await sessions.of(client)
    const peer = { log, timer: setTimeout(() => socket.destroy(), FIRST_REQUEST_MS) }
    socket.once('close', () => clearTimeout(peer.timer))
    this.#peers.set(socket, peer)
    this.#http.emit('connection', socket)
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const peer = this.#peers.get(request.socket)
    if (peer === undefined || this.#closed) return void request.socket.destroy()
    clearTimeout(peer.timer)
    this.#underWay++
    clearTimeout(this.#idle)
    response.once('close', () => {
      this.#underWay--
      peer.timer = setTimeout(() => request.socket.destroy(), NEXT_REQUEST_MS)
      if (request.socket.destroyed) clearTimeout(peer.timer)
      this.#rest()
    })
    if (request.url?.startsWith(OWN_PATH)) void this.#own.answer(request, response, peer.log)
    else void this.#forward(request, response, peer.log)
  }

  async #forward(request: IncomingMessage, response: ServerResponse, log: SessionLog): Promise<void> {
    const agent = this.#workload ?? (await this.#ready)
    if (response.destroyed) return
    const n = log.number()
    forward(request, response, { agent, answerHeaders: [EXCHANGE_HEADER, String(n)], onEnd: (exchanged) => log.add(n, exchanged) })
  }

  /** Nothing is under way: from now on counts the idle limit. */
  #rest(): void {
    if (this.#underWay > 0) return
    this.#onQuiet()
    const { terms, onIdle } = this.#means
    if (terms.idleMs === null || this.#workload === null || this.#closed) return
    clearTimeout(this.#idle)
    this.#idle = setTimeout(onIdle, terms.idleMs)
  }
}
