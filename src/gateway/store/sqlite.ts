import { Buffer } from 'node:buffer'
import type { SqliteDatabase, SqliteStatement } from 'kysely'
import { AttestError } from '../../verify/errors.ts'

export type SqliteDriverName = 'node:sqlite' | 'libsql'

/** The few things that we ask of an embedded SQLite; both drivers answer alike. */
export interface SqlitePort extends SqliteDatabase {
  readonly driver: SqliteDriverName
  /** Runs statements that return nothing. */
  exec(sql: string): void
}

interface RawStatement {
  all(...parameters: unknown[]): Record<string, unknown>[]
  run(...parameters: unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint }
}
interface RawDatabase<S extends RawStatement> {
  prepare(sql: string): S
  exec(sql: string): void
  close(): void
}
interface LibsqlStatement extends RawStatement {
  readonly reader: boolean
}

const MAX_PREPARED = 256

/** Result codes of SQLite (sqlite.org/rescode.html); the low byte is the primary code. */
const BUSY = 5
const LOCKED = 6
const CORRUPT = 11
const FULL = 13
const NOT_A_DATABASE = 26

/**
 * Opens a database file with `node:sqlite` where the runtime has it, else with `libsql`, whose binary lies in its package.
 * @param driver - asks for one driver; default: the first that loads.
 * @throws AttestError `INTERNAL` when no driver loads.
 */
export async function openSqlite(path: string, driver?: SqliteDriverName): Promise<SqlitePort> {
  if (driver !== 'libsql') {
    const module = await load<{ DatabaseSync: new (path: string) => RawDatabase<RawStatement> }>('node:sqlite')
    if (module !== null) return portOf('node:sqlite', new module.DatabaseSync(path), readsRows)
  }
  if (driver !== 'node:sqlite') {
    const module = await load<{ default: new (path: string) => RawDatabase<LibsqlStatement> }>('libsql')
    if (module !== null) return portOf('libsql', new module.default(path), (_sql, statement) => statement.reader)
  }
  throw new AttestError('INTERNAL', 'no SQLite: use Node 22.13 or later, or install the optional package libsql')
}

/** The name is a variable so that neither TypeScript nor a bundler asks for a module that this runtime may not have. */
async function load<T>(name: SqliteDriverName): Promise<T | null> {
  try {
    return (await import(name)) as T
  } catch {
    return null
  }
}

/** node:sqlite does not tell whether a statement yields rows; ours are few and plain. */
function readsRows(sql: string): boolean {
  return /^\s*(select|with|pragma|explain)\b/i.test(sql) || /\breturning\b/i.test(sql)
}

function portOf<S extends RawStatement>(
  driver: SqliteDriverName,
  database: RawDatabase<S>,
  isReader: (sql: string, statement: S) => boolean,
): SqlitePort {
  // libsql reads one array argument as the list of parameters; node:sqlite takes them one by one.
  const spread = (parameters: readonly unknown[]): unknown[] => (driver === 'libsql' ? [parameters] : [...parameters])
  // The same few texts come again and again, and preparing one costs about as much as running it.
  const known = new Map<string, SqliteStatement>()
  const prepare = (sql: string): SqliteStatement => {
    const statement = known.get(sql) ?? prepareAnew(sql)
    if (known.size < MAX_PREPARED) known.set(sql, statement)
    return statement
  }
  const prepareAnew = (sql: string): SqliteStatement => {
    const statement = guarded(() => database.prepare(sql))
    const all = (parameters: readonly unknown[]): unknown[] => guarded(() => statement.all(...spread(parameters)).map(normalize))
    return {
      reader: isReader(sql, statement),
      all,
      run: (parameters) => guarded(() => statement.run(...spread(parameters))),
      iterate: (parameters) => all(parameters)[Symbol.iterator](),
    }
  }
  const exec = (sql: string): void => guarded(() => database.exec(sql))
  const close = (): void => {
    releaseLock(prepare)
    database.close()
  }
  return { driver, prepare, exec, close }
}

/**
 * libsql lets go of the file only when the last statement is collected as garbage, so the lock is given back by hand: out of
 * WAL (which empties the log into the file), then out of exclusive mode, which a read puts into effect. A database that
 * cannot do that any more (disk full, damaged) loses the lock with the process.
 */
function releaseLock(prepare: (sql: string) => SqliteStatement): void {
  try {
    for (const sql of ['pragma journal_mode = delete', 'pragma locking_mode = normal', 'select count(*) from sqlite_master'])
      prepare(sql).all([])
  } catch {
    // As above.
  }
}

/** libsql hands blobs over as ArrayBuffer, node:sqlite as Uint8Array. */
function normalize(row: Record<string, unknown>): Record<string, unknown> {
  for (const [name, value] of Object.entries(row)) {
    if (value instanceof ArrayBuffer) row[name] = new Uint8Array(value)
    else if (Buffer.isBuffer(value)) row[name] = new Uint8Array(value)
  }
  return row
}

function guarded<T>(run: () => T): T {
  try {
    return run()
  } catch (cause) {
    throw translate(cause)
  }
}

function translate(cause: unknown): unknown {
  const { rawCode, errcode } = cause as { rawCode?: number; errcode?: number }
  const code = (rawCode ?? errcode ?? 0) & 0xff
  if (code === BUSY || code === LOCKED) return new AttestError('STORE_LOCKED', 'another process uses this data folder', { cause })
  if (code === FULL) return new AttestError('DISK_FULL', 'no space is left for the database', { cause })
  if (code === CORRUPT || code === NOT_A_DATABASE) return new AttestError('LOG_CORRUPT', 'the database file is damaged', { cause })
  return cause
}
