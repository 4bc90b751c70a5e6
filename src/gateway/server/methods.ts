import { type EventEmitter, once } from 'node:events'
import type {
  MethodDefinition,
  Server,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
  UntypedHandleCall,
} from '@grpc/grpc-js'
import type { Logger } from 'pino'
import { publicError, toServiceError } from '../../rpc/index.ts'
import { type Caller, type CallerRole, callerOf, requireRole } from './caller.ts'

/** What a handler knows of its call. `signal` fires when the caller has gone or the deadline has passed. */
export interface CallContext {
  readonly caller: Caller
  readonly signal: AbortSignal
}

export interface Duplex<I, O> {
  readonly messages: AsyncIterable<I>
  readonly send: (message: O) => Promise<void>
}

/** One rpc: who may call it, and what it does. */
export interface Method<I, O> {
  readonly roles: readonly CallerRole[]
  /** Exactly one of the three ways, as the schema has it. */
  readonly handler:
    | { readonly kind: 'unary'; readonly run: (request: I, context: CallContext) => Promise<O> }
    | { readonly kind: 'stream'; readonly run: (request: I, context: CallContext) => AsyncIterable<O> }
    | { readonly kind: 'duplex'; readonly run: (stream: Duplex<I, O>, context: CallContext) => Promise<void> }
}

type MethodOf<M> = M extends MethodDefinition<infer I, infer O> ? Method<I, Partial<O>> : never

/** Every rpc of a generated service definition; a missing one does not compile. */
export type Methods<D> = { readonly [K in keyof D]: MethodOf<D[K]> }

const EVERYBODY: readonly CallerRole[] = ['client', 'host']

export function unary<I, O>(
  run: (request: I, context: CallContext) => Promise<O>,
  roles: readonly CallerRole[] = ['client'],
): Method<I, O> {
  return { roles, handler: { kind: 'unary', run } }
}

export function unaryForAll<I, O>(run: (request: I, context: CallContext) => Promise<O>): Method<I, O> {
  return unary(run, EVERYBODY)
}

export function serverStream<I, O>(run: (request: I, context: CallContext) => AsyncIterable<O>): Method<I, O> {
  return { roles: ['client'], handler: { kind: 'stream', run } }
}

export function duplex<I, O>(run: (stream: Duplex<I, O>, context: CallContext) => Promise<void>): Method<I, O> {
  return { roles: ['host'], handler: { kind: 'duplex', run } }
}

/** What all calls of a server have in common. */
export class Calls {
  readonly logger: Logger
  readonly #stopping = new AbortController()
  readonly #running = new Set<Promise<void>>()

  constructor(logger: Logger) {
    this.logger = logger
  }

  /** Fires when the server stops: streams end then. */
  get stopping(): AbortSignal {
    return this.#stopping.signal
  }

  track(call: Promise<void>): void {
    this.#running.add(call)
    void call.finally(() => this.#running.delete(call))
  }

  /** Asks streams to end. */
  stop(): void {
    this.#stopping.abort()
  }

  /** Resolves when no handler runs any more. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }
}

/** Registers a service. Every call is authenticated, checked for its role, logged, and ends with an error code of ours or OK. */
export function addService<D extends object>(server: Server, definition: D, methods: Methods<D>, calls: Calls): void {
  const implementation = Object.entries(methods as Record<string, Method<unknown, unknown>>).map(([name, method]) => {
    const { path } = (definition as Record<string, MethodDefinition<unknown, unknown>>)[name] as MethodDefinition<unknown, unknown>
    return [name, handleCall(method, path, calls)] as const
  })
  server.addService(definition as unknown as ServiceDefinition, Object.fromEntries(implementation))
}

type AnyCall = EventEmitter & Pick<ServerUnaryCall<unknown, unknown>, 'getAuthContext' | 'getPeer'>

function handleCall({ roles, handler }: Method<unknown, unknown>, path: string, calls: Calls): UntypedHandleCall {
  switch (handler.kind) {
    case 'unary':
      return (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>): void => {
        calls.track(
          conclude(
            call,
            async () => callback(null, await handler.run(call.request, admit(call))),
            (error) => callback(toServiceError(error)),
          ),
        )
      }
    case 'stream':
      return (call: ServerWritableStream<unknown, unknown>): void => {
        const run = async (): Promise<void> => {
          const context = admitStream(call)
          for await (const message of handler.run(call.request, context)) await send(call, message, context.signal)
          call.end()
        }
        calls.track(conclude(call, run, (error) => call.emit('error', toServiceError(error))))
      }
    case 'duplex':
      return (call: ServerDuplexStream<unknown, unknown>): void => {
        const run = async (): Promise<void> => {
          const context = admitStream(call)
          await handler.run({ messages: call, send: (message) => send(call, message, context.signal) }, context)
          call.end()
        }
        calls.track(conclude(call, run, (error) => call.emit('error', toServiceError(error))))
      }
  }

  function admit(call: AnyCall): CallContext {
    const caller = callerOf(call.getAuthContext().sslPeerCertificate)
    requireRole(caller, roles)
    const controller = new AbortController()
    call.once('cancelled', () => controller.abort())
    return { caller, signal: controller.signal }
  }

  function admitStream(call: AnyCall): CallContext {
    // A stream that was cut emits 'error'; its handler learns of it by its signal or its iterator.
    call.on('error', () => {})
    const { caller, signal } = admit(call)
    return { caller, signal: AbortSignal.any([signal, calls.stopping]) }
  }

  /** Runs a handler to its end, which is an answer or an error of ours. The cause of an internal error stays in the log. */
  async function conclude(call: AnyCall, run: () => Promise<void>, refuse: (error: unknown) => void): Promise<void> {
    const started = performance.now()
    const report = (outcome: string): object => ({ path, peer: call.getPeer(), ms: Math.round(performance.now() - started), outcome })
    try {
      await run()
      calls.logger.debug(report('OK'), 'call')
    } catch (error) {
      const { code } = publicError(error)
      if (code === 'INTERNAL') calls.logger.error({ ...report(code), err: error }, 'call failed')
      else calls.logger.debug(report(code), 'call')
      refuse(error)
    }
  }
}

/** Waits while the peer's window is full, so that a slow reader costs no memory. */
async function send(
  call: ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>,
  message: unknown,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted || call.write(message)) return
  await once(call, 'drain', { signal }).catch(() => {})
}
