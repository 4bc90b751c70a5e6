import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { type ConsistencySource, type KnownLog, LogMemory } from '../../../src/client/index.ts'
import { commitmentOf, encodeLeaf } from '../../../src/verify/documents/leaf.ts'
import { consistencyProof, leafHash } from '../../../src/verify/tlog/index.ts'
import { logKey, ORIGIN, log as signer, T0 } from '../../support/job-documents.ts'
import { noteSigner } from '../../support/keys.ts'
import { storeTree, TestLog } from '../../support/log.ts'
import { temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const known: KnownLog = { origin: ORIGIN, key: logKey }
let memory: LogMemory
let runs = 0

beforeEach(() => {
  const own = join(folder, String(runs++))
  mkdirSync(own)
  memory = new LogMemory(own)
})

async function logOf(size: number): Promise<TestLog> {
  const log = new TestLog(signer)
  await log.fill(size)
  return log
}

/** Another history of the same log: its first entry differs. */
async function otherLogOf(size: number): Promise<TestLog> {
  const log = new TestLog(signer)
  await log.append({ type: 'onboard', tags: [], ends: [], deadline: null }, new Uint8Array(32), new Uint8Array([1]))
  await log.fill(size - 1)
  return log
}

/** Honest answers about logs made by {@link logOf}. */
const proofs: ConsistencySource = async (oldSize, newSize) => {
  const filler = async (i: number): Promise<Uint8Array> => {
    const text = new TextEncoder().encode(`filler ${i}`)
    return leafHash(encodeLeaf({ v: 1, type: 'onboard', tags: [], ends: [], deadline: null, commitment: await commitmentOf(text, text) }))
  }
  const { read } = await storeTree(await Promise.all(Array.from({ length: newSize }, (_, i) => filler(i))))
  return consistencyProof(oldSize, newSize, read)
}
const unasked: ConsistencySource = () => Promise.reject(new Error('no proof should be asked for'))
const refused = expect.objectContaining({ code: 'LOG_PROOF_INVALID' })

describe('log memory', () => {
  it('takes a first checkpoint, the same again, and a longer one that is consistent', async () => {
    const log = await logOf(5)
    expect((await memory.accept(known, await log.checkpoint(T0), 'current', unasked)).size).toBe(5)
    await memory.accept(known, await log.checkpoint(T0 + 1), 'current', unasked)
    await log.fill(4)
    expect((await memory.accept(known, await log.checkpoint(T0 + 2), 'current', proofs)).size).toBe(9)
  })

  it('rejects a rollback, and still does so in a new process', async () => {
    const log = await logOf(5)
    const old = await log.checkpoint(T0)
    await log.fill(3)
    await memory.accept(known, await log.checkpoint(T0 + 1), 'current', unasked)
    await expect(memory.accept(known, old, 'current', proofs)).rejects.toEqual(refused)
    await expect(new LogMemory(join(folder, String(runs - 1))).accept(known, old, 'current', proofs)).rejects.toEqual(refused)
  })

  it('takes an older checkpoint of a receipt if it is of the same history, and remembers the newer one', async () => {
    const log = await logOf(5)
    const old = await log.checkpoint(T0)
    await log.fill(3)
    await memory.accept(known, await log.checkpoint(T0 + 1), 'current', unasked)
    expect((await memory.accept(known, old, 'any', proofs)).size).toBe(5)
    await expect(memory.accept(known, old, 'current', proofs)).rejects.toEqual(refused)
  })

  it.each([5, 7, 3])('rejects a split view: another history with %i entries', async (size) => {
    await memory.accept(known, await (await logOf(5)).checkpoint(T0), 'current', unasked)
    await expect(memory.accept(known, await (await otherLogOf(size)).checkpoint(T0 + 1), 'any', proofs)).rejects.toEqual(refused)
  })

  it('rejects whatever the gateway makes up for a proof', async () => {
    await memory.accept(known, await (await logOf(5)).checkpoint(T0), 'current', unasked)
    const longer = await (await logOf(9)).checkpoint(T0 + 1)
    const made: ConsistencySource = async (a, b) => (await proofs(a, b)).map(() => new Uint8Array(32))
    await expect(memory.accept(known, longer, 'current', made)).rejects.toEqual(refused)
    await expect(memory.accept(known, longer, 'current', () => Promise.resolve([]))).rejects.toEqual(refused)
  })

  it('rejects a checkpoint that another key signed', async () => {
    const forged = new TestLog(noteSigner(ORIGIN, 'thief'))
    await forged.fill(5)
    const rejected = expect.objectContaining({ code: 'LOG_CHECKPOINT_INVALID' })
    await expect(memory.accept(known, await forged.checkpoint(T0), 'current', unasked)).rejects.toEqual(rejected)
  })
})
