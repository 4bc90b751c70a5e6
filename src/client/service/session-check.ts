import { z } from 'zod'
import { EXCHANGE_HEADER, type Exchanged, SESSION_PATH } from '../../rpc/service/index.ts'
import { fromBase64Url } from '../../verify/bytes/bytes.ts'
import { blobField, bytesField } from '../../verify/documents/fields.ts'
import {
  type Exchange,
  encodeSessionFile,
  exchangeCommitment,
  parseSessionRecord,
  SESSION_TYP,
  type SessionRecord,
  verifySessionChain,
} from '../../verify/documents/session.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import type { ServiceChannel } from './channel.ts'

const answerSchema = z.strictObject({
  session: bytesField(16),
  secret: bytesField(32),
  records: z.array(blobField(512 * 1024)).max(64),
})
const MAX_ANSWER_SIZE = 8 * 1024 * 1024
/** Records of a session file. */
const MAX_KEPT = 64

/** Whose record it must be. */
export interface SessionExpectation {
  readonly job: string
  /** Digest of our TLS key. */
  readonly client: string
  /** The job key, of the verified evidence. */
  readonly jobKey: string
}

interface View {
  readonly request: Uint8Array
  readonly response: Uint8Array
}

interface Kept {
  readonly jws: string
  readonly record: SessionRecord
}

/** Holds what passed here against what the enclave has signed that passed there. */
export class SessionCheck {
  readonly #channel: Pick<ServiceChannel, 'ask'>
  readonly #expected: SessionExpectation
  /** Exchanges that passed whole and were not compared yet, by number. */
  readonly #views = new Map<number, View>()
  readonly #kept: Kept[] = []
  #secret: string | null = null
  #working: Promise<void> = Promise.resolve()
  /** Exchanges that were compared, all the same on both sides. */
  compared = 0

  constructor(channel: Pick<ServiceChannel, 'ask'>, expected: SessionExpectation) {
    this.#channel = channel
    this.#expected = expected
  }

  /** What was seen of an exchange here. */
  saw({ request, response, complete, answered }: Exchanged): void {
    const n = Number(answered[EXCHANGE_HEADER] ?? 'none')
    if (!complete || response === null || !Number.isSafeInteger(n)) return
    this.#views.set(n, { request: request.digest(), response: response.digest() })
  }

  /**
   * Fetches what was signed since the last time and compares.
   * @throws AttestError `RECEIPT_INCONSISTENT`, `SIGNATURE_INVALID` for a record that is not about what passed here.
   */
  update(): Promise<void> {
    const work = this.#working.then(() => this.#update())
    this.#working = work.catch(() => undefined)
    return work
  }

  async #update(): Promise<void> {
    for (;;) {
      const last = this.#kept.at(-1)?.record
      const from = last === undefined ? 0 : last.first
      const answer = await this.#channel.ask('GET', `${SESSION_PATH}?from=${from}`, undefined, MAX_ANSWER_SIZE)
      const parsed = answerSchema.safeParse(answer)
      if (!parsed.success) throw inconsistent('the enclave answered with no session')
      const { records, secret } = parsed.data
      if (this.#secret !== null && this.#secret !== secret) throw inconsistent('the session has another secret than before')
      this.#secret = secret
      const fresh = await Promise.all(records.map((jws) => this.#read(jws)))
      await this.#take(fresh, fromBase64Url(secret))
      const newest = fresh.at(-1)?.record
      // A record that grew, and nothing behind it: that is all there is.
      if (newest === undefined || newest.first === from || fresh.length < 2) return
    }
  }

  async #read(jws: string): Promise<Kept> {
    const { payload, signers } = await verifyFlattenedJws(fromBase64Url(jws), SESSION_TYP, 'session')
    const record = parseSessionRecord(payload)
    const { job, client, jobKey } = this.#expected
    if (signers[0]?.key.x !== jobKey) throw inconsistent('a record is not signed by the job key')
    if (record.job !== job || record.client !== client) throw inconsistent('a record of another job or client')
    return { jws, record }
  }

  async #take(fresh: readonly Kept[], secret: Uint8Array): Promise<void> {
    // The enclave keeps records for a while only: after a gap what is kept here begins anew.
    const [end, begin] = [endOf(this.#kept.at(-1)), fresh[0]?.record.first ?? 0]
    const before = begin > end ? [] : [...this.#kept]
    const since = Math.max(0, before.length - 1)
    for (const kept of fresh) {
      const at = before.findIndex((k) => k.record.first === kept.record.first)
      if (at < 0) before.push(kept)
      else if (isPrefix(before[at]?.record.exchanges ?? [], kept.record.exchanges)) before[at] = kept
      else throw inconsistent('the enclave has changed what it had signed')
    }
    await verifySessionChain(before.slice(since).map((k) => k.record))
    for (const { record } of fresh) for (const exchange of record.exchanges) await this.#compare(exchange, secret)
    this.#kept.splice(0, this.#kept.length, ...before.slice(-MAX_KEPT))
  }

  async #compare(exchange: Exchange, secret: Uint8Array): Promise<void> {
    const view = this.#views.get(exchange.n)
    if (view === undefined) return
    this.#views.delete(exchange.n)
    // The enclave's end may have been cut off after everything had passed here.
    if (!exchange.complete) return
    const request = await exchangeCommitment(secret, 'request', exchange.n, view.request)
    const response = await exchangeCommitment(secret, 'response', exchange.n, view.response)
    if (request !== exchange.request || response !== exchange.response) {
      throw inconsistent(`exchange ${exchange.n} is not what passed here`)
    }
    this.compared++
  }

  /** Canonical bytes of the session file; null before the first {@link update}. */
  file(): Uint8Array | null {
    if (this.#secret === null || this.#kept.length === 0) return null
    return encodeSessionFile({ v: 1, type: 'sealgate/session-file/v1', records: this.#kept.map((k) => k.jws), secret: this.#secret })
  }
}

function endOf(kept: Kept | undefined): number {
  return kept === undefined ? 0 : kept.record.first + kept.record.exchanges.length
}

function isPrefix(before: readonly Exchange[], after: readonly Exchange[]): boolean {
  return before.length <= after.length && JSON.stringify(before) === JSON.stringify(after.slice(0, before.length))
}

function inconsistent(message: string): AttestError {
  return new AttestError('RECEIPT_INCONSISTENT', message, { at: 'session' })
}
