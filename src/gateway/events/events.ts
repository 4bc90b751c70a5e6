import { randomBytes } from 'node:crypto'
import { issueGeneralJws } from '../../seal/jws.ts'
import { fromBase64Url, fromUtf8, toBase64Url, toHex } from '../../verify/bytes/bytes.ts'
import { type EventFile, encodeEventFile } from '../../verify/documents/event-file.ts'
import { EVENT_TYP, type EventPredicates, type EventType, encodeEventStatement } from '../../verify/documents/event-statement.ts'
import { commitmentOf } from '../../verify/documents/leaf.ts'
import { parsePolicy } from '../../verify/documents/policy.ts'
import { AttestError } from '../../verify/errors.ts'
import { encodeCanonical, type Json } from '../../verify/formats/canonical-json.ts'
import { entryToJson } from '../../verify/tlog/index.ts'
import type { ReceiptKeys } from '../config/ml-dsa.ts'
import type { EntryPlace, TransparencyLog } from '../log/index.ts'
import type { Caller } from '../server/caller.ts'
import type { Database, Tx } from '../store/open-store.ts'
import { type EventRow, LIST_LIMIT } from '../store/tables.ts'
import type { WitnessedLog } from '../witnessing/witnessed-log.ts'

type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never

/** The documents of a receipt file beside the signed receipt and its proof. */
export type EventDocuments = Without<EventFile, 'v' | 'receipt' | 'entry'>

export interface NewEvent<T extends EventType> {
  readonly type: T
  /** SHA-256 of what it is about, base64url. */
  readonly subject: string
  readonly predicate: Omit<EventPredicates[T], 'v' | 'type' | 'agent'>
  readonly documents: EventDocuments
  /** By what it is listed: a dataset, a grant, a host. */
  readonly name: string
  /** Caller who may read the receipt; null: every client. */
  readonly reader: string | null
  /** Rows that must be there if, and only if, the event is in the log. */
  readonly also: (tx: Tx, place: EntryPlace) => Promise<void>
}

/** Evidence is large, and hosts show theirs every hour: the receipts of so many stay for each host. Their log entries all do. */
const KEPT_PER_HOST = 32

/** What happens here beside jobs: each event is signed, logged, and kept so that its receipt file can be made at any time. */
export class Events {
  readonly #db: Database
  readonly #log: TransparencyLog
  readonly #witnessed: WitnessedLog
  readonly #keys: ReceiptKeys
  /** Name and version of this gateway, as its statements say it. */
  readonly gateway: string

  constructor(db: Database, log: TransparencyLog, witnessed: WitnessedLog, keys: ReceiptKeys, gateway: string) {
    this.#db = db
    this.#log = log
    this.#witnessed = witnessed
    this.#keys = keys
    this.gateway = gateway
  }

  /**
   * Signs and logs an event. Durable when it returns: entry, receipt and what `also` wrote, together. A crash before leaves none.
   * @returns its place in the log.
   */
  async append<T extends EventType>({ type, subject, predicate, documents, name, reader, also }: NewEvent<T>): Promise<number> {
    const whole = { v: 1, type, agent: this.gateway, ...predicate } as unknown as EventPredicates[T]
    const statement = encodeEventStatement(type, toHex(fromBase64Url(subject)), whole)
    const receipt = await issueGeneralJws(statement, EVENT_TYP, [this.#keys.signing], this.#keys.mlDsa)
    const salt = new Uint8Array(randomBytes(32))
    const leaf = { v: 1, type, commitment: await commitmentOf(salt, receipt), tags: [], ends: [], deadline: null } as const
    const body = encodeCanonical({ ...documents, v: 1, receipt: toBase64Url(receipt) } as unknown as Json)
    const { index } = await this.#log.append({
      leaf,
      salt,
      opening: receipt,
      also: async (tx, place) => {
        await tx.insertInto('events').values({ log_index: place.index, type, name, reader, body }).execute()
        if (type === 'onboard') await pruneHost(tx, name)
        await also(tx, place)
      },
    })
    return index
  }

  /** The newest ones of this caller, and the newest that every client may read, in the order of the log. */
  async list(caller: Caller): Promise<readonly Omit<EventRow, 'body'>[]> {
    const all = this.#db.selectFrom('events').select(['log_index', 'type', 'name', 'reader']).orderBy('log_index', 'desc').limit(LIST_LIMIT)
    const own = await all.where('reader', '=', caller.id).execute()
    return [...own, ...(await all.where('reader', 'is', null).execute())].sort((a, b) => a.log_index - b.log_index)
  }

  /**
   * The receipt file of an event, the same whenever it is asked for.
   * @throws AttestError `NOT_FOUND` also for what somebody else may read, `WITNESS_QUORUM` while its entry is not cosigned.
   */
  async file(caller: Caller, index: number): Promise<Uint8Array> {
    const row = await this.#db.selectFrom('events').selectAll().where('log_index', '=', index).executeTakeFirst()
    if (row === undefined || (row.reader !== null && row.reader !== caller.id)) {
      throw new AttestError('NOT_FOUND', `no receipt of entry ${index} is kept for you`, { at: 'receipts' })
    }
    const documents = JSON.parse(fromUtf8(row.body)) as Without<EventFile, 'entry'>
    const policy = 'policy' in documents ? documents.policy : null
    const policies = policy === null ? [] : [parsePolicy(fromBase64Url(policy))]
    const entry = entryToJson(await this.#witnessed.entry(index, policies, []))
    return encodeEventFile({ ...documents, entry })
  }
}

async function pruneHost(tx: Tx, host: string): Promise<void> {
  const ofHost = tx.selectFrom('events').select('log_index').where('type', '=', 'onboard').where('name', '=', host)
  const kept = ofHost.orderBy('log_index', 'desc').limit(KEPT_PER_HOST)
  await tx.deleteFrom('events').where('type', '=', 'onboard').where('name', '=', host).where('log_index', 'not in', kept).execute()
}
