import { type ServiceError, status } from '@grpc/grpc-js'
import { type GatewayChannel, HostService, type sealgate } from '../../rpc/index.ts'
import type { AttestError } from '../../verify/errors.ts'

export type ToGateway = sealgate.v1.IConnectRequest
export type FromGateway = sealgate.v1.ConnectResponse

/** One stream to the gateway. */
export interface Session {
  /** After the end, what is sent is dropped: whoever needs an answer sends again on the next session. */
  send(message: ToGateway): void
  close(): void
  /** Resolves at the end of the stream, with what ended it; null when the gateway ended it in order. Never rejects. */
  readonly ended: Promise<AttestError | null>
}

/** Opens a session. Messages come one after the other, in order. */
export type Connect = (receive: (message: FromGateway) => void) => Session

/** Sessions over a channel. The agent dials out, so that no host needs an open port. */
export function connectThrough(channel: GatewayChannel): Connect {
  return (receive) => {
    const stream = channel.bidi(HostService.connect)
    const ended = new Promise<AttestError | null>((resolve) => {
      stream.on('error', (error: ServiceError) => void channel.explain(error).then(resolve))
      // 'end' comes before the error that caused it, so the status decides.
      stream.on('status', ({ code }) => {
        if (code === status.OK) resolve(null)
      })
      stream.on('end', () => stream.end())
    })
    stream.on('data', receive)
    return {
      send: (message) => {
        if (stream.writable) stream.write(message)
      },
      close: () => stream.cancel(),
      ended,
    }
  }
}
