import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Logger } from 'pino'
import { httpStatusOf, publicError } from '../../rpc/index.ts'
import { RELAY_PROTOCOL } from '../../rpc/service/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Clock } from '../clock.ts'
import type { HostRegistry } from '../hosts/registry.ts'
import type { Jobs } from '../jobs/index.ts'
import { type Caller, callerOf } from '../server/caller.ts'
import type { Database } from '../store/open-store.ts'
import { requireService } from './access.ts'
import { splice } from './splice.ts'

export interface RelayMeans {
  readonly db: Database
  readonly jobs: Pick<Jobs, 'servingHost' | 'changed'>
  readonly hosts: HostRegistry
  readonly clock: Clock
  readonly logger: Logger
}

/** The clients' ends of one job, waiting or joined. */
interface Kept {
  readonly ends: Set<Duplex>
  /** Fires when the last of them has closed. */
  readonly none: AbortController
}

/** A client that waits for the host's end. */
interface Waiting {
  readonly jobId: string
  readonly host: string
  readonly client: Duplex
  /** Stops the clock that would refuse it. */
  readonly cancel: () => void
}

const ROUTE = /^\/v1\/(services|relays)\/([A-Za-z0-9_-]{22})$/
/** How long a host may take to open its end. */
const WAIT_MS = 15_000
/** Connections of one job and of one caller: a host has its own limit for all (`connectionsPerIdentity`). */
const MAX_PER_JOB = 48
const MAX_PER_CALLER = 40

/** Joins the ends of service connections. It sees TLS records that are not for it, and nothing in them. */
export class Relay {
  readonly #means: RelayMeans
  readonly #waiting = new Map<string, Waiting>()
  readonly #open = new Map<string, number>()
  readonly #kept = new Map<string, Kept>()
  readonly #joined = new WeakSet<Duplex>()

  constructor(means: RelayMeans) {
    this.#means = means
  }

  /** For the `upgrade` event of the byte path's server. */
  readonly upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on('error', () => undefined)
    ;(socket as TLSSocket).setTimeout(0)
    this.#take(request, socket, head).catch((error: unknown) => this.#refuse(socket, error))
  }

  async #take(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const caller = callerOf((request.socket as TLSSocket).getPeerCertificate())
    const [, kind, id = ''] = ROUTE.exec(request.url ?? '') ?? []
    if (request.method !== 'GET' || request.headers.upgrade !== RELAY_PROTOCOL || kind === undefined) {
      throw new AttestError('NOT_FOUND', 'no such path')
    }
    if (head.length > 0) throw new AttestError('DOCUMENT_INVALID', 'nothing is sent before the relay is open', { at: 'upgrade' })
    if (kind === 'services') return this.#await(caller, id, socket)
    return this.#join(caller, id, socket)
  }

  async #await(caller: Caller, jobId: string, client: Duplex): Promise<void> {
    await requireService(this.#means.db, caller, jobId)
    if (client.destroyed) return
    this.#count(client, `job:${jobId}`, MAX_PER_JOB)
    this.#count(client, caller.id, MAX_PER_CALLER)
    // Kept before the job is asked for: whatever it becomes from here on ends this connection.
    this.#keep(client, jobId)
    const host = await this.#means.jobs.servingHost(jobId)
    if (client.destroyed || client.writableEnded) return
    const connectionId = toBase64Url(randomBytes(16))
    const late = (): void => {
      this.#waiting.delete(connectionId)
      this.#refuse(client, new AttestError('GATEWAY_UNREACHABLE', 'the host did not open its end of the connection', { at: 'relay' }))
    }
    const cancel = this.#means.clock.after(WAIT_MS, late)
    this.#waiting.set(connectionId, { jobId, host, client, cancel })
    client.once('close', () => {
      if (this.#waiting.delete(connectionId)) cancel()
    })
    if (!this.#means.hosts.send(host, { serviceConnection: { jobId, connectionId } })) {
      cancel()
      this.#waiting.delete(connectionId)
      throw new AttestError('GATEWAY_UNREACHABLE', 'the host of the job is not connected', { at: 'relay' })
    }
  }

  async #join(caller: Caller, connectionId: string, socket: Duplex): Promise<void> {
    const waiting = this.#waiting.get(connectionId)
    if (waiting === undefined || caller.role !== 'host' || caller.name !== waiting.host) {
      throw new AttestError('NOT_FOUND', 'nobody waits for this connection', { at: 'relay' })
    }
    this.#waiting.delete(connectionId)
    waiting.cancel()
    if (waiting.client.writableEnded) throw new AttestError('JOB_CONFLICT', 'the job serves nobody any more', { at: 'job.state' })
    this.#joined.add(waiting.client)
    for (const end of [waiting.client, socket]) end.write(SWITCHING)
    splice(waiting.client, socket)
  }

  #keep(client: Duplex, jobId: string): void {
    const kept = this.#kept.get(jobId) ?? { ends: new Set(), none: new AbortController() }
    kept.ends.add(client)
    client.once('close', () => {
      kept.ends.delete(client)
      if (kept.ends.size > 0) return
      kept.none.abort()
      if (this.#kept.get(jobId) === kept) this.#kept.delete(jobId)
    })
    if (this.#kept.has(jobId)) return
    this.#kept.set(jobId, kept)
    void this.#watch(jobId, kept)
  }

  /** Ends every connection of a job once it serves nobody any more, whatever its host does. */
  async #watch(jobId: string, { ends, none }: Kept): Promise<void> {
    while (!none.signal.aborted) {
      const changed = this.#means.jobs.changed(jobId, none.signal)
      try {
        await this.#means.jobs.servingHost(jobId)
      } catch (error) {
        // Whoever comes from here on is watched anew.
        this.#kept.delete(jobId)
        for (const end of ends) {
          if (this.#joined.has(end)) end.destroy()
          else this.#refuse(end, error)
        }
        return
      }
      await changed
    }
  }

  #count(socket: Duplex, key: string, max: number): void {
    const open = this.#open.get(key) ?? 0
    if (open >= max) throw new AttestError('LIMIT_EXCEEDED', `${max} connections are open already`, { at: 'relay' })
    this.#open.set(key, open + 1)
    socket.once('close', () => {
      const left = (this.#open.get(key) ?? 1) - 1
      if (left > 0) this.#open.set(key, left)
      else this.#open.delete(key)
    })
  }

  #refuse(socket: Duplex, error: unknown): void {
    if (socket.writableEnded) return
    const { code, message } = publicError(error)
    if (code === 'INTERNAL') this.#means.logger.error({ err: error }, 'a relay failed')
    const body = JSON.stringify({ code, message })
    const lines = ['content-type: application/json', `content-length: ${Buffer.byteLength(body)}`, 'connection: close']
    socket.end(`HTTP/1.1 ${httpStatusOf(code)} Refused\r\n${lines.join('\r\n')}\r\n\r\n${body}`)
    socket.once('finish', () => socket.destroy())
  }
}

const SWITCHING = `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: ${RELAY_PROTOCOL}\r\n\r\n`
