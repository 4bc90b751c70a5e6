import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type Exchanged, forward, MAX_HEADER_SIZE, OWN_PATH, refuse } from '../../rpc/service/index.ts'
import { type Address, formatAddress } from '../../rpc/tls.ts'
import { AttestError } from '../../verify/errors.ts'
import type { ServiceChannel } from './channel.ts'

const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '::1', 'localhost'])

/** @throws AttestError `USAGE`: whoever reaches the endpoint speaks with the service under this client's key. */
export function requireLoopback({ host }: Address): void {
  if (LOOPBACK.has(host)) return
  const message = `${host} is not a loopback address: others could use the service as you; --dangerously-listen-anywhere allows it`
  throw new AttestError('USAGE', message, { at: 'listen' })
}

export interface LocalServer {
  readonly address: Address
  close(): void
}

/** Serves plain HTTP to programs on this machine and passes it through the channel. */
export async function serveLocally(
  channel: ServiceChannel,
  address: Address,
  isAnywhere: boolean,
  onExchange: (exchanged: Exchanged) => void,
): Promise<LocalServer> {
  const server = createServer({ maxHeaderSize: MAX_HEADER_SIZE, insecureHTTPParser: false, requestTimeout: 0 })
  server.timeout = 0
  server.on('request', (request, response) => {
    const refusal = refusalOf(request, isAnywhere)
    if (refusal === null) return forward(request, response, { agent: channel.agent, onEnd: onExchange })
    request.resume()
    refuseWith(response, refusal)
  })
  await listening(server, address)
  const bound = server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port
  return {
    address: { host: address.host, port },
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

type Refusal = readonly [status: number, code: string, message: string]

/** A web page that the user looks at can send requests here: by another name for this machine, or across sites. */
function refusalOf({ headers, url }: IncomingMessage, isAnywhere: boolean): Refusal | null {
  const name = /^(?:\[([0-9a-f:]+)\]|([^:]*))(?::\d+)?$/i.exec(headers.host ?? '')
  const host = name?.[1] ?? name?.[2] ?? ''
  if (!isAnywhere && !LOOPBACK.has(host.toLowerCase())) return [421, 'PERMISSION_DENIED', 'this endpoint goes by loopback names alone']
  if (headers['sec-fetch-site'] === 'cross-site') return [403, 'PERMISSION_DENIED', 'pages of other sites may not use this endpoint']
  if (url?.startsWith(OWN_PATH)) return [404, 'NOT_FOUND', 'that path is between client and enclave']
  return null
}

function refuseWith(response: ServerResponse, [status, code, message]: Refusal): void {
  refuse(response, status, code, message)
}

function listening(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === 'EADDRINUSE'
      const where = formatAddress({ host, port })
      reject(new AttestError(taken ? 'PORT_IN_USE' : 'USAGE', taken ? `${where} is taken` : `cannot listen on ${where}`, { cause }))
    })
    server.listen(port, host, resolve)
  })
}
