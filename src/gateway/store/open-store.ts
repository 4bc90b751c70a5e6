import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Kysely, Migrator, SqliteAdapter, SqliteDialect, sql, type Transaction } from 'kysely'
import { AttestError } from '../../verify/errors.ts'
import { BlobFolder, type DiskCalls } from './blob-folder.ts'
import { migrations } from './migrations.ts'
import { openSqlite, type SqliteDriverName, type SqlitePort } from './sqlite.ts'
import type { Tables } from './tables.ts'

export type Database = Kysely<Tables>
export type Tx = Transaction<Tables>

/** Empties SQLite's log of writes into the file: pages of before, with what was deleted from them, are in neither then. */
export async function settle(db: Database): Promise<void> {
  await sql`pragma wal_checkpoint(truncate)`.execute(db)
}

/** Everything that the gateway keeps: rows in SQLite, ciphertext in a folder. One process at a time. */
export interface Store {
  readonly db: Database
  readonly blobs: BlobFolder
  close(): Promise<void>
}

export interface StoreOptions {
  readonly driver?: SqliteDriverName
  /** Stands between Kysely and the driver. */
  readonly wrap?: (port: SqlitePort) => SqlitePort
  readonly disk?: DiskCalls
}

/** SQLite rolls schema changes back like any other; Kysely's adapter leaves that unused. With it a migration is all or nothing. */
class TransactionalAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

class PortDialect extends SqliteDialect {
  override createAdapter(): SqliteAdapter {
    return new TransactionalAdapter()
  }
}

/**
 * Opens or makes the store under `folder` and brings its schema up to date.
 * @throws AttestError `STORE_LOCKED` when another process has it open, `LOG_CORRUPT` for a damaged file, `DISK_FULL`.
 */
export async function openStore(folder: string, options: StoreOptions = {}): Promise<Store> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const port = await openSqlite(join(folder, 'gateway.db'), options.driver)
  try {
    lock(port)
  } catch (error) {
    port.close()
    if (!(error instanceof AttestError) || error.code !== 'STORE_LOCKED') throw error
    throw new AttestError('STORE_LOCKED', `another process uses ${folder}`, { cause: error })
  }
  const db: Database = new Kysely<Tables>({ dialect: new PortDialect({ database: options.wrap?.(port) ?? port }) })
  try {
    const { error } = await new Migrator({ db, provider: migrations }).migrateToLatest()
    if (error !== undefined) throw error
    return { db, blobs: await BlobFolder.open(folder, options.disk), close: () => db.destroy() }
  } catch (cause) {
    await db.destroy()
    throw cause instanceof AttestError ? cause : new AttestError('LOG_CORRUPT', 'the store does not open', { cause })
  }
}

/**
 * Exclusive locking mode: the first write takes the file lock and keeps it until close. The kernel drops it with the
 * process, so a kill -9 leaves nothing behind. WAL with synchronous=FULL: a commit that returned is on the disk; a crash
 * before it returned leaves either all of the transaction or none.
 */
function lock(port: SqlitePort): void {
  port.exec('pragma locking_mode = exclusive')
  port.prepare('pragma journal_mode = wal').all([])
  port.exec('pragma synchronous = full')
  port.exec('pragma foreign_keys = on')
  // What is deleted is overwritten with zeros, in the file as soon as the log of writes is emptied into it: erased openings, dropped keys.
  port.prepare('pragma secure_delete = on').all([])
  port.exec('begin immediate')
  port.exec('commit')
  // What a crash left in the log of writes, and with it pages of before a deletion, goes into the file now.
  port.prepare('pragma wal_checkpoint(truncate)').all([])
}
