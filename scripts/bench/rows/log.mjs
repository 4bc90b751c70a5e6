import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { generateSigningKey } from '../../../dist/client/index.js'
import { systemClock } from '../../../dist/gateway/clock.js'
import { checkpointSigner, TransparencyLog } from '../../../dist/gateway/log/index.js'
import { nodeReader } from '../../../dist/gateway/log/nodes.js'
import { openStore } from '../../../dist/gateway/store/open-store.js'
import { openSqlite } from '../../../dist/gateway/store/sqlite.js'
import { encodeLeaf } from '../../../dist/verify/documents/leaf.js'
import {
  consistencyProof,
  inclusionProof,
  leafHash,
  rootAt,
  rootOfLeafHashes,
  verifyConsistency,
  verifyInclusion,
} from '../../../dist/verify/tlog/index.js'
import { interleaveOnce } from '../interleave.mjs'

const ROUNDS = 9
const SLICE_MS = 700

async function withFolder(work) {
  const folder = await mkdtemp(join(tmpdir(), 'sealgate-bench-log-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const random = (size) => new Uint8Array(randomBytes(size))

/** A release: one tag, an opening of the size of a signed intent. */
function newEntry() {
  const commitment = randomBytes(32).toString('base64url')
  const tags = [randomBytes(32).toString('base64url')]
  const leaf = { v: 1, type: 'release', commitment, tags, ends: [], deadline: '2030-01-01T00:00:00Z' }
  return { leaf, salt: random(32), opening: random(1500) }
}

/** Calls `once` from so many loops at a time until the slice is over. @returns how often per second of wall time. */
async function perSecond(writers, once) {
  let done = 0
  const start = performance.now()
  const loop = async () => {
    while (performance.now() - start < SLICE_MS) {
      const some = await once()
      done += some
    }
  }
  await Promise.all(Array.from({ length: writers }, loop))
  return (1000 * done) / (performance.now() - start)
}

/**
 * Entries that were answered, with proof and checkpoint, durable in database and head file, from so many writers at a time;
 * against the same bytes of leaf and opening in as many rows per commit, in a database of its own with the same settings.
 */
export function append(writers) {
  return withFolder(async (folder) => {
    const store = await openStore(join(folder, 'log'))
    const signer = await checkpointSigner({ ...generateSigningKey(), origin: 'bench.example/log' })
    const log = await TransparencyLog.open(store.db, signer, systemClock, join(folder, 'log.head'))
    const bare = await bareCommits(join(folder, 'bare.db'))
    const ours = async () => {
      await log.append(newEntry())
      return 1
    }
    try {
      return await interleaveOnce(
        () => perSecond(writers, ours),
        () => perSecond(1, () => bare.commit(writers)),
        ROUNDS,
      )
    } finally {
      bare.close()
      await log.close()
      await store.close()
    }
  })
}

async function bareCommits(path) {
  const port = await openSqlite(path)
  port.exec('pragma locking_mode = exclusive')
  port.prepare('pragma journal_mode = wal').all([])
  port.exec('pragma synchronous = full')
  port.exec('create table entries (id integer primary key, leaf blob not null, opening blob not null) strict')
  const insert = port.prepare('insert into entries (leaf, opening) values (?, ?)')
  const commit = async (rows) => {
    const entries = Array.from({ length: rows }, newEntry)
    port.exec('begin immediate')
    for (const { leaf, opening } of entries) insert.run([encodeLeaf(leaf), opening])
    port.exec('commit')
    return rows
  }
  return { commit, close: () => port.close() }
}

const SIZES = [1e3, 1e4, 1e5, 1e6, 1e7]
const [SMALLEST, LARGEST] = [SIZES[0], SIZES.at(-1)]
const PROOFS = 100
/** Rounds until the code of a proof is compiled for good. */
const WARM_UP = 20

/**
 * Milliseconds for one inclusion and one consistency proof out of a database of ten million leaves, for trees of 10^3 to
 * 10^7 of them. All leaves are alike, so every complete subtree of a level has one hash: the nodes are made by SQLite in
 * seconds, and the proofs verify all the same.
 */
export function proof() {
  return withFolder(async (folder) => {
    const store = await openStore(folder)
    try {
      const leaf = await fillNodes(store)
      const read = nodeReader(store.db)
      for (const size of SIZES) await checkProofs(leaf, size, read)
      for (let i = 0; i < WARM_UP; i++) await msPerProof(LARGEST, read)
      const times = new Map()
      for (const size of SIZES) times.set(size, await msPerProof(size, read))
      const growth = Math.log2(LARGEST) / Math.log2(SMALLEST)
      const result = await interleaveOnce(
        () => msPerProof(LARGEST, read),
        async () => growth * (await msPerProof(SMALLEST, read)),
        ROUNDS,
      )
      const line = [...times].map(([size, ms]) => `10^${Math.log10(size)}: ${ms.toFixed(3)}`).join(', ')
      process.stderr.write(`log.proof, ms by size of the tree: ${line}\n`)
      return result
    } finally {
      await store.close()
    }
  })
}

/** Every node of the tree, level by level. @returns the hash of each leaf. */
async function fillNodes({ db }) {
  const leaf = await leafHash(new Uint8Array(0))
  let hash = leaf
  // Nobody waits for these rows to be durable.
  await sql`pragma synchronous = off`.execute(db)
  for (let level = 0; 2 ** level <= LARGEST; level++) {
    const count = Math.floor(LARGEST / 2 ** level)
    await sql`with recursive n(i) as (select 0 union all select i + 1 from n where i + 1 < ${count})
      insert into log_nodes (level, idx, hash) select ${level}, i, ${hash} from n`.execute(db)
    hash = await rootOfLeafHashes([hash, hash])
  }
  return leaf
}

async function msPerProof(size, read) {
  const start = performance.now()
  for (let i = 0; i < PROOFS; i++) {
    await inclusionProof(Math.floor(Math.random() * size), size, read)
    await consistencyProof(1 + Math.floor(Math.random() * (size - 1)), size, read)
  }
  return (performance.now() - start) / PROOFS
}

async function checkProofs(leaf, size, read) {
  const [index, oldSize] = [Math.floor(size / 3), Math.floor(size / 5)]
  const root = await rootAt(size, read)
  await verifyInclusion({ leafHash: leaf, index, size, root, proof: await inclusionProof(index, size, read) })
  const oldRoot = await rootAt(oldSize, read)
  await verifyConsistency({ oldSize, oldRoot, newSize: size, newRoot: root, proof: await consistencyProof(oldSize, size, read) })
}
