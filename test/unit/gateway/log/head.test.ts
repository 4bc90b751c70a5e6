import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { examineLog, type GatewayConfig, renewHead } from '../../../../src/gateway/index.ts'
import { HeadFile } from '../../../../src/gateway/log/head-file.ts'
import { checkpointSigner, type HeadCalls, type NewEntry, TransparencyLog } from '../../../../src/gateway/log/index.ts'
import { openStore, type Store } from '../../../../src/gateway/store/open-store.ts'
import { commitmentOf } from '../../../../src/verify/documents/leaf.ts'
import { parseCheckpoint, verifyEntry } from '../../../../src/verify/tlog/index.ts'
import { testBytes, testKey } from '../../../support/keys.ts'
import { TestClock } from '../../../support/test-clock.ts'
import { CommitFaults } from '../faults.ts'

const T0 = 1_780_000_000
const ORIGIN = 'log.example/sealgate'
const signer = await checkpointSigner({ ...testKey('log').jwk, origin: ORIGIN })
const policy = { log: { origin: ORIGIN, key: signer.verifierKey }, witnessing: { mode: 'none' } } as const

type Call = keyof HeadCalls
/** What reached the disk when a call failed: nothing, all of it, or (of a write) its first half. */
type Fault = 'before' | 'after' | 'torn'

/** Disk calls whose next one of a kind can be made to fail. */
class HeadFaults implements HeadCalls {
  #next: { readonly call: Call; readonly fault: Fault } | null = null

  arm(call: Call, fault: Fault): void {
    this.#next = { call, fault }
  }

  write: HeadCalls['write'] = (handle, bytes, position) =>
    this.#run('write', async (fault) => {
      const part = fault === 'torn' ? bytes.subarray(0, bytes.indexOf(0) >> 1) : bytes
      await handle.write(part, 0, part.length, position)
    })

  sync: HeadCalls['sync'] = (handle) => this.#run('sync', () => handle.datasync())

  rename: HeadCalls['rename'] = (from, to) => this.#run('rename', () => rename(from, to))

  async #run(call: Call, work: (fault: Fault | null) => Promise<void>): Promise<void> {
    const fault = this.#next?.call === call ? this.#next.fault : null
    if (fault !== null) this.#next = null
    if (fault !== 'before') await work(fault)
    if (fault !== null) throw new Error(`the disk failed ${fault} the ${call}`)
  }
}

let folder: string
let clock: TestClock
let faults: HeadFaults
let commits: CommitFaults
let store: Store
let log: TransparencyLog

const path = (name: string): string => join(folder, name)
const head = (): string => path('log.head')

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-head-'))
  clock = new TestClock(T0)
  faults = new HeadFaults()
  commits = new CommitFaults()
  await open()
})
afterEach(async () => {
  await stop()
  rmSync(folder, { recursive: true, force: true })
})

async function open(): Promise<void> {
  store = await openStore(folder, { wrap: commits.wrap })
  try {
    log = await TransparencyLog.open(store.db, signer, clock, head(), faults)
  } catch (error) {
    await store.close()
    throw error
  }
}

async function stop(): Promise<void> {
  await log.close()
  await store.close()
}

async function reopen(): Promise<void> {
  await stop()
  await open()
}

async function entry(label: string): Promise<NewEntry> {
  const salt = testBytes(`salt ${label}`, 32)
  const opening = testBytes(`opening ${label}`, 100)
  const leaf = { v: 1, type: 'onboard', commitment: await commitmentOf(salt, opening), tags: [], ends: [], deadline: null } as const
  return { leaf, salt, opening }
}

async function fill(...labels: readonly string[]): Promise<void> {
  for (const label of labels) await log.append(await entry(label))
}

/** What a backup of the database, taken while the gateway was down, holds. */
async function backUp(name: string): Promise<void> {
  await stop()
  copyFileSync(path('gateway.db'), path(name))
  await open()
}

async function restore(name: string): Promise<void> {
  await stop()
  copyFileSync(path(name), path('gateway.db'))
}

const headSize = async (): Promise<number> => {
  const file = await HeadFile.open(head(), signer)
  await file?.close()
  return file?.current.size ?? -1
}
const storedSize = async (): Promise<number> => (await store.db.selectFrom('log_leaves').select('idx').execute()).length

describe('a database that is not the newest', () => {
  const refused = (message: RegExp): unknown =>
    expect.objectContaining({ code: 'LOG_ROLLED_BACK', message: expect.stringMatching(message) })

  it('is refused when an older copy was restored', async () => {
    await fill('a', 'b', 'c')
    await backUp('old.db')
    await fill('d')
    await restore('old.db')
    await expect(open()).rejects.toEqual(refused(/holds 3 entries, but 4 were handed out/))
  })

  it('is refused again and again, and the newest one is taken', async () => {
    await fill('a')
    await backUp('old.db')
    await fill('b')
    await backUp('new.db')
    await restore('old.db')
    await expect(open()).rejects.toEqual(refused(/older copy/))
    await expect(open()).rejects.toEqual(refused(/older copy/))
    copyFileSync(path('new.db'), path('gateway.db'))
    await open()
    expect(log.size).toBe(2)
  })

  it('is refused when the database is gone', async () => {
    await fill('a')
    await stop()
    rmSync(path('gateway.db'))
    await expect(open()).rejects.toEqual(refused(/holds 0 entries, but 1 were handed out/))
  })

  it('is refused when only an empty checkpoint was handed out and the database is gone', async () => {
    await log.checkpoint()
    await stop()
    rmSync(path('gateway.db'))
    await expect(open()).rejects.toEqual(refused(/checkpoints of its log were handed out/))
  })

  it('is refused when an older copy was gone on with elsewhere: a fork of the same size, and a longer one', async () => {
    await fill('a', 'b')
    await backUp('old.db')
    await fill('c')
    await stop()
    copyFileSync(head(), path('honest.head'))
    copyFileSync(path('old.db'), path('gateway.db'))
    rmSync(head())
    // Somebody without the head file forges what a log of this key would be.
    store = await openStore(folder)
    const forger = { ...signer }
    await HeadFile.create(head(), forger).then((file) => file.close())
    log = await TransparencyLog.open(store.db, signer, clock, head())
    await fill('x')
    await backUp('fork.db')
    await fill('y')
    await stop()
    copyFileSync(path('honest.head'), head())
    await expect(open()).rejects.toEqual(refused(/another history than the 3 entries/))
    copyFileSync(path('fork.db'), path('gateway.db'))
    await expect(open()).rejects.toEqual(refused(/another history than the 3 entries/))
  })

  it('is refused when nothing but renewed checkpoints is missing: the clock that was promised is', async () => {
    await fill('a')
    await backUp('old.db')
    clock.advance(60)
    await log.checkpoint()
    await restore('old.db')
    await expect(open()).rejects.toEqual(refused(/newest checkpoint of the database is older/))
  })

  it('is refused when the head file is missing', async () => {
    await fill('a')
    await stop()
    rmSync(head())
    await expect(open()).rejects.toEqual(refused(/log\.head is missing/))
  })

  describe('seen by the doctor', () => {
    const key = { ...testKey('log').jwk, origin: ORIGIN }
    const config = { log: { headFile: '../log.head' } } as unknown as GatewayConfig
    const gateway = (): string => path('gw')
    const examined = async (): Promise<unknown> => {
      // The store of these tests lies where that of a gateway in `gw` would.
      mkdirSync(join(gateway(), 'data'), { recursive: true })
      if (existsSync(path('gateway.db'))) copyFileSync(path('gateway.db'), join(gateway(), 'data/gateway.db'))
      return examineLog(gateway(), config, key)
    }

    it('is told, and a sound one is not touched', async () => {
      await fill('a', 'b')
      await backUp('old.db')
      await fill('c')
      await stop()
      expect(await examined()).toEqual({ entries: 3, time: T0 })
      copyFileSync(path('old.db'), path('gateway.db'))
      await expect(examined()).rejects.toEqual(refused(/older copy/))
      await expect(renewHead(gateway(), config, key)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
    })

    it('is told when the database is gone, and that a new gateway has no log yet', async () => {
      await fill('a')
      await stop()
      rmSync(path('gateway.db'))
      await expect(examined()).rejects.toEqual(refused(/gateway\.db is gone/))
      rmSync(head())
      expect(await examined()).toEqual({ entries: 0, time: null })
    })

    it('can be taken for the newest one, by name, when the head file is lost or damaged', async () => {
      await fill('a', 'b')
      await stop()
      rmSync(head())
      await expect(examined()).rejects.toEqual(refused(/log\.head is missing/))
      expect(await renewHead(gateway(), config, key)).toEqual({ entries: 2, time: T0 })
      expect(await examined()).toEqual({ entries: 2, time: T0 })
      writeFileSync(head(), 'x')
      await renewHead(gateway(), config, key)
      await open()
      expect([await headSize(), log.size]).toEqual([2, 2])
    })
  })
})

describe('a damaged head file', () => {
  const corrupt = expect.objectContaining({ code: 'LOG_CORRUPT' })
  const flip = (...offsets: readonly number[]): void => {
    const bytes = readFileSync(head())
    for (const at of offsets) bytes[at] = (bytes[at] ?? 0) ^ 1
    writeFileSync(head(), bytes)
  }

  it('is refused when neither slot is whole', async () => {
    await fill('a', 'b')
    await stop()
    flip(30, 4096 + 30)
    await expect(open()).rejects.toEqual(corrupt)
  })

  it('is refused when it was cut, emptied, or is no file of ours', async () => {
    await fill('a')
    await stop()
    const whole = readFileSync(head())
    truncateSync(head(), 4096)
    await expect(open()).rejects.toEqual(corrupt)
    writeFileSync(head(), '')
    await expect(open()).rejects.toEqual(corrupt)
    writeFileSync(head(), Buffer.concat([whole, Buffer.alloc(1)]))
    await expect(open()).rejects.toEqual(corrupt)
    writeFileSync(head(), Buffer.alloc(8192))
    await expect(open()).rejects.toEqual(corrupt)
  })

  it('is refused when another key signed it', async () => {
    await fill('a')
    await stop()
    rmSync(head())
    const other = await checkpointSigner({ ...testKey('other').jwk, origin: ORIGIN })
    await (await HeadFile.create(head(), other)).close()
    await expect(open()).rejects.toEqual(corrupt)
  })

  it('still knows the head before, when one slot is spoiled: a flipped bit anywhere in the newest one', async () => {
    await fill('a', 'b', 'c')
    await stop()
    const whole = readFileSync(head())
    const slot = [0, 4096].find((at) => parseCheckpoint(noteAt(whole, at)).size === 3) ?? 0
    for (let at = slot; at < slot + 4096; at += 61) {
      writeFileSync(head(), whole)
      flip(at)
      expect(await headSize()).toBe(2)
    }
    await open()
    expect([await headSize(), log.size]).toEqual([3, 3])
  })

  const noteAt = (bytes: Buffer, at: number): string => bytes.subarray(at, bytes.indexOf(0, at)).toString()
})

describe('a disk that fails at the head', () => {
  const WRITES: readonly (readonly [Call, Fault])[] = [
    ['write', 'before'],
    ['write', 'torn'],
    ['write', 'after'],
    ['sync', 'before'],
    ['sync', 'after'],
  ]

  it.each(WRITES)('costs an answer and no entry: %s, %s', async (call, fault) => {
    await fill('a', 'b')
    faults.arm(call, fault)
    await expect(log.append(await entry('c'))).rejects.toThrow('the disk failed')
    // A crash now: the next start finds the database ahead, or on a par, and goes on from there.
    expect(await headSize()).toBeLessThanOrEqual(await storedSize())
    await reopen()
    expect([await headSize(), await storedSize(), log.size]).toEqual([3, 3, 3])
    await verifyEntry({ ...(await log.entryAt(2)), opening: (await entry('c')).opening }, policy)
    await fill('d')
    expect(await headSize()).toBe(4)
  })

  it.each(WRITES)('shows nobody what the head does not know, until it does: %s, %s', async (call, fault) => {
    await fill('a')
    const known = await log.checkpoint()
    faults.arm(call, fault)
    await expect(log.append(await entry('b'))).rejects.toThrow('the disk failed')
    expect([log.size, (await log.leaves(0, 10)).length, await log.checkpoint()]).toEqual([1, 1, known])
    await expect(log.inclusionProof(1, 2)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    // Whoever asks for the entry again gets it with a head that is durable.
    await verifyEntry({ ...(await log.entryAt(1)), opening: (await entry('b')).opening }, policy)
    expect([await headSize(), log.size]).toEqual([2, 2])
  })

  it.each(WRITES)('does not keep the next entry from being answered: %s, %s', async (call, fault) => {
    faults.arm(call, fault)
    await expect(log.append(await entry('a'))).rejects.toThrow('the disk failed')
    expect((await log.append(await entry('b'))).index).toBe(1)
    await reopen()
    expect([await headSize(), log.size]).toEqual([2, 2])
  })

  it.each<readonly [Call, Fault]>([...WRITES.filter(([call]) => call === 'write'), ['rename', 'before'], ['rename', 'after']])(
    'does not spoil a log that begins: %s, %s',
    async (call, fault) => {
      await stop()
      rmSync(path('gateway.db'))
      rmSync(head())
      faults.arm(call, fault)
      await expect(open()).rejects.toThrow('the disk failed')
      expect(existsSync(head())).toBe(call === 'rename' && fault === 'after')
      await open()
      await fill('a')
      expect(await headSize()).toBe(1)
    },
  )

  it.each<readonly [Call, Fault]>(WRITES)('does not spoil the catching up at a start: %s, %s', async (call, fault) => {
    await fill('a')
    faults.arm('sync', 'before')
    await expect(log.append(await entry('b'))).rejects.toThrow('the disk failed')
    await stop()
    const bytes = readFileSync(head())
    // As after a crash in which the slot did not reach the disk.
    const at = bytes.subarray(0, 4096).includes(`${ORIGIN}\n2\n`) ? 0 : 4096
    bytes.fill(0, at, at + 4096)
    writeFileSync(head(), bytes)
    faults.arm(call, fault)
    await expect(open()).rejects.toThrow('the disk failed')
    await open()
    expect([await headSize(), log.size]).toEqual([2, 2])
  })

  it('says so when there is no space, or no folder to put it into', async () => {
    const full: HeadCalls = {
      sync: faults.sync,
      rename: faults.rename,
      write: () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })),
    }
    await stop()
    store = await openStore(folder)
    log = await TransparencyLog.open(store.db, signer, clock, head(), full)
    await expect(log.append(await entry('a'))).rejects.toMatchObject({ code: 'DISK_FULL' })
    await stop()
    rmSync(path('gateway.db'))
    store = await openStore(folder)
    const nowhere = TransparencyLog.open(store.db, signer, clock, path('not-mounted/log.head'))
    await expect(nowhere).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })

  it('never leads the database and never loses what was answered, whatever fails in whatever order', async () => {
    const step = fc.oneof(
      fc.constant({ do: 'append' as const }),
      fc.record({ do: fc.constant('commit' as const), fault: fc.constantFrom('before' as const, 'after' as const) }),
      fc.constantFrom(...WRITES.map(([call, fault]) => ({ do: 'head' as const, call, fault }))),
      fc.constant({ do: 'restart' as const }),
    )
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        await stop()
        rmSync(path('gateway.db'))
        rmSync(head())
        await open()
        const answered = new Map<number, string>()
        for (const [i, s] of steps.entries()) {
          if (s.do === 'commit') commits.arm(s.fault)
          if (s.do === 'head') faults.arm(s.call, s.fault)
          if (s.do === 'restart') await reopen().catch(open)
          const label = `run ${run} step ${i}`
          await log.append(await entry(label)).then(
            ({ index }) => answered.set(index, label),
            () => undefined,
          )
          expect(await headSize()).toBeLessThanOrEqual(await storedSize())
        }
        run++
        await reopen().catch(open)
        for (const [index, label] of answered) {
          await verifyEntry({ ...(await log.entryAt(index)), opening: (await entry(label)).opening }, policy)
        }
      }),
      { numRuns: 12, seed: 3 },
    )
  }, 60_000)
})
