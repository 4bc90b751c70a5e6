import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import {
  type ClientDuplexStream,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
} from '@grpc/grpc-js'
import {
  DatasetService,
  GatewayChannel,
  GrantService,
  HostService,
  httpsOptions,
  JobService,
  LogService,
  MAX_MESSAGE_SIZE,
  type PeerIdentity,
  peerIdentity,
  ReceiptService,
  secureOptions,
  type TlsIdentity,
  toServiceError,
} from '../../rpc/index.ts'

/** One message on its way. */
export interface Passing {
  /** Name of the rpc, such as `GetJobEvidence`. */
  readonly method: string
  /** `up`: to the gateway. `down`: from it. */
  readonly direction: 'up' | 'down'
  readonly bytes: Buffer
}

/** What goes on instead of a message: several, none, or (for a request with one answer) an answer that never was asked for. */
export type Instead = readonly Buffer[] | { readonly answer: Buffer }
/** What a dishonest gateway does to messages. */
export type Tamper = (message: Passing) => Instead | Promise<Instead>
/** The same for a piece of a blob. */
export type TamperBlob = (direction: 'up' | 'down', chunk: Buffer) => Buffer

export interface RelayOptions {
  /** The gateway's own TLS identity: whoever runs a gateway can do what is done here. */
  readonly identity: TlsIdentity
  /** host:port of the gateway. */
  readonly upstream: string
  /** The identity to show to the gateway in the name of a caller: its authority can issue any. */
  readonly impersonate: (caller: PeerIdentity) => Promise<TlsIdentity>
  readonly tamper: Tamper
  readonly tamperBlob?: TamperBlob
}

export interface Relay {
  /** host:port */
  readonly address: string
  /** Breaks every connection; callers may come back. */
  cut(): void
  close(): Promise<void>
}

const SERVICES = [DatasetService, GrantService, HostService, JobService, LogService, ReceiptService] as const
const LIMITS = { 'grpc.max_receive_message_length': MAX_MESSAGE_SIZE, 'grpc.max_send_message_length': MAX_MESSAGE_SIZE }

const pass = (bytes: Buffer): Buffer => bytes

/**
 * A gateway that does not play by the rules: it stands between callers and the real one, ends their TLS with the gateway's
 * own keys and may change every message. Used by the demonstration's attacks and by tests.
 */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const upstreams = new Upstreams(options)
  const grpc = new Server(LIMITS)
  for (const service of SERVICES) {
    const methods = Object.entries(service) as [string, MethodDefinition<unknown, unknown>][]
    const raw = methods.map(
      ([name, { path, requestStream, responseStream }]) => [name, rawMethod(path, requestStream, responseStream)] as const,
    )
    const handlers = raw.map(([name, method]) => [name, relayCall(method, options.tamper, upstreams)] as const)
    grpc.addService(Object.fromEntries(raw), Object.fromEntries(handlers))
  }
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure())
  const http = createHttpServer((req, res) => {
    relayBlob(req, res, options, upstreams).catch((error: Error) => res.destroy(error))
  })
  const sockets = new Set<TLSSocket>()
  const server = createTlsServer({ ...secureOptions(options.identity), ALPNProtocols: ['h2', 'http/1.1'], requestCert: true })
  server.on('secureConnection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    if (socket.alpnProtocol === 'h2') injector.injectConnection(socket)
    else http.emit('connection', socket)
  })
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  return {
    address: `127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`,
    cut,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      grpc.forceShutdown()
      injector.destroy()
      cut()
      upstreams.close()
      await closed
    },
  }
}

type RawMethod = MethodDefinition<Buffer, Buffer>

function rawMethod(path: string, requestStream: boolean, responseStream: boolean): RawMethod {
  return {
    path,
    requestStream,
    responseStream,
    requestSerialize: pass,
    requestDeserialize: pass,
    responseSerialize: pass,
    responseDeserialize: pass,
  }
}

/** One channel per caller, under the caller's name. */
class Upstreams {
  readonly #options: RelayOptions
  readonly #channels = new Map<string, Promise<GatewayChannel>>()

  constructor(options: RelayOptions) {
    this.#options = options
  }

  of(subjectAltName: string | undefined): Promise<GatewayChannel> {
    const caller = peerIdentity(subjectAltName)
    if (caller === null) return Promise.reject(new Error('unknown caller'))
    const key = `${caller.role}:${caller.name}`
    const known = this.#channels.get(key) ?? this.#open(caller)
    this.#channels.set(key, known)
    return known
  }

  async #open(caller: PeerIdentity): Promise<GatewayChannel> {
    return new GatewayChannel(this.#options.upstream, await this.#options.impersonate(caller))
  }

  close(): void {
    for (const channel of this.#channels.values()) void channel.then((c) => c.close())
  }
}

function relayCall(method: RawMethod, tamper: Tamper, upstreams: Upstreams): UntypedHandleCall {
  const name = method.path.slice(method.path.lastIndexOf('/') + 1)
  const up = (bytes: Buffer): ReturnType<Tamper> => tamper({ method: name, direction: 'up', bytes })
  const down = (bytes: Buffer): ReturnType<Tamper> => tamper({ method: name, direction: 'down', bytes })

  if (method.requestStream) {
    return (call: ServerDuplexStream<Buffer, Buffer>): void => {
      duplex(call, up, down).catch((error: unknown) => call.emit('error', toServiceError(error)))
    }
  }
  if (method.responseStream) {
    return (call: ServerWritableStream<Buffer, Buffer>): void => {
      streamed(call, up, down).catch((error: unknown) => call.emit('error', toServiceError(error)))
    }
  }
  return (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void => {
    unary(call, up, down).then((answer) => callback(null, answer), callback)
  }

  type Hook = (bytes: Buffer) => ReturnType<Tamper>

  async function unary(call: ServerUnaryCall<Buffer, Buffer>, toGateway: Hook, toCaller: Hook): Promise<Buffer> {
    const channel = await channelOf(call)
    const answers: Buffer[] = []
    const instead = await toGateway(call.request)
    if ('answer' in instead) return instead.answer
    for (const request of instead) {
      const answer = await channel.unary(method, request).catch((error: unknown) => {
        throw toServiceError(error)
      })
      answers.push(...messagesOf(await toCaller(answer)))
    }
    const answer = answers.at(-1)
    // A message that was dropped looks like a connection that broke.
    if (answer === undefined) throw { code: status.UNAVAILABLE, details: 'dropped' } satisfies Partial<ServiceError>
    return answer
  }

  async function streamed(call: ServerWritableStream<Buffer, Buffer>, toGateway: Hook, toCaller: Hook): Promise<void> {
    const channel = await channelOf(call)
    const abort = new AbortController()
    call.on('cancelled', () => abort.abort())
    call.on('error', () => undefined)
    for (const request of messagesOf(await toGateway(call.request))) {
      for await (const answer of channel.serverStream(method, request, { signal: abort.signal })) {
        for (const message of messagesOf(await toCaller(answer))) call.write(message)
      }
    }
    call.end()
  }

  async function duplex(call: ServerDuplexStream<Buffer, Buffer>, toGateway: Hook, toCaller: Hook): Promise<void> {
    const channel = await channelOf(call)
    const onward: ClientDuplexStream<Buffer, Buffer> = channel.bidi(method)
    call.on('cancelled', () => onward.cancel())
    call.on('error', () => onward.cancel())
    onward.on('error', (error: ServiceError) => call.emit('error', { code: error.code, details: error.details, metadata: error.metadata }))
    const sending = (async () => {
      for await (const bytes of call as AsyncIterable<Buffer>)
        for (const message of messagesOf(await toGateway(bytes))) onward.write(message)
      onward.end()
    })()
    sending.catch(() => onward.cancel())
    try {
      for await (const bytes of onward as AsyncIterable<Buffer>)
        for (const message of messagesOf(await toCaller(bytes))) call.write(message)
      call.end()
    } catch {
      // Told to the caller by the error handler above.
    }
  }

  function channelOf(call: {
    getAuthContext(): { sslPeerCertificate?: { subjectaltname?: string | undefined } }
  }): Promise<GatewayChannel> {
    return upstreams.of(call.getAuthContext().sslPeerCertificate?.subjectaltname)
  }
}

function messagesOf(instead: Instead): readonly Buffer[] {
  return 'answer' in instead ? [instead.answer] : instead
}

async function relayBlob(req: IncomingMessage, res: ServerResponse, options: RelayOptions, upstreams: Upstreams): Promise<void> {
  const channel = await upstreams.of((req.socket as TLSSocket).getPeerCertificate().subjectaltname)
  const { tamperBlob = (_: unknown, chunk: Buffer) => chunk } = options
  const { method = 'GET', url = '/' } = req
  const headers = { ...req.headers }
  delete headers.host
  const onward = httpsRequest({ ...httpsOptions(channel.address, channel.identity), method, path: url, headers })
  const answered = new Promise<IncomingMessage>((resolve, reject) => onward.once('response', resolve).once('error', reject))
  for await (const chunk of req as AsyncIterable<Buffer>) onward.write(tamperBlob('up', chunk))
  onward.end()
  const answer = await answered
  res.writeHead(answer.statusCode ?? 502, answer.headers)
  for await (const chunk of answer as AsyncIterable<Buffer>) res.write(tamperBlob('down', chunk))
  res.end()
}
