import { encodeEntryBundle, encodeHashTile, leafHash, parseTilePath, TILE_WIDTH, type TileSource } from '../../src/verify/tlog/index.ts'
import { storeTree } from './log.ts'

/** What a server of static files would hold of a log: each tile of the tree of `leaves`, and any narrower partial one. */
export async function tileServer(leaves: readonly Uint8Array[]): Promise<{ readonly fetch: TileSource; readonly fetched: string[] }> {
  const { read } = await storeTree(await Promise.all(leaves.map(leafHash)))
  const fetched: string[] = []
  const fetch: TileSource = async (path) => {
    fetched.push(path)
    const tile = parseTilePath(path)
    const from = tile.index * TILE_WIDTH
    if (tile.kind === 'entries') {
      const entries = leaves.slice(from, from + tile.width)
      return entries.length === tile.width ? encodeEntryBundle(entries) : null
    }
    const nodes = Array.from({ length: tile.width }, (_, i) => ({ level: tile.level * 8, index: from + i }))
    const hashes = await read(nodes)
    return hashes.some((hash) => hash.length === 0) ? null : encodeHashTile(hashes)
  }
  return { fetch, fetched }
}
