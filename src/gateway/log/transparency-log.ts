import type { ControlledTransaction } from 'kysely'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { encodeLeaf, type Leaf } from '../../verify/documents/leaf.ts'
import { AttestError } from '../../verify/errors.ts'
import type { LoggedEntry, Tile } from '../../verify/tlog/index.ts'
import { consistencyProof, inclusionProof, leafHash, MerkleFrontier, parseCheckpoint } from '../../verify/tlog/index.ts'
import type { Clock } from '../clock.ts'
import type { Database, Tx } from '../store/open-store.ts'
import type { Tables } from '../store/tables.ts'
import { openHead } from './check-head.ts'
import { checkTail } from './check-tail.ts'
import type { HeadCalls, HeadFile, LogHead } from './head-file.ts'
import { nodeReader } from './nodes.ts'
import type { CheckpointSigner } from './signer.ts'
import { readTile } from './tiles.ts'

/** What is to be logged. */
export interface NewEntry {
  readonly leaf: Leaf
  /** 32 random bytes. */
  readonly salt: Uint8Array
  /** The exact bytes of the signed document that the leaf commits to. */
  readonly opening: Uint8Array
  /** Rows that must be there if, and only if, the entry is. Uses `tx` alone; throwing keeps the entry out. */
  readonly also?: (tx: Tx, place: EntryPlace) => Promise<void>
}

export interface EntryPlace {
  readonly index: number
  /** base64url. */
  readonly leafHash: string
}

interface Waiting {
  /** Null: only a fresh checkpoint is wanted. */
  readonly entry: NewEntry | null
  readonly resolve: (index: number | null) => void
  readonly reject: (error: unknown) => void
}

const MAX_BATCH = 256
/** A checkpoint that is asked for is at most this old, in seconds. */
const FRESH_SECONDS = 10

/**
 * Append-only RFC 6962 log in the store. Nothing is answered before it is durable under a signed checkpoint, and no
 * checkpoint is signed twice for one size with two roots: tree, tags, what belongs to them and the checkpoint over them
 * are one transaction, and every batch starts from what is stored, never from memory. What is handed out, the head file
 * outside of the database knows too, so that an older copy of the database cannot pass for the newest.
 */
export class TransparencyLog {
  readonly #db: Database
  readonly #signer: CheckpointSigner
  readonly #clock: Clock
  readonly #head: HeadFile
  #waiting: Waiting[] = []
  #running: Promise<void> | null = null

  private constructor(db: Database, signer: CheckpointSigner, clock: Clock, head: HeadFile) {
    this.#db = db
    this.#signer = signer
    this.#clock = clock
    this.#head = head
  }

  /**
   * @param head - Path of the head file; not on the medium that is restored with the database.
   * @throws AttestError `LOG_CORRUPT` when the stored tail does not agree with its checkpoint, `LOG_ROLLED_BACK` when it does
   * not agree with what was handed out.
   */
  static async open(db: Database, signer: CheckpointSigner, clock: Clock, head: string, calls?: HeadCalls): Promise<TransparencyLog> {
    await checkTail(db, signer)
    return new TransparencyLog(db, signer, clock, await openHead(db, signer, head, calls))
  }

  get origin(): string {
    return this.#signer.origin
  }

  get verifierKey(): string {
    return this.#signer.verifierKey
  }

  /**
   * Appends a leaf. Entries that wait while a batch is written go together into the next one.
   * @throws AttestError `GRANT_USED` for a tag that the log already holds, `LOG_STALE` when the clock went back,
   * `DISK_FULL`; whatever `also` throws.
   */
  async append(entry: NewEntry): Promise<LoggedEntry & EntryPlace> {
    const index = await this.#enqueue(entry)
    return this.entryAt(index as number)
  }

  /** Entries that may be shown: those under the newest checkpoint that is durable in database and head file. */
  get size(): number {
    return this.#head.current.size
  }

  /** The newest checkpoint, signed anew when the last one is older than ten seconds. */
  async checkpoint(): Promise<string> {
    if (this.#seconds() - this.#head.current.time > FRESH_SECONDS) await this.#enqueue(null)
    return this.#head.current.note
  }

  /**
   * An entry with its proof under the checkpoint that was signed with it, or under the one that {@link keepWitnessed} was
   * given: the same answer for ever, from then on.
   */
  async entryAt(index: number): Promise<LoggedEntry & EntryPlace> {
    const row = await this.#db
      .selectFrom('log_leaves')
      .innerJoin('log_checkpoints', 'log_checkpoints.id', 'log_leaves.checkpoint_id')
      .leftJoin('log_openings', 'log_openings.idx', 'log_leaves.idx')
      .leftJoin('log_witnessed', 'log_witnessed.idx', 'log_leaves.idx')
      .select(['log_leaves.leaf', 'log_leaves.hash', 'log_openings.salt'])
      .select((eb) => [
        eb.fn.coalesce('log_witnessed.size', 'log_checkpoints.size').as('size'),
        eb.fn.coalesce('log_witnessed.note', 'log_checkpoints.note').as('note'),
      ])
      .where('log_leaves.idx', '=', index)
      .executeTakeFirst()
    if (row === undefined) throw new AttestError('NOT_FOUND', `the log has no entry ${index}`)
    if (row.salt === null) throw new AttestError('NOT_FOUND', `the opening of entry ${index} was erased`)
    // Committed, but a failure kept it from the head file: a next checkpoint takes it there first.
    if (row.size > this.size) await this.#enqueue(null)
    const proof = await inclusionProof(index, row.size, nodeReader(this.#db))
    return { leaf: row.leaf, leafHash: toBase64Url(row.hash), salt: row.salt, index, proof, checkpoint: row.note }
  }

  /** From now on this entry is proven under this checkpoint, which its witnesses have cosigned. The first one stays. */
  async keepWitnessed(index: number, note: string): Promise<void> {
    const { size } = parseCheckpoint(note)
    this.#checkSize(size)
    if (index >= size) throw new AttestError('LOG_CORRUPT', `a checkpoint of ${size} leaves does not hold entry ${index}`)
    const row = { idx: index, size, note }
    // Durable when it returns: under which checkpoint the entry is handed out. A crash before costs a round of the witnesses.
    await this.#db.transaction().execute(async (tx) => {
      await tx
        .insertInto('log_witnessed')
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .execute()
    })
  }

  async inclusionProof(index: number, size: number): Promise<readonly Uint8Array[]> {
    this.#checkSize(size)
    return inclusionProof(index, size, nodeReader(this.#db))
  }

  async consistencyProof(oldSize: number, newSize: number): Promise<readonly Uint8Array[]> {
    this.#checkSize(newSize)
    return consistencyProof(oldSize, newSize, nodeReader(this.#db))
  }

  async leaves(start: number, count: number): Promise<readonly Uint8Array[]> {
    const rows = await this.#db
      .selectFrom('log_leaves')
      .select('leaf')
      .where('idx', '>=', start)
      .where('idx', '<', this.size)
      .orderBy('idx')
      .limit(count)
      .execute()
    return rows.map((row) => row.leaf)
  }

  /** A tile of the tree that the newest checkpoint is of, or of an earlier one; null beyond it. */
  tile(tile: Tile): Promise<Uint8Array | null> {
    return readTile(this.#db, tile, this.size)
  }

  /** Resolves when everything that was asked for is written or refused, and lets go of the head file. */
  async close(): Promise<void> {
    await this.#running
    await this.#head.close()
  }

  #checkSize(size: number): void {
    if (size > this.size) throw new AttestError('NOT_FOUND', `the log has ${this.size} entries, not ${size}`)
  }

  #enqueue(entry: NewEntry | null): Promise<number | null> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entry, resolve, reject })
      this.#running ??= this.#run()
    })
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      let batch: readonly Waiting[] = []
      try {
        const tx = await this.#db.startTransaction().execute()
        // Now and not before: whoever came while the database was busy with others goes along.
        batch = this.#waiting.splice(0, MAX_BATCH)
        const { answers, head } = await this.#commit(tx, batch)
        // Durable now: the batch in the database. A crash here costs nothing but answers: at the next start the database is
        // ahead of the head file, which catches up. The other order would leave a head that no database has.
        if (head !== null) await this.#head.write(head)
        for (const settle of answers) settle()
      } catch (error) {
        // Durable now: all of the batch or none of it, we cannot tell which (the disk may have failed after the write). Nobody
        // was answered; the next batch starts from what is stored, and a repeated request finds its entry or makes it.
        // Without a transaction nothing was tried, and nobody is left waiting.
        for (const { reject } of batch.length > 0 ? batch : this.#waiting.splice(0)) reject(error)
      }
    }
    this.#running = null
  }

  /** One transaction, one checkpoint. @returns the answers, to be given only when the head, if there is a new one, is durable. */
  async #commit(
    tx: ControlledTransaction<Tables>,
    batch: readonly Waiting[],
  ): Promise<{ readonly answers: readonly (() => void)[]; readonly head: LogHead | null }> {
    try {
      const last = await lastCheckpoint(tx)
      const time = this.#timeAfter(last?.time ?? 0)
      const id = await nextCheckpointId(tx, last, batch)
      let frontier = await MerkleFrontier.load(last?.size ?? 0, nodeReader(tx))
      const answers: (() => void)[] = []
      for (const { entry, resolve, reject } of batch) {
        if (entry === null) {
          answers.push(() => resolve(null))
          continue
        }
        const inside = await tx.savepoint('entry').execute()
        try {
          const index = frontier.size
          frontier = await insert(tx, entry, frontier, id)
          answers.push(() => resolve(index))
        } catch (error) {
          await inside.rollbackToSavepoint('entry').execute()
          answers.push(() => reject(error))
        }
        await inside.releaseSavepoint('entry').execute()
      }
      if (frontier.size === last?.size && batch.every((waiting) => waiting.entry !== null)) {
        await tx.rollback().execute()
        return { answers, head: null }
      }
      const { size } = frontier
      const root = await frontier.root()
      const note = await this.#signer.sign(size, root, time)
      await tx.insertInto('log_checkpoints').values({ id, size, time, note }).execute()
      // Durable with this commit: the entries, what belongs to them, and the checkpoint over them. A crash before it costs the
      // whole batch, which nobody has heard of; the note that was signed for it never leaves this process.
      await tx.commit().execute()
      return { answers, head: { origin: this.origin, size, root, time, note } }
    } catch (error) {
      await rollback(tx)
      throw error
    }
  }

  /** The log's time never goes back: a cosignature is a promise that now is not earlier. */
  #timeAfter(last: number): number {
    const time = this.#seconds()
    if (time >= last) return time
    throw new AttestError('LOG_STALE', `the clock went back: the newest checkpoint is ${last - time} s ahead of it`, { at: 'log.clock' })
  }

  #seconds(): number {
    return Math.floor(this.#clock.now() / 1000)
  }
}

async function insert(
  tx: Tx,
  { leaf, salt, opening, also }: NewEntry,
  before: MerkleFrontier,
  checkpointId: number,
): Promise<MerkleFrontier> {
  const bytes = encodeLeaf(leaf)
  const hash = await leafHash(bytes)
  const { frontier, nodes } = await before.append(hash)
  const idx = before.size
  for (const tag of leaf.tags) {
    if ((await tx.selectFrom('log_tags').select('idx').where('tag', '=', tag).executeTakeFirst()) !== undefined) {
      throw new AttestError('GRANT_USED', 'this use slot is in the log already', { at: 'intent.slots' })
    }
    await tx.insertInto('log_tags').values({ tag, idx }).execute()
  }
  await tx.insertInto('log_leaves').values({ idx, leaf: bytes, hash, checkpoint_id: checkpointId }).execute()
  await tx.insertInto('log_openings').values({ idx, salt, opening }).execute()
  await tx
    .insertInto('log_nodes')
    .values(nodes.map((node) => ({ level: node.level, idx: node.index, hash: node.hash })))
    .execute()
  await also?.(tx, { index: idx, leafHash: toBase64Url(hash) })
  return frontier
}

interface StoredCheckpoint {
  readonly id: number
  readonly size: number
  readonly time: number
  readonly note: string
}

async function lastCheckpoint(db: Database | Tx): Promise<StoredCheckpoint | null> {
  return (await db.selectFrom('log_checkpoints').selectAll().orderBy('id', 'desc').limit(1).executeTakeFirst()) ?? null
}

/**
 * Checkpoints that came with entries stay: those entries are proven under them. One that only renewed the time of the tree
 * before it makes room for the next, so that a log that is watched but not used does not grow.
 */
async function nextCheckpointId(tx: Tx, last: StoredCheckpoint | null, batch: readonly Waiting[]): Promise<number> {
  if (last === null) return 1
  const before = await tx
    .selectFrom('log_checkpoints')
    .select('size')
    .where('id', '=', last.id - 1)
    .executeTakeFirst()
  if (before?.size !== last.size || batch.some((waiting) => waiting.entry !== null)) return last.id + 1
  await tx.deleteFrom('log_checkpoints').where('id', '=', last.id).execute()
  return last.id
}

async function rollback(tx: { rollback(): { execute(): Promise<unknown> } }): Promise<void> {
  try {
    await tx.rollback().execute()
  } catch {
    // SQLite has rolled back by itself after some failures (disk full); there is nothing left to undo.
  }
}
