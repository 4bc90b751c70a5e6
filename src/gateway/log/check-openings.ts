import { sql } from 'kysely'
import { opensLeaf, parseLeaf } from '../../verify/documents/leaf.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Database } from '../store/open-store.ts'
import type { LogLeafRow } from '../store/tables.ts'

/**
 * Holds the openings of entries against their leaves. An entry has its opening, or an erasure took it, and then the log says so
 * in an entry of its own: anything else is damage, and must not pass for an erasure.
 * @throws AttestError `LOG_CORRUPT`.
 */
export async function checkOpenings(db: Database, tail: readonly LogLeafRow[]): Promise<void> {
  // A database of before erasures is brought up to date at its next start, and looked at then.
  const { rows } = await sql`select name from sqlite_master where name = 'log_erased'`.execute(db)
  if (rows.length === 0) return
  const [leaves, openings, erased] = [await count(db, 'log_leaves'), await count(db, 'log_openings'), await count(db, 'log_erased')]
  if (leaves !== openings + erased) throw corrupt(`${leaves} leaves, but ${openings} openings and ${erased} that were erased`)
  for (const { idx, leaf } of tail) {
    const opening = await db.selectFrom('log_openings').selectAll().where('idx', '=', idx).executeTakeFirst()
    const taken = await db.selectFrom('log_erased').select('by_idx').where('idx', '=', idx).executeTakeFirst()
    if (opening !== undefined && taken !== undefined) throw corrupt(`entry ${idx} was erased, and its opening is there`)
    if (opening !== undefined && !(await opensLeaf(parseLeaf(leaf), opening.salt, opening.opening))) {
      throw corrupt(`the opening of entry ${idx} is another one`)
    }
    if (opening === undefined && !(taken !== undefined && taken.by_idx > idx && (await isErasure(db, taken.by_idx)))) {
      throw corrupt(`the opening of entry ${idx} is gone, and no erasure took it`)
    }
  }
}

async function isErasure(db: Database, idx: number): Promise<boolean> {
  const row = await db.selectFrom('log_leaves').select('leaf').where('idx', '=', idx).executeTakeFirst()
  return row !== undefined && parseLeaf(row.leaf).type === 'erasure'
}

async function count(db: Database, table: 'log_leaves' | 'log_openings' | 'log_erased'): Promise<number> {
  const { rows } = await db
    .selectFrom(table)
    .select((eb) => eb.fn.countAll<number>().as('rows'))
    .executeTakeFirstOrThrow()
  return rows
}

function corrupt(message: string): AttestError {
  return new AttestError('LOG_CORRUPT', message, { at: 'log.openings' })
}
