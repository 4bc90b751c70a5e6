import { setMaxListeners } from 'node:events'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { connect, type TLSSocket } from 'node:tls'
import { MAX_CLIENT_CONNECTIONS, MAX_HEADER_SIZE, readSmall, SERVICE_ALPN, spkiDigest } from '../../rpc/service/index.ts'
import { AttestError, type ErrorCode } from '../../verify/errors.ts'

/** The TLS key by which the enclave knows a client; PEM. */
export interface ClientKey {
  readonly cert: string
  readonly key: string
}

/** Opens a stream to the enclave, which nobody needs to trust. */
export type OpenStream = (signal: AbortSignal) => Promise<Duplex>

/** Below what the enclave keeps for an idle connection. */
const KEEP_MS = 60_000
const HANDSHAKE_MS = 20_000
const ANSWER_MS = 120_000

/**
 * TLS 1.3 connections to the one key that evidence has bound, each through a stream of its own, kept for further requests. There
 * is no authority, no name and no resumption: the key is fresh for the job and was made in the enclave, so it is the identity.
 */
export class ServiceChannel {
  readonly agent: Agent
  readonly #pin: string
  readonly #key: ClientKey
  readonly #open: OpenStream
  readonly #closing = new AbortController()
  readonly #sockets = new Set<Duplex>()

  /** @param pin - SHA-256 of the SPKI that the evidence binds, base64url. */
  constructor(pin: string, key: ClientKey, open: OpenStream) {
    this.#pin = pin
    this.#key = key
    this.#open = open
    // Every dial listens to it while it is under way: as many at a time as there may be connections.
    setMaxListeners(0, this.#closing.signal)
    this.agent = new Agent({ keepAlive: true, timeout: KEEP_MS, maxSockets: MAX_CLIENT_CONNECTIONS })
    this.agent.createConnection = (_options, onCreate) => {
      this.connect().then(
        (socket) => onCreate?.(null, socket),
        (error: Error) => onCreate?.(error, undefined as unknown as Duplex),
      )
      return undefined
    }
  }

  /**
   * A connection whose other end has proven to hold the bound key. Not a byte of a request was sent.
   * @throws AttestError `TLS_REJECTED` for any other key, `GATEWAY_UNREACHABLE`, or the errors of the stream.
   */
  async connect(): Promise<TLSSocket> {
    const stream = await this.#open(this.#closing.signal)
    stream.on('error', () => undefined)
    if (this.#closing.signal.aborted) {
      stream.destroy()
      throw new AttestError('CANCELLED', 'the channel is closed')
    }
    this.#sockets.add(stream)
    stream.once('close', () => this.#sockets.delete(stream))
    try {
      return await this.#handshake(stream)
    } catch (error) {
      stream.destroy()
      throw error
    }
  }

  #handshake(stream: Duplex): Promise<TLSSocket> {
    return new Promise<TLSSocket>((resolve, reject) => {
      const socket = connect({
        socket: stream,
        ...this.#key,
        minVersion: 'TLSv1.3',
        maxVersion: 'TLSv1.3',
        ALPNProtocols: [SERVICE_ALPN],
        // Nobody certifies the enclave's key: it is compared below, before anything is sent.
        rejectUnauthorized: false,
      })
      const late = setTimeout(() => socket.destroy(new Error('no handshake in time')), HANDSHAKE_MS)
      const fail = (cause?: Error): void => {
        clearTimeout(late)
        socket.destroy()
        reject(new AttestError('GATEWAY_UNREACHABLE', 'the other end of the relay did not complete TLS', { at: 'service', cause }))
      }
      socket.once('error', fail)
      socket.once('close', () => fail())
      socket.once('secureConnect', () => {
        clearTimeout(late)
        const certificate = socket.getPeerX509Certificate()
        const shown = certificate === undefined ? 'none' : spkiDigest(certificate)
        if (shown !== this.#pin || socket.alpnProtocol !== SERVICE_ALPN || socket.isSessionReused()) {
          socket.removeAllListeners('close').destroy()
          return reject(
            new AttestError('TLS_REJECTED', `want the TLS key ${this.#pin} that the evidence binds, got ${shown}`, { at: 'binding.tls' }),
          )
        }
        socket.removeListener('error', fail)
        socket.removeAllListeners('close')
        socket.on('error', () => undefined)
        stream.once('close', () => socket.destroy())
        resolve(socket)
      })
    })
  }

  /**
   * Asks the enclave itself, not the workload.
   * @throws AttestError `GATEWAY_UNREACHABLE` when no answer comes, `DOCUMENT_INVALID` for one that is none.
   */
  async ask(method: 'GET' | 'POST', path: string, body: unknown, maxBytes: number): Promise<unknown> {
    const text = body === undefined ? '' : JSON.stringify(body)
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { host: 'enclave', 'content-length': Buffer.byteLength(text) }
      const options = {
        agent: this.agent,
        method,
        path,
        headers,
        maxHeaderSize: MAX_HEADER_SIZE,
        signal: this.#closing.signal,
        timeout: ANSWER_MS,
      }
      const req = httpRequest(options, resolve)
      req.on('timeout', () => req.destroy(new Error('no answer in time')))
      req.on('error', (cause) => reject(cause instanceof AttestError ? cause : unanswered(cause)))
      req.end(text)
    })
    const answer = await readSmall(response, maxBytes)
    if (answer === null) throw unanswered()
    if (response.statusCode !== 200)
      throw new AttestError('DOCUMENT_INVALID', `the enclave answered with status ${response.statusCode}`, { at: path })
    try {
      return JSON.parse(answer.toString('utf8')) as unknown
    } catch (cause) {
      throw new AttestError('DOCUMENT_INVALID', 'the enclave did not answer with JSON', { at: path, cause })
    }
  }

  /** Ends every connection at once. */
  close(): void {
    this.#closing.abort()
    this.agent.destroy()
    for (const socket of this.#sockets) socket.destroy()
  }
}

/** Failures that say that the enclave could not be asked, and nothing about what it is. */
const UNREACHED: ReadonlySet<ErrorCode> = new Set([
  'GATEWAY_UNREACHABLE',
  'JOB_CONFLICT',
  'NOT_FOUND',
  'LIMIT_EXCEEDED',
  'DEADLINE',
  'CANCELLED',
])

export function isUnreached(error: unknown): boolean {
  return error instanceof AttestError && UNREACHED.has(error.code)
}

function unanswered(cause?: unknown): AttestError {
  return new AttestError('GATEWAY_UNREACHABLE', 'the enclave does not answer', { at: 'service', cause })
}
