import { AttestError } from '../../verify/errors.ts'
import { encodeEntryBundle, encodeHashTile, TILE_WIDTH, type Tile } from '../../verify/tlog/index.ts'
import type { Database } from '../store/open-store.ts'

/** Levels of `log_nodes` that one tile spans: the hashes of tiles are those of every eighth level. */
const TILE_LEVELS = 8

/**
 * The bytes of a tile (C2SP tlog-tiles) of the tree of `size` leaves, from the rows of the tree itself. Also narrower
 * partial tiles than the newest, as earlier trees had them: nothing is deleted.
 * @returns null for a tile that reaches beyond the tree.
 */
export async function readTile(db: Database, tile: Tile, size: number): Promise<Uint8Array | null> {
  const from = tile.index * TILE_WIDTH
  const leavesPerHash = tile.kind === 'entries' ? 1 : TILE_WIDTH ** tile.level
  if ((from + tile.width) * leavesPerHash > size) return null
  if (tile.kind === 'entries') {
    const rows = await db.selectFrom('log_leaves').select('leaf').where('idx', '>=', from).orderBy('idx').limit(tile.width).execute()
    return encodeEntryBundle(whole(rows, tile).map((row) => row.leaf))
  }
  const rows = await db
    .selectFrom('log_nodes')
    .select('hash')
    .where('level', '=', tile.level * TILE_LEVELS)
    .where('idx', '>=', from)
    .orderBy('idx')
    .limit(tile.width)
    .execute()
  return encodeHashTile(whole(rows, tile).map((row) => row.hash))
}

function whole<T>(rows: readonly T[], { width }: Tile): readonly T[] {
  if (rows.length !== width) throw new AttestError('LOG_CORRUPT', `a tile of ${width} has ${rows.length} rows`, { at: 'log.tile' })
  return rows
}
