import { randomBytes } from 'node:crypto'
import type { Exchanged } from '../../rpc/service/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import {
  type Exchange,
  encodeSessionRecord,
  exchangeCommitment,
  MAX_RECORD_EXCHANGES,
  nextHead,
  SESSION_TYP,
  type SessionRecord,
  type SessionSubject,
  sessionStart,
  sizeBits,
} from '../../verify/documents/session.ts'
import type { Predicate } from '../../verify/documents/statement.ts'
import { AttestError } from '../../verify/errors.ts'

/** Signs with the job key. */
export type SignRecord = (payload: Uint8Array, typ: string) => Promise<Uint8Array>

/** Full records that are kept for a client that has not fetched them. Older ones go: the chain still covers them. */
const KEPT_RECORDS = 16
/** Records of one answer. */
const ANSWERED_RECORDS = 8

/** What a client is told of its session. */
export interface SessionAnswer {
  readonly session: string
  readonly secret: string
  /** Flattened JWS, base64url. */
  readonly records: readonly string[]
}

/** The exchanges of one client key with the service: a hash chain of which no part is a content. */
export class SessionLog {
  readonly subject: SessionSubject
  readonly #secret: Uint8Array
  readonly #sign: SignRecord
  /** The newest record, and full ones before it. */
  readonly #records: SessionRecord[]
  /** Links are added one after the other. */
  #working: Promise<void> = Promise.resolve()
  #next = 0

  private constructor(subject: SessionSubject, start: string, sign: SignRecord) {
    this.subject = subject
    this.#secret = new Uint8Array(randomBytes(32))
    this.#sign = sign
    this.#records = [{ v: 1, ...subject, first: 0, before: start, exchanges: [], head: start }]
  }

  static async begin(job: string, client: string, sign: SignRecord): Promise<SessionLog> {
    const subject = { job, session: toBase64Url(randomBytes(16)), client }
    return new SessionLog(subject, await sessionStart(subject), sign)
  }

  /** Number of the exchange that begins. */
  number(): number {
    return this.#next++
  }

  /** Adds an exchange that has ended. */
  add(n: number, { request, response, status, complete }: Exchanged): void {
    const asked = request.digest()
    const answered = response?.digest() ?? new Uint8Array(32)
    const sizes = { requestBits: sizeBits(request.bytes), responseBits: sizeBits(response?.bytes ?? 0) }
    this.#working = this.#working.then(async () => {
      const exchange: Exchange = {
        n,
        request: await exchangeCommitment(this.#secret, 'request', n, asked),
        response: await exchangeCommitment(this.#secret, 'response', n, answered),
        ...sizes,
        status: statusClass(status),
        complete,
      }
      await this.#append(exchange)
    })
  }

  async #append(exchange: Exchange): Promise<void> {
    const last = this.#last()
    const head = await nextHead(last.head, exchange)
    if (last.exchanges.length < MAX_RECORD_EXCHANGES) {
      this.#records[this.#records.length - 1] = { ...last, exchanges: [...last.exchanges, exchange], head }
      return
    }
    const first = last.first + last.exchanges.length
    this.#records.push({ ...last, first, before: last.head, exchanges: [exchange], head })
    if (this.#records.length > KEPT_RECORDS + 1) this.#records.shift()
  }

  /** Signed records from exchange `from` on, as far as they are kept, the newest of them as it stands. */
  async answer(from: number): Promise<SessionAnswer> {
    await this.#working
    const wanted = this.#records.filter((r, i) => r.first + r.exchanges.length > from || i === this.#records.length - 1)
    const records: string[] = []
    for (const record of wanted.slice(0, ANSWERED_RECORDS)) {
      records.push(toBase64Url(await this.#sign(encodeSessionRecord(record), SESSION_TYP)))
    }
    return { session: this.subject.session, secret: toBase64Url(this.#secret), records }
  }

  async head(): Promise<string> {
    await this.#working
    return this.#last().head
  }

  /** The secret opens what the commitments hide. */
  forget(): void {
    this.#secret.fill(0)
  }

  #last(): SessionRecord {
    const last = this.#records.at(-1)
    if (last === undefined) throw new AttestError('INTERNAL', 'a session without a record')
    return last
  }
}

function statusClass(status: number | null): number {
  const digit = Math.floor((status ?? 0) / 100)
  return digit >= 1 && digit <= 5 ? digit : 0
}

/** The sessions of a service: one for each client key that came. */
export class Sessions {
  readonly #job: string
  readonly #sign: SignRecord
  readonly #logs = new Map<string, Promise<SessionLog>>()

  constructor(job: string, sign: SignRecord) {
    this.#job = job
    this.#sign = sign
  }

  of(client: string): Promise<SessionLog> {
    const log = this.#logs.get(client) ?? SessionLog.begin(this.#job, client, this.#sign)
    this.#logs.set(client, log)
    return log
  }

  /** What the receipt says of them. Nothing may be added afterwards. */
  async close(): Promise<NonNullable<Predicate['sessions']>> {
    const ended: { session: string; head: string }[] = []
    for (const log of await Promise.all(this.#logs.values())) {
      ended.push({ session: log.subject.session, head: await log.head() })
      log.forget()
    }
    return ended
  }
}
