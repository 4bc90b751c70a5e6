import { createReadStream } from 'node:fs'
import type { BaseLogger } from 'pino'
import { AttestError, type ErrorCode } from '../../verify/errors.ts'
import type { Clock } from '../job/clock.ts'
import { describeError } from '../job/log-error.ts'
import type { Outbox, PendingOutcome } from '../job/outbox.ts'
import type { Transfers } from '../job/transfers.ts'
import { Backoff } from './backoff.ts'
import type { Session } from './session.ts'

/** Failures of a transfer that another try may not meet. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['GATEWAY_UNREACHABLE', 'TLS_REJECTED', 'DEADLINE', 'DISK_FULL', 'INTERNAL'])
const MAX_ATTEMPTS = 8
/** What a gateway says of an outcome that it will never take. */
const UNACCEPTABLE: ReadonlySet<ErrorCode> = new Set(['RECEIPT_INCONSISTENT', 'SIGNATURE_INVALID', 'DOCUMENT_INVALID', 'JWS_MALFORMED'])

export interface DeliveryMeans {
  readonly outbox: Outbox
  readonly transfers: Transfers
  readonly clock: Clock
  /** Uniform in [0, 1). For jitter only. */
  readonly random: () => number
  readonly logger: BaseLogger
}

/** Brings every outcome that waits to the gateway: once per session, until it is acknowledged. */
export class Deliveries {
  readonly #means: DeliveryMeans
  readonly #signal: AbortSignal
  #session: Session | null = null
  /** Fires when the session is over. */
  #over = new AbortController()
  /** On this session. */
  #sent = new Set<string>()
  /** Outcomes for which the gateway has ended a session. They stay in the outbox, for people to look at. */
  readonly #withheld = new Set<string>()
  #working: Promise<void> = Promise.resolve()

  /** @param signal - Fires when the agent stops. */
  constructor(means: DeliveryMeans, signal: AbortSignal) {
    this.#means = means
    this.#signal = signal
  }

  /** The session that outcomes go to from now on. */
  begin(session: Session): void {
    this.#session = session
    this.#over = new AbortController()
    this.#sent = new Set()
  }

  /** An outcome that ends every session would keep this host away for ever, so it is not sent again. */
  end(error: AttestError | null): void {
    this.#session = null
    this.#over.abort()
    if (error === null || !UNACCEPTABLE.has(error.code)) return
    for (const jobId of this.#sent) {
      this.#withheld.add(jobId)
      this.#means.logger.error({ jobId, code: error.code }, 'the gateway does not take this outcome; it is kept in the state folder')
    }
  }

  /** Sends what was not sent on this session yet, one after the other. */
  poke(): void {
    const session = this.#session
    if (session === null) return
    this.#working = this.#working
      .then(() => this.#deliverAll(session))
      .catch((error: unknown) => this.#means.logger.warn(describeError(error), 'delivery of outcomes was interrupted'))
  }

  async #deliverAll(session: Session): Promise<void> {
    for (const outcome of this.#means.outbox.pending) {
      const { jobId, receipt } = outcome
      if (this.#session !== session || this.#sent.has(jobId) || this.#withheld.has(jobId)) continue
      const resultBlobId = await this.#upload(outcome, session)
      if (this.#session !== session) return
      this.#sent.add(jobId)
      session.send({ jobOutcome: { jobId, receiptJws: receipt, resultBlobId } })
    }
  }

  /**
   * @returns the blob id; empty for an outcome without results, or when the gateway will not have them: the receipt must
   * reach it all the same.
   */
  async #upload(outcome: PendingOutcome, session: Session): Promise<string> {
    const { outbox, transfers, clock, logger, random } = this.#means
    const { jobId, results } = outcome
    if (results === null) return ''
    const from = (offset: number): AsyncIterable<Uint8Array> => createReadStream(outbox.resultsPath(jobId), { start: offset })
    const backoff = new Backoff(random)
    for (let attempt = 1; ; attempt++) {
      try {
        return await transfers.upload(jobId, results, from, this.#signal)
      } catch (error) {
        if (this.#signal.aborted) throw new AttestError('CANCELLED', 'the agent stops', { cause: error })
        logger.warn({ jobId, attempt, ...describeError(error) }, 'the results could not be uploaded')
        const passing = error instanceof AttestError && PASSING.has(error.code)
        if (!passing || attempt >= MAX_ATTEMPTS || this.#session !== session) return ''
        await clock.sleep(backoff.next(), AbortSignal.any([this.#signal, this.#over.signal]))
      }
    }
  }
}
