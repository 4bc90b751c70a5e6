import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Kysely, SqliteDialect } from 'kysely'
import { AttestError } from '../../verify/errors.ts'
import { rootAt } from '../../verify/tlog/index.ts'
import { GATEWAY_FILES, type GatewayConfig, logHeadPath } from '../config/config.ts'
import type { LogPrivateKey } from '../config/keys.ts'
import { openStore } from '../store/open-store.ts'
import { openSqlite } from '../store/sqlite.ts'
import type { Tables } from '../store/tables.ts'
import { checkHead, headMissing, newestCheckpoint } from './check-head.ts'
import { checkTail } from './check-tail.ts'
import { HeadFile } from './head-file.ts'
import { nodeReader } from './nodes.ts'
import { checkpointSigner } from './signer.ts'

export interface LogState {
  readonly entries: number
  /** Time of the newest checkpoint that was handed out, seconds since the epoch; null for a log that has not begun. */
  readonly time: number | null
}

/**
 * Whether a gateway that is not running could go on with its log: what its start checks of database and head file.
 * @throws AttestError `LOG_ROLLED_BACK`, `LOG_CORRUPT`, `STORE_LOCKED`.
 */
export async function examineLog(folder: string, config: GatewayConfig, key: LogPrivateKey): Promise<LogState> {
  const path = logHeadPath(folder, config)
  const database = join(folder, GATEWAY_FILES.data, 'gateway.db')
  const signer = await checkpointSigner(key)
  const head = await HeadFile.open(path, signer)
  await head?.close()
  if (!existsSync(database)) {
    if (head === null) return { entries: 0, time: null }
    throw new AttestError('LOG_ROLLED_BACK', `${database} is gone, but ${head.current.size} entries were handed out`, { at: 'log.head' })
  }
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: await openSqlite(database) }) })
  try {
    await checkTail(db, signer)
    const stored = await newestCheckpoint(db)
    if (head === null && stored !== null) throw headMissing(path, stored)
    if (head !== null) await checkHead(db, head.current)
    return { entries: stored?.size ?? 0, time: stored?.time ?? null }
  } finally {
    await db.destroy()
  }
}

/**
 * Writes a head file that was lost or damaged anew from the database. Only who knows that this database is the newest
 * one may ask for it: with an older copy the log forks, and everybody who saw the newer one will refuse it.
 * @throws AttestError `ALREADY_EXISTS` where the head file is sound, `LOG_CORRUPT`, `STORE_LOCKED`.
 */
export async function renewHead(folder: string, config: GatewayConfig, key: LogPrivateKey): Promise<LogState> {
  const path = logHeadPath(folder, config)
  const signer = await checkpointSigner(key)
  const sound = await HeadFile.open(path, signer).catch((error: unknown) => {
    if (error instanceof AttestError && error.code === 'LOG_CORRUPT') return null
    throw error
  })
  await sound?.close()
  if (sound !== null) throw new AttestError('ALREADY_EXISTS', `${path} is sound: what it says of the database stands`)
  const store = await openStore(join(folder, GATEWAY_FILES.data))
  const { db } = store
  try {
    await checkTail(db, signer)
    const stored = await newestCheckpoint(db)
    const file = await HeadFile.create(path, signer)
    if (stored !== null) await file.write({ origin: signer.origin, ...stored, root: await rootAt(stored.size, nodeReader(db)) })
    await file.close()
    return { entries: stored?.size ?? 0, time: stored?.time ?? null }
  } finally {
    await store.close()
  }
}
