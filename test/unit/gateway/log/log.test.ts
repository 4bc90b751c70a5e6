import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkpointSigner, type NewEntry, TransparencyLog } from '../../../../src/gateway/log/index.ts'
import { openStore, type Store } from '../../../../src/gateway/store/open-store.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { commitmentOf } from '../../../../src/verify/documents/leaf.ts'
import { parseCheckpoint, verifyCheckpoint, verifyConsistency, verifyEntry, verifyInclusion } from '../../../../src/verify/tlog/index.ts'
import { testBytes, testKey } from '../../../support/keys.ts'
import { TestClock } from '../../../support/test-clock.ts'
import { CommitFaults } from '../faults.ts'

const T0 = 1_780_000_000
const ORIGIN = 'log.example/sealgate'
const signer = await checkpointSigner({ ...testKey('log').jwk, origin: ORIGIN })
const policy = { log: { origin: ORIGIN, key: signer.verifierKey }, witnessing: { mode: 'none' } } as const
const trust = { ...policy.log, witnessing: policy.witnessing }

let folder: string
let clock: TestClock
let faults: CommitFaults
let store: Store
let log: TransparencyLog

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-log-'))
  clock = new TestClock(T0)
  faults = new CommitFaults()
  await open()
})
afterEach(async () => {
  await log.close()
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

async function open(): Promise<void> {
  store = await openStore(folder, { wrap: faults.wrap })
  log = await TransparencyLog.open(store.db, signer, clock, headPath())
}

const headPath = (): string => join(folder, 'log.head')

async function reopen(): Promise<void> {
  await log.close()
  await store.close()
  await open()
}

async function entry(label: string, tags: readonly string[] = [], also?: NewEntry['also']): Promise<NewEntry & { opening: Uint8Array }> {
  const salt = testBytes(`salt ${label}`, 32)
  const opening = testBytes(`opening ${label}`, 100)
  const leaf = { v: 1, type: 'onboard', commitment: await commitmentOf(salt, opening), tags, ends: [], deadline: null } as const
  return { leaf, salt, opening, ...(also === undefined ? {} : { also }) }
}

const tag = (label: string): string => toBase64Url(testBytes(`tag ${label}`, 32))

describe('append', () => {
  it('answers an entry that verifies under the log key, with the time of the gateway clock', async () => {
    const wanted = await entry('a')
    const logged = await log.append(wanted)
    const verified = await verifyEntry({ ...logged, opening: wanted.opening }, policy)
    expect(verified).toMatchObject({ index: 0, leafHash: logged.leafHash, checkpoint: { size: 1, time: T0 } })
  })

  it('answers the same entry for ever, whatever comes later', async () => {
    const first = await log.append(await entry('a'))
    for (const label of ['b', 'c', 'd']) await log.append(await entry(label))
    await reopen()
    expect(await log.entryAt(0)).toEqual(first)
  })

  const LABELS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  it('puts entries that come together under one checkpoint', async () => {
    const entries = await Promise.all(LABELS.map(async (label) => log.append(await entry(label))))
    expect(entries.map((e) => e.index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(new Set(entries.map((e) => e.checkpoint)).size).toBeLessThan(8)
    for (const [i, logged] of entries.entries()) {
      const { opening } = await entry(LABELS[i] ?? '')
      await verifyEntry({ ...logged, opening }, policy)
    }
  })

  it('refuses a tag that the log holds already, and keeps nothing of that entry', async () => {
    await log.append(await entry('a', [tag('1')]))
    await expect(log.append(await entry('b', [tag('1')]))).rejects.toMatchObject({ code: 'GRANT_USED' })
    await expect(log.append(await entry('c', [tag('0'), tag('1')].sort()))).rejects.toMatchObject({ code: 'GRANT_USED' })
    expect((await log.append(await entry('d', [tag('0')]))).index).toBe(1)
  })

  it('refuses the second of two equal tags in one batch, and takes the rest', async () => {
    const attempts = [entry('a', [tag('1')]), entry('b', [tag('1')]), entry('c', [tag('2')])]
    const results = await Promise.allSettled(attempts.map(async (e) => log.append(await e)))
    expect(results.map((r) => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await log.leaves(0, 10)).toHaveLength(2)
    await reopen()
  })

  it('writes what belongs to an entry with it, or neither', async () => {
    const also: NewEntry['also'] = async (tx) => {
      await tx.insertInto('use_slots').values({ grant_digest: 'g', k: 0, job_id: 'j' }).execute()
    }
    const refusing: NewEntry['also'] = async (tx, place) => {
      await also(tx, place)
      throw new Error('changed my mind')
    }
    await expect(log.append(await entry('a', [], refusing))).rejects.toThrow('changed my mind')
    expect(await log.leaves(0, 10)).toEqual([])
    await log.append(await entry('b', [], also))
    expect(await store.db.selectFrom('use_slots').selectAll().execute()).toHaveLength(1)
  })

  it.each(['before', 'after'] as const)('answers nobody when the disk fails %s the commit, and goes on soundly after', async (fault) => {
    await log.append(await entry('a', [tag('1')]))
    faults.arm(fault)
    await expect(log.append(await entry('b', [tag('2')]))).rejects.toThrow('the disk failed')
    await reopen()
    const size = fault === 'after' ? 2 : 1
    expect(await log.leaves(0, 10)).toHaveLength(size)
    const again = log.append(await entry('b again', [tag('2')]))
    if (fault === 'after') await expect(again).rejects.toMatchObject({ code: 'GRANT_USED' })
    else expect((await again).index).toBe(1)
    const checkpoint = await verifyCheckpoint(await log.checkpoint(), trust)
    expect(checkpoint.size).toBe(2)
  })

  it.each(['before', 'after'] as const)('goes on in the same process when the disk failed %s the commit', async (fault) => {
    faults.arm(fault)
    await expect(log.append(await entry('a'))).rejects.toThrow('the disk failed')
    const wanted = await entry('b')
    const logged = await log.append(wanted)
    await verifyEntry({ ...logged, opening: wanted.opening }, policy)
    await reopen()
  })
})

describe('time', () => {
  it('signs nothing when the clock went back before the newest checkpoint', async () => {
    await log.append(await entry('a'))
    clock.set(T0 - 1)
    await expect(log.append(await entry('b'))).rejects.toMatchObject({ code: 'LOG_STALE' })
    clock.set(T0)
    await log.append(await entry('c'))
  })

  it('keeps to that across a restart', async () => {
    await log.append(await entry('a'))
    clock.set(T0 - 3600)
    await reopen()
    await expect(log.append(await entry('b'))).rejects.toMatchObject({ code: 'LOG_STALE' })
  })

  it('signs a fresh checkpoint when the last one has grown old, and none when it has not', async () => {
    await log.append(await entry('a'))
    const young = await log.checkpoint()
    expect(await log.checkpoint()).toBe(young)
    clock.advance(60)
    const { size, time } = await verifyCheckpoint(await log.checkpoint(), trust)
    expect({ size, time }).toEqual({ size: 1, time: T0 + 60 })
  })

  it('does not grow by being watched, and keeps the checkpoints that entries are proven under', async () => {
    const first = await log.append(await entry('a'))
    for (let i = 0; i < 5; i++) {
      clock.advance(60)
      await log.checkpoint()
    }
    const second = await log.append(await entry('b'))
    clock.advance(60)
    await log.checkpoint()
    const rows = await store.db.selectFrom('log_checkpoints').select('size').orderBy('id').execute()
    expect(rows.map((row) => row.size)).toEqual([1, 1, 2, 2])
    await reopen()
    expect([await log.entryAt(0), await log.entryAt(1)]).toEqual([first, second])
  })

  it('signs a checkpoint of the empty log', async () => {
    expect((await verifyCheckpoint(await log.checkpoint(), trust)).size).toBe(0)
  })
})

describe('proofs', () => {
  it('hold for every leaf in every later tree, and between every two trees', async () => {
    const roots = new Map<number, Uint8Array>()
    for (let i = 0; i < 20; i++) {
      const { root, size } = parseCheckpoint((await log.append(await entry(`leaf ${i}`))).checkpoint)
      roots.set(size, root)
    }
    const root = (size: number): Uint8Array => roots.get(size) ?? new Uint8Array()
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), async (a, b) => {
        const [oldSize, newSize] = [Math.min(a, b), Math.max(a, b)]
        const proof = await log.consistencyProof(oldSize, newSize)
        await verifyConsistency({ oldSize, oldRoot: root(oldSize), newSize, newRoot: root(newSize), proof })
        const index = oldSize - 1
        const { leafHash } = await log.entryAt(index)
        const leaf = new Uint8Array(Buffer.from(leafHash, 'base64url'))
        await verifyInclusion({
          leafHash: leaf,
          index,
          size: newSize,
          root: root(newSize),
          proof: await log.inclusionProof(index, newSize),
        })
      }),
      { numRuns: 60 },
    )
  })

  it('are refused for trees that do not exist yet', async () => {
    await log.append(await entry('a'))
    await expect(log.inclusionProof(0, 2)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(log.consistencyProof(1, 2)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(log.entryAt(1)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})

describe('a stored log that contradicts itself', () => {
  beforeEach(async () => {
    for (let i = 0; i < 5; i++) await log.append(await entry(`leaf ${i}`))
  })

  it.each([
    ['a leaf is changed', sql`update log_leaves set leaf = x'00' where idx = 4`],
    ['a leaf hash is changed', sql`update log_leaves set hash = zeroblob(32) where idx = 1`],
    ['a leaf is gone', sql`delete from log_leaves where idx = 4`],
    ['a leaf is added', sql`insert into log_leaves select 5, leaf, zeroblob(32), checkpoint_id from log_leaves where idx = 4`],
    ['a node is changed', sql`update log_nodes set hash = zeroblob(32) where level = 2 and idx = 0`],
    ['a node below the root is changed', sql`update log_nodes set hash = zeroblob(32) where level = 0 and idx = 2`],
    ['a node is gone', sql`delete from log_nodes where level = 0 and idx = 4`],
    ['the newest checkpoint is gone', sql`delete from log_checkpoints where id = 5`],
    ['every checkpoint is gone', sql`delete from log_checkpoints`],
    [
      'the note of a checkpoint is replaced',
      sql`update log_checkpoints set note = (select note from log_checkpoints where id = 4) where id = 5`,
    ],
    ['the time of a checkpoint is set back', sql`update log_checkpoints set time = time - 100 where id = 5`],
  ])('is not gone on with when %s', async (_what, damage) => {
    await damage.execute(store.db)
    await store.close()
    store = await openStore(folder)
    await expect(TransparencyLog.open(store.db, signer, clock, headPath())).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
  })

  it('is not gone on with under another key', async () => {
    const other = await checkpointSigner({ ...testKey('other').jwk, origin: ORIGIN })
    await expect(TransparencyLog.open(store.db, other, clock, headPath())).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
  })
})
