import { AttestError } from '../errors.ts'
import { joinSubtrees } from './hash.ts'
import type { NodeId, NodeReader } from './nodes.ts'
import {
  type EntryTile,
  encodeTilePath,
  type HashTile,
  parseEntryBundle,
  parseHashTile,
  TILE_HEIGHT,
  TILE_WIDTH,
  type Tile,
} from './tiles.ts'

/** Answers what a log serves under a path such as `tile/0/000`; null for 404. What comes back is not believed. */
export type TileSource = (path: string) => Promise<Uint8Array | null>

/**
 * The tile that holds a complete subtree, or the hashes that it is made of, in a tree of `size` leaves. Partial where the
 * tree ends inside it.
 * @throws AttestError `NOT_FOUND` for a subtree that is not complete in this tree.
 */
export function tileOfNode({ level, index }: NodeId, size: number): HashTile {
  if ((index + 1) * 2 ** level > size) throw new AttestError('NOT_FOUND', `no complete subtree ${level}/${index} in a tree of ${size}`)
  const tileLevel = Math.floor(level / TILE_HEIGHT)
  const tileIndex = Math.floor((index * 2 ** (level % TILE_HEIGHT)) / TILE_WIDTH)
  const hashes = Math.floor(size / TILE_WIDTH ** tileLevel)
  return { kind: 'hashes', level: tileLevel, index: tileIndex, width: Math.min(TILE_WIDTH, hashes - tileIndex * TILE_WIDTH) }
}

/** The tiles that these nodes of a tree of `size` leaves take, each once. What a proof asks for: `inclusionNodes`, `consistencyNodes`. */
export function tilesOfNodes(nodes: readonly NodeId[], size: number): readonly HashTile[] {
  const tiles = nodes.map((node) => tileOfNode(node, size))
  return [...new Map(tiles.map((tile) => [encodeTilePath(tile), tile])).values()]
}

/**
 * Reads the nodes of a tree of `size` leaves from its tiles: with it `inclusionProof`, `consistencyProof` and `rootAt` work
 * on whatever serves a tiled log. The answers are as good as the server: verify the proof under a verified checkpoint.
 * @param size - Of a checkpoint that was verified: for others the log need not have tiles.
 * @throws AttestError `NOT_FOUND`, `TILE_MALFORMED`; whatever `source` throws.
 */
export function tileNodeReader(size: number, source: TileSource): NodeReader {
  return async (nodes) => {
    const tiles = tilesOfNodes(nodes, size)
    const read = await Promise.all(tiles.map(async (tile) => [keyOf(tile), await readHashes(tile, source)] as const))
    const byKey = new Map(read)
    return Promise.all(nodes.map((node) => hashOf(node, byKey.get(keyOf(tileOfNode(node, size))) ?? [])))
  }
}

function keyOf(tile: HashTile): string {
  return `${tile.level}/${tile.index}`
}

/** A tile holds every eighth level; the ones between are hashed together. */
function hashOf({ level, index }: NodeId, hashes: readonly Uint8Array[]): Promise<Uint8Array> {
  const span = 2 ** (level % TILE_HEIGHT)
  const from = (index * span) % TILE_WIDTH
  return joinComplete(hashes.slice(from, from + span))
}

/** Root of 2^n neighbours. */
async function joinComplete(hashes: readonly Uint8Array[]): Promise<Uint8Array> {
  let row = hashes
  while (row.length > 1) {
    const above: Uint8Array[] = []
    for (let i = 0; i < row.length; i += 2) above.push(await joinSubtrees(row.slice(i, i + 2)))
    row = above
  }
  return row[0] ?? new Uint8Array(0)
}

async function readHashes(tile: HashTile, source: TileSource): Promise<readonly Uint8Array[]> {
  const { bytes, width } = await askForTile(tile, source)
  return parseHashTile(bytes, width)
}

/**
 * The entries of bundle `index` that a tree of `size` leaves holds. Hash them: nothing here says that the tree has them.
 * @throws AttestError `NOT_FOUND`, `TILE_MALFORMED`; whatever `source` throws.
 */
export async function readEntryBundle(index: number, size: number, source: TileSource): Promise<readonly Uint8Array[]> {
  const wanted = Math.min(TILE_WIDTH, size - index * TILE_WIDTH)
  if (wanted < 1) throw new AttestError('NOT_FOUND', `no entry ${index * TILE_WIDTH} in a tree of ${size}`)
  const tile: EntryTile = { kind: 'entries', index, width: wanted }
  const { bytes, width } = await askForTile(tile, source)
  return parseEntryBundle(bytes, width).slice(0, wanted)
}

/** A log may drop a partial tile once the full one is there, which begins with the same hashes. */
async function askForTile(tile: Tile, source: TileSource): Promise<{ readonly bytes: Uint8Array; readonly width: number }> {
  const path = encodeTilePath(tile)
  const bytes = await source(path)
  if (bytes !== null) return { bytes, width: tile.width }
  const full = tile.width === TILE_WIDTH ? null : await source(encodeTilePath({ ...tile, width: TILE_WIDTH }))
  if (full === null) throw new AttestError('NOT_FOUND', `the log does not serve ${path}`, { at: 'log.tile' })
  return { bytes: full, width: TILE_WIDTH }
}
