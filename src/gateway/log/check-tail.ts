import { equal } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { inclusionProof, leafHash, rootAt, verifyCheckpoint, verifyInclusion } from '../../verify/tlog/index.ts'
import type { Database } from '../store/open-store.ts'
import { checkOpenings } from './check-openings.ts'
import { nodeReader } from './nodes.ts'
import type { CheckpointSigner } from './signer.ts'

/** Leaves that are hashed again at each start. The whole log is the work of `log verify`. */
const TAIL = 256

/**
 * Holds the end of the stored log against its newest signed checkpoint: signature, size, root, and the last leaves with
 * their paths and openings. A log that contradicts itself must not be gone on with: what it signs next would be a fork.
 * @throws AttestError `LOG_CORRUPT`.
 */
export async function checkTail(db: Database, signer: CheckpointSigner): Promise<void> {
  try {
    await check(db, signer)
  } catch (cause) {
    if (cause instanceof AttestError && cause.code === 'LOG_CORRUPT') throw cause
    throw new AttestError('LOG_CORRUPT', 'the stored log does not agree with its signed checkpoint', { cause })
  }
}

async function check(db: Database, signer: CheckpointSigner): Promise<void> {
  const last = await db.selectFrom('log_checkpoints').selectAll().orderBy('id', 'desc').limit(1).executeTakeFirst()
  const stored = await countLeaves(db)
  if (last === undefined) {
    if (stored > 0) throw corrupt('leaves without a checkpoint')
    return
  }
  const trust = { origin: signer.origin, key: signer.verifierKey, witnessing: { mode: 'none' } } as const
  const { size, root, time } = await verifyCheckpoint(last.note, trust)
  if (size !== last.size || time !== last.time || size !== stored) throw corrupt(`${stored} leaves under a checkpoint of ${size}`)
  const read = nodeReader(db)
  if (!equal(await rootAt(size, read), root)) throw corrupt('the tree has another root than the one that was signed')
  const tail = await db.selectFrom('log_leaves').selectAll().orderBy('idx', 'desc').limit(TAIL).execute()
  for (const row of tail) {
    const hash = await leafHash(row.leaf)
    if (!equal(hash, row.hash)) throw corrupt(`leaf ${row.idx} has another hash`)
    await verifyInclusion({ leafHash: hash, index: row.idx, size, root, proof: await inclusionProof(row.idx, size, read) })
  }
  await checkOpenings(db, tail)
}

async function countLeaves(db: Database): Promise<number> {
  const { leaves } = await db
    .selectFrom('log_leaves')
    .select((eb) => eb.fn.countAll<number>().as('leaves'))
    .executeTakeFirstOrThrow()
  return leaves
}

function corrupt(message: string): AttestError {
  return new AttestError('LOG_CORRUPT', message, { at: 'log' })
}
