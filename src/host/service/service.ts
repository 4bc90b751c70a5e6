import { setMaxListeners } from 'node:events'
import type { Duplex } from 'node:stream'
import type { BaseLogger } from 'pino'
import type { Contract, ServiceTerms } from '../../verify/documents/contract.ts'
import type { EvidenceBundle } from '../../verify/documents/evidence-bundle.ts'
import type { Predicate } from '../../verify/documents/statement.ts'
import type { RunService } from '../runner/types.ts'
import { ServiceFront } from './front.ts'
import { Sessions, type SignRecord } from './sessions.ts'
import type { ServiceKey } from './tls-key.ts'

export interface ServiceMeans {
  readonly job: string
  readonly key: ServiceKey
  readonly sign: SignRecord
  readonly renew: (nonce: Uint8Array) => Promise<EvidenceBundle>
  /** Opens the enclave's end of a connection that a client has asked the gateway for. */
  readonly dial: (connection: string, signal: AbortSignal) => Promise<Duplex>
  readonly logger: BaseLogger
}

/** What a service job has beyond a batch job: a port for clients while its workload runs. */
export class JobService {
  readonly #terms: ServiceTerms
  readonly #means: ServiceMeans
  readonly #front: ServiceFront
  readonly #idle = new AbortController()
  readonly #closing = new AbortController()
  #running = false

  constructor(terms: NonNullable<Contract['service']>, means: ServiceMeans) {
    this.#terms = terms
    this.#means = means
    // Every dial listens to it while it is under way: as many at a time as the gateway asks for.
    setMaxListeners(0, this.#closing.signal)
    const { job, key, sign, renew, logger } = means
    this.#front = new ServiceFront({ key, terms, sessions: new Sessions(job, sign), renew, onIdle: () => this.#idle.abort(), logger })
  }

  /** For the runner. From here on clients are let in; their requests wait until the workload listens. */
  run(): RunService {
    this.#running = true
    return { port: this.#terms.port, onReady: (connect) => this.#front.open(connect), idle: this.#idle.signal }
  }

  /** The gateway says that a client waits. Whether it is one, TLS will show. */
  async connect(connection: string): Promise<void> {
    if (!this.#running || this.#closing.signal.aborted) return
    this.#front.accept(await this.#means.dial(connection, this.#closing.signal))
  }

  /** Ends every connection. Calling it again changes nothing. */
  async close(): Promise<Predicate['sessions']> {
    this.#closing.abort()
    return this.#front.close()
  }
}
