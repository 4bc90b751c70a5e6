import { equal } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { emptyRoot, rootAt } from '../../verify/tlog/index.ts'
import type { Database } from '../store/open-store.ts'
import { type HeadCalls, HeadFile, type LogHead } from './head-file.ts'
import { nodeReader } from './nodes.ts'
import type { CheckpointSigner } from './signer.ts'

/** The newest checkpoint of a database. */
interface Stored {
  readonly size: number
  readonly time: number
  readonly note: string
}

/**
 * Holds the database against the head file, and makes that of a log that begins. A database that lacks what was handed
 * out must not be gone on with: what it signs next would be a second history.
 * @returns the head file, caught up with the database.
 * @throws AttestError `LOG_ROLLED_BACK`, `LOG_CORRUPT` for a damaged head file.
 */
export async function openHead(db: Database, signer: CheckpointSigner, path: string, calls?: HeadCalls): Promise<HeadFile> {
  const stored = await newestCheckpoint(db)
  const file = await HeadFile.open(path, signer, calls)
  if (file === null) {
    if (stored !== null) throw headMissing(path, stored)
    return HeadFile.create(path, signer, calls)
  }
  try {
    await checkHead(db, file.current)
    // A crash came between commit and head: nobody was told of these entries, and from here on somebody may be.
    if (stored !== null && stored.note !== file.current.note) {
      await file.write({ origin: signer.origin, ...stored, root: await rootAt(stored.size, nodeReader(db)) })
    }
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** @throws AttestError `LOG_ROLLED_BACK` when the database does not continue what was handed out. */
export async function checkHead(db: Database, head: LogHead): Promise<void> {
  const stored = await newestCheckpoint(db)
  const size = stored?.size ?? 0
  if (size < head.size) {
    throw rolledBack(`the database holds ${size} entries, but ${head.size} were handed out: it is an older copy`)
  }
  const root = head.size === 0 ? await emptyRoot() : await rootAt(head.size, nodeReader(db))
  if (!equal(root, head.root)) throw rolledBack(`the database holds another history than the ${head.size} entries that were handed out`)
  if (stored !== null && stored.time < head.time) {
    throw rolledBack('the newest checkpoint of the database is older than the one that was handed out: it is an older copy')
  }
  // Without a checkpoint of its own only a database that never answered anybody agrees.
  if (stored === null && head.time > 1) throw rolledBack('the database is empty, but checkpoints of its log were handed out')
}

export async function newestCheckpoint(db: Database): Promise<Stored | null> {
  const row = await db.selectFrom('log_checkpoints').select(['size', 'time', 'note']).orderBy('id', 'desc').limit(1).executeTakeFirst()
  return row ?? null
}

export function headMissing(path: string, stored: { readonly size: number }): AttestError {
  return rolledBack(`${path} is missing, so nobody can tell whether the database with its ${stored.size} entries is the newest one`)
}

function rolledBack(message: string): AttestError {
  return new AttestError('LOG_ROLLED_BACK', message, { at: 'log.head' })
}
