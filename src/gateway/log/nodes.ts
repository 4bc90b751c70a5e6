import type { NodeId, NodeReader } from '../../verify/tlog/index.ts'
import type { Database, Tx } from '../store/open-store.ts'

/** Reads stored subtree hashes, all of one proof in one query. A missing node is left out, which the caller refuses. */
export function nodeReader(db: Database | Tx): NodeReader {
  return async (nodes) => {
    const rows = await db
      .selectFrom('log_nodes')
      .selectAll()
      .where((eb) => eb.or(nodes.map(({ level, index }) => eb.and({ level, idx: index }))))
      .execute()
    const found = new Map(rows.map((row) => [nameOf({ level: row.level, index: row.idx }), row.hash]))
    return nodes.flatMap((node) => found.get(nameOf(node)) ?? [])
  }
}

function nameOf({ level, index }: NodeId): string {
  return `${level}/${index}`
}
