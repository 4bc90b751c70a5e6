import { isIP } from 'node:net'
import { checkServerIdentity, createSecureContext } from 'node:tls'
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import type { AttestError } from '../verify/errors.ts'
import { diagnose } from './diagnose.ts'
import { fromServiceError } from './errors.ts'
import { type Address, formatAddress, parseAddress, secureOptions, type TlsIdentity } from './tls.ts'

/** Largest message either way, in bytes. Bulk data never travels in messages. */
export const MAX_MESSAGE_SIZE: number = 4 * 1024 * 1024

export interface CallOptions {
  readonly signal?: AbortSignal
  /** Default 30 000. */
  readonly timeoutMs?: number
}

/**
 * A TLS 1.3 connection to one gateway with a client's or host's identity.
 * Every failure is an `AttestError`: the one that the gateway named, or `GATEWAY_UNREACHABLE` / `TLS_REJECTED`.
 */
export class GatewayChannel {
  readonly address: Address
  readonly identity: TlsIdentity
  readonly #client: Client

  constructor(address: string, identity: TlsIdentity) {
    this.address = parseAddress(address)
    this.identity = identity
    const { host } = this.address
    const transport = credentials.createFromSecureContext(createSecureContext(secureOptions(identity)), {
      checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate),
    })
    this.#client = new Client(formatAddress(this.address), transport, {
      // RFC 6066 allows no server name for an address; the certificate must name the address all the same, see above.
      ...(isIP(host) === 0 ? {} : { 'grpc.ssl_target_name_override': 'sealgate' }),
      'grpc.max_receive_message_length': MAX_MESSAGE_SIZE,
      'grpc.max_send_message_length': MAX_MESSAGE_SIZE,
      'grpc.keepalive_time_ms': 20_000,
      'grpc.keepalive_timeout_ms': 10_000,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 5_000,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_http_proxy': 0,
    })
  }

  async unary<I, O>(method: MethodDefinition<I, O>, request: I, options: CallOptions = {}): Promise<O> {
    options.signal?.throwIfAborted()
    let cancel = (): void => {}
    const abort = (): void => cancel()
    options.signal?.addEventListener('abort', abort, { once: true })
    try {
      return await new Promise<O>((resolve, reject) => {
        const call = this.#client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request,
          new Metadata(),
          { deadline: Date.now() + (options.timeoutMs ?? 30_000) },
          (error: ServiceError | null, response?: O) => (response === undefined ? reject(error) : resolve(response)),
        )
        cancel = () => call.cancel()
      })
    } catch (error) {
      throw await this.explain(error as ServiceError)
    } finally {
      options.signal?.removeEventListener('abort', abort)
    }
  }

  /** Messages of a server stream until it ends. Leaving the loop cancels the call. */
  async *serverStream<I, O>(method: MethodDefinition<I, O>, request: I, options: Omit<CallOptions, 'timeoutMs'> = {}): AsyncGenerator<O> {
    const call: ClientReadableStream<O> = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
    )
    const abort = (): void => call.cancel()
    options.signal?.addEventListener('abort', abort, { once: true })
    try {
      for await (const message of call as AsyncIterable<O>) yield message
    } catch (error) {
      throw await this.explain(error as ServiceError)
    } finally {
      options.signal?.removeEventListener('abort', abort)
      call.cancel()
    }
  }

  /** The raw stream; errors come as its 'error' event, to be passed through {@link explain}. */
  bidi<I, O>(method: MethodDefinition<I, O>): ClientDuplexStream<I, O> {
    return this.#client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize)
  }

  /** Turns a gRPC error into the error it stands for, asking the socket when no connection came about. */
  async explain(error: ServiceError): Promise<AttestError> {
    const known = fromServiceError(error)
    if (error.code !== status.UNAVAILABLE || known.code !== 'GATEWAY_UNREACHABLE') return known
    return (await diagnose(this.address, this.identity)) ?? known
  }

  close(): void {
    this.#client.close()
  }
}
