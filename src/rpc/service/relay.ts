import { request } from 'node:https'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { AttestError } from '../../verify/errors.ts'
import { type BlobEndpoint, refusalOf } from '../blobs.ts'
import { diagnose } from '../diagnose.ts'
import { httpsOptions } from '../tls.ts'

/**
 * Byte relays of the gateway, HTTP/1.1 Upgrade on its one TLS port:
 * `GET /v1/services/{job}` by a client, `GET /v1/relays/{connection}` by the host that was told of the connection.
 * Both get `101 Switching Protocols` when both are there; from then on bytes pass as they come.
 */
export const RELAY_PROTOCOL = 'sealgate-relay-v1'
export const servicePath = (jobId: string): string => `/v1/services/${encodeURIComponent(jobId)}`
export const relayPath = (connection: string): string => `/v1/relays/${encodeURIComponent(connection)}`

const DIAL_TIMEOUT_MS = 20_000

/**
 * Opens one end of a relay. Its bytes are as good as those of any network: whoever uses it speaks TLS through it.
 * @throws AttestError the gateway's own refusal, `GATEWAY_UNREACHABLE`, `TLS_REJECTED`, `CANCELLED`.
 */
export async function dialRelay({ address, identity }: BlobEndpoint, path: string, signal?: AbortSignal): Promise<Duplex> {
  const headers = { connection: 'Upgrade', upgrade: RELAY_PROTOCOL }
  const options = {
    ...httpsOptions(address, identity),
    path,
    headers,
    timeout: DIAL_TIMEOUT_MS,
    ...(signal === undefined ? {} : { signal }),
  }
  const req = request(options)
  try {
    return await new Promise<Duplex>((resolve, reject) => {
      req.on('upgrade', (response, socket, head) => {
        if (response.headers.upgrade !== RELAY_PROTOCOL) {
          socket.destroy()
          return reject(new AttestError('GATEWAY_UNREACHABLE', 'the gateway answers in another protocol'))
        }
        if (head.length > 0) socket.unshift(head)
        ;(socket as TLSSocket).setNoDelay(true)
        socket.setTimeout(0)
        resolve(socket)
      })
      req.on('response', (response) => void refusalOf(response).then(reject, reject))
      req.on('timeout', () => req.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
      req.on('error', reject)
      req.end()
    })
  } catch (cause) {
    if (signal?.aborted) throw new AttestError('CANCELLED', 'the connection was given up', { cause })
    if (cause instanceof AttestError) throw cause
    throw (await diagnose(address, identity)) ?? new AttestError('GATEWAY_UNREACHABLE', 'the relay was cut off', { cause })
  }
}
