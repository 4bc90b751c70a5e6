import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import {
  type KnownLog,
  LogMemory,
  LogMonitor,
  type LogSource,
  type MonitorOptions,
  type MonitorPass,
  type Owner,
  OwnReleases,
} from '../../../src/client/index.ts'
import { Secret } from '../../../src/seal/index.ts'
import { toBase64Url } from '../../../src/verify/bytes/bytes.ts'
import { commitmentOf, type Leaf } from '../../../src/verify/documents/leaf.ts'
import { useSlotTag } from '../../../src/verify/documents/use-slot.ts'
import { AttestError } from '../../../src/verify/errors.ts'
import { consistencyProof, inclusionProof, leafHash, tileNodeReader } from '../../../src/verify/tlog/index.ts'
import { logKey, ORIGIN, log as signer, T0 } from '../../support/job-documents.ts'
import { noteSigner, testBytes } from '../../support/keys.ts'
import { storeTree, TestLog } from '../../support/log.ts'
import { tileServer } from '../../support/tiles.ts'
import { freshOwner, temporaryFolder } from './support.ts'

const root = temporaryFolder()
const known: KnownLog = { origin: ORIGIN, key: logKey }
const b64 = (label: string): string => toBase64Url(testBytes(label, 32))
const instant = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')

let folder: string
let runs = 0
let owner: Owner
let grant: string
let useKey: Uint8Array

beforeEach(async () => {
  folder = join(root, `run-${runs++}`)
  mkdirSync(folder)
  owner = await freshOwner(root)
  grant = b64(`grant ${runs}`)
  useKey = testBytes(`use key ${runs}`, 32)
  await owner.keyring.putGrant(grant, new Secret(useKey.slice()), 5)
})

/** Honest answers of a log, its checkpoint of time `time`. */
function sourceOf(log: TestLog, time: number = T0): LogSource {
  const read = async (size: number): Promise<Awaited<ReturnType<typeof storeTree>>['read']> =>
    (await storeTree(await Promise.all(log.leaves.slice(0, size).map(leafHash)))).read
  return {
    name: 'the test',
    checkpoint: () => log.checkpoint(time),
    inclusionProof: async (index, size) => inclusionProof(index, size, await read(size)),
    consistencyProof: async (from, to) => consistencyProof(from, to, await read(to)),
    leaves: (start, size) => Promise.resolve(log.leaves.slice(start, size)),
  }
}

function monitorOf(source: LogSource, options: Partial<MonitorOptions> = {}): LogMonitor {
  const own = new OwnReleases(owner)
  return new LogMonitor({
    log: known,
    source,
    memory: new LogMemory(folder),
    others: [],
    own,
    maxAgeSeconds: 3600,
    now: () => T0,
    ...options,
  })
}

async function release(log: TestLog, label: string, changes: Partial<Leaf> & { readonly record?: boolean } = {}): Promise<number> {
  const [salt, opening] = [testBytes(`salt ${label}`, 32), testBytes(label, 32)]
  const { record = false, ...leaf } = changes
  if (record) await owner.releases.put({ commitment: await commitmentOf(salt, opening), job: b64('job'), slots: [{ grant, k: 0 }] })
  return log.append({ type: 'release', tags: [b64(label)], ends: [], deadline: instant(T0 + 600), ...leaf }, salt, opening)
}

const ending = async (log: TestLog, of: number): Promise<number> => {
  const hash = toBase64Url(await leafHash(log.leaves[of] as Uint8Array))
  return log.append({ type: 'execution', tags: [], ends: [hash], deadline: null }, testBytes('salt', 32), testBytes(`ending ${of}`, 8))
}

const tag = (k: number): Promise<string> => useSlotTag(useKey, k)
const kinds = ({ findings, forks }: MonitorPass): readonly string[] => [...forks, ...findings].map((f) => f.kind)

describe('a log in order', () => {
  it('yields nothing, pass after pass, and each entry is read once', async () => {
    const log = new TestLog(signer)
    await log.fill(10)
    const monitor = monitorOf(sourceOf(log))
    expect(await monitor.pass()).toEqual({ size: 10, time: T0, read: 10, ownReleases: 0, findings: [], forks: [], missing: [] })
    await ending(log, await release(log, 'a'))
    expect(await monitor.pass()).toMatchObject({ size: 12, read: 2, findings: [] })
    expect(await monitor.pass()).toMatchObject({ size: 12, read: 0, findings: [] })
    expect(monitor.counts).toEqual({ onboard: 10, release: 1, execution: 1 })
  })

  it('may be empty', async () => {
    expect(await monitorOf(sourceOf(new TestLog(signer))).pass()).toMatchObject({ size: 0, read: 0, findings: [], forks: [] })
  })

  it('holds what the owner had logged, and what others did', async () => {
    const log = new TestLog(signer)
    await release(log, 'own', { tags: [await tag(0)], record: true })
    await release(log, 'other')
    expect(await monitorOf(sourceOf(log)).pass()).toMatchObject({ ownReleases: 1, findings: [] })
  })

  it('is read from tiles as well', async () => {
    const log = new TestLog(signer)
    await log.fill(300)
    const { fetch } = await tileServer(log.leaves)
    const tiled: LogSource = {
      ...sourceOf(log),
      consistencyProof: (from, to) => consistencyProof(from, to, tileNodeReader(to, fetch)),
    }
    await new LogMemory(folder).accept(known, await new TestLog(signer).checkpoint(T0), 'any', () => Promise.resolve([]))
    expect(await monitorOf(tiled).pass()).toMatchObject({ read: 300, findings: [], forks: [] })
  })
})

describe('an unexpected release is reported', () => {
  it.each([0, 1, 4])('under slot %i of the own grant, wherever the own counter stands', async (k) => {
    await owner.keyring.spendSlots(grant, 1)
    const log = new TestLog(signer)
    await log.fill(2)
    await release(log, 'thief', { tags: [await tag(k)] })
    expect((await monitorOf(sourceOf(log)).pass()).findings).toEqual([{ kind: 'unexpected-release', index: 2, grant, slot: k }])
  })

  it('when it repeats a slot that the owner used: twice over', async () => {
    const log = new TestLog(signer)
    await release(log, 'own', { tags: [await tag(0)], record: true })
    await release(log, 'thief', { tags: [await tag(0)] })
    const pass = await monitorOf(sourceOf(log)).pass()
    expect(kinds(pass)).toEqual(['double-use', 'unexpected-release'])
    expect(pass.ownReleases).toBe(1)
  })

  it('when the own tag hides among others', async () => {
    const log = new TestLog(signer)
    await release(log, 'thief', { tags: [b64('x'), b64('y'), await tag(2)].sort() })
    expect(kinds(await monitorOf(sourceOf(log)).pass())).toEqual(['unexpected-release'])
  })

  it('for a grant that was made while the monitor ran', async () => {
    const log = new TestLog(signer)
    const monitor = monitorOf(sourceOf(log))
    await monitor.pass()
    const [later, key] = [b64('later'), testBytes('later key', 32)]
    await owner.keyring.putGrant(later, new Secret(key.slice()), 1)
    await release(log, 'thief', { tags: [await useSlotTag(key, 0)] })
    expect((await monitor.pass()).findings).toEqual([{ kind: 'unexpected-release', index: 0, grant: later, slot: 0 }])
  })

  it('once, and not by a monitor without keys', async () => {
    const log = new TestLog(signer)
    await release(log, 'thief', { tags: [await tag(0)] })
    const monitor = monitorOf(sourceOf(log))
    expect(kinds(await monitor.pass())).toHaveLength(1)
    expect(kinds(await monitor.pass())).toHaveLength(0)
    expect(kinds(await monitorOf(sourceOf(log), { own: null }).pass())).toHaveLength(0)
  })
})

describe('what anybody can see is reported', () => {
  it('a slot that is used twice, also in a later pass', async () => {
    const log = new TestLog(signer)
    await release(log, 'a')
    const monitor = monitorOf(sourceOf(log))
    await monitor.pass()
    await release(log, 'b', { tags: [b64('a')] })
    expect((await monitor.pass()).findings).toEqual([{ kind: 'double-use', index: 1, first: 0, tag: b64('a') }])
  })

  it('a release without an ending, once its deadline has passed by the log’s own time', async () => {
    const log = new TestLog(signer)
    await release(log, 'a')
    await ending(log, await release(log, 'b'))
    let time = T0 + 600
    const source = { ...sourceOf(log), checkpoint: () => log.checkpoint(time) }
    const monitor = monitorOf(source)
    expect(kinds(await monitor.pass())).toEqual([])
    time++
    expect((await monitor.pass()).findings).toEqual([{ kind: 'orphan', index: 0, deadline: instant(T0 + 600) }])
    expect(kinds(await monitor.pass())).toEqual([])
  })

  it('an ending of nothing', async () => {
    const log = new TestLog(signer)
    await log.fill(1)
    await ending(log, 0)
    expect(kinds(await monitorOf(sourceOf(log)).pass())).toEqual(['stray-ending'])
  })

  it('a checkpoint that has grown old: entries may be held back', async () => {
    const log = new TestLog(signer)
    const monitor = monitorOf(sourceOf(log, T0 - 4000))
    expect((await monitor.pass()).findings).toEqual([{ kind: 'stale-checkpoint', time: T0 - 4000, ageSeconds: 4000 }])
    expect(kinds(await monitor.pass())).toEqual([])
  })
})

describe('a fork is reported', () => {
  /** Another history of the same log. */
  async function otherLog(size: number): Promise<TestLog> {
    const log = new TestLog(signer)
    await log.append({ type: 'onboard', tags: [], ends: [], deadline: null }, new Uint8Array(32), Uint8Array.of(1))
    await log.fill(size - 1)
    return log
  }
  async function honestLog(size: number): Promise<TestLog> {
    const log = new TestLog(signer)
    await log.fill(size)
    return log
  }

  it.each([3, 5, 8])(
    'when the log shows another history than before, of %i entries, also to a new process: with both notes',
    async (size) => {
      const [honest, other] = [await honestLog(5), await otherLog(size)]
      await monitorOf(sourceOf(honest)).pass()
      const { forks, read } = await monitorOf(sourceOf(other)).pass()
      expect(read).toBe(0)
      expect(forks).toEqual([
        {
          kind: 'fork',
          with: 'what was seen before',
          reason: expect.any(String),
          checkpoints: [await honest.checkpoint(T0), await other.checkpoint(T0)],
        },
      ])
    },
  )

  it('when the log goes back: rolled back, also to a history that is true', async () => {
    await monitorOf(sourceOf(await honestLog(5))).pass()
    const { forks } = await monitorOf(sourceOf(await honestLog(4))).pass()
    expect(forks).toEqual([expect.objectContaining({ reason: 'the log went back from 5 entries to 4' })])
  })

  it('when another copy shows another history: split view', async () => {
    const honest = await honestLog(6)
    for (const [size, reason] of [
      [6, 'two trees of 6 entries'],
      [4, 'the 4 entries there are not the first ones of the 6 here'],
      [9, 'there the log has 9 entries, here it shows 6'],
    ] as const) {
      const other = await otherLog(size)
      const note = await other.checkpoint(T0)
      const { forks, read } = await monitorOf(sourceOf(honest), {
        others: [{ name: 'bob', checkpoint: () => Promise.resolve(note) }],
      }).pass()
      expect(forks).toEqual([{ kind: 'fork', with: 'bob', reason, checkpoints: [await honest.checkpoint(T0), note] }])
      // What the owner's own source says is still read and judged.
      expect(read).toBe(6)
    }
  })

  it('not when another copy only lags behind, or is empty', async () => {
    const honest = await honestLog(6)
    for (const size of [0, 1, 5, 6]) {
      const note = await (await honestLog(size)).checkpoint(T0 - 100)
      expect(
        kinds(await monitorOf(sourceOf(honest), { others: [{ name: 'bob', checkpoint: () => Promise.resolve(note) }] }).pass()),
      ).toEqual([])
    }
  })

  it('but a checkpoint that another key signed is none of this log', async () => {
    const forged = new TestLog(noteSigner(ORIGIN, 'thief'))
    const others = [{ name: 'bob', checkpoint: () => forged.checkpoint(T0) }]
    const wrong = { code: 'LOG_CHECKPOINT_INVALID' }
    const pass = await monitorOf(sourceOf(await honestLog(3)), { others }).pass()
    expect(pass).toMatchObject({ read: 3, forks: [], missing: [{ name: 'bob', ...wrong }] })
    await expect(monitorOf(sourceOf(forged)).pass()).rejects.toMatchObject(wrong)
  })

  it('and a copy that is away keeps nobody from looking at the log, but is told', async () => {
    const away = { name: 'mirror', checkpoint: () => Promise.reject(new AttestError('GATEWAY_UNREACHABLE', 'gone')) }
    const log = await honestLog(2)
    await release(log, 'thief', { tags: [await tag(0)] })
    const pass = await monitorOf(sourceOf(log), { others: [away] }).pass()
    expect(pass).toMatchObject({ missing: [{ name: 'mirror', code: 'GATEWAY_UNREACHABLE', message: 'gone' }] })
    expect(kinds(pass)).toEqual(['unexpected-release'])
  })
})

describe('a source that does not play by the rules', () => {
  const wrong = { code: 'LOG_PROOF_INVALID' }

  it.each<[string, (leaves: readonly Uint8Array[]) => readonly Uint8Array[]]>([
    ['holds an entry back', (leaves) => leaves.slice(1)],
    ['hands out none', () => []],
    ['changes an entry', ([first, ...rest]) => [(first as Uint8Array).map((byte, i) => (i === 40 ? byte ^ 1 : byte)), ...rest]],
    ['swaps two', ([a, b, ...rest]) => [b as Uint8Array, a as Uint8Array, ...rest]],
  ])('is refused when it %s', async (_, change) => {
    const log = new TestLog(signer)
    await log.fill(4)
    const honest = sourceOf(log)
    const source: LogSource = { ...honest, leaves: async (start, size) => change(await honest.leaves(start, size)) }
    await expect(monitorOf(source).pass()).rejects.toMatchObject(wrong)
  })

  it('cannot slip in more than the checkpoint covers', async () => {
    const log = new TestLog(signer)
    await log.fill(4)
    const honest = sourceOf(log)
    const source: LogSource = { ...honest, leaves: async (start, size) => [...(await honest.leaves(start, size)), testBytes('more', 9)] }
    expect(await monitorOf(source).pass()).toMatchObject({ size: 4, read: 4, findings: [] })
  })

  it('an entry of no known kind is a finding, and the next ones are read', async () => {
    const log = new TestLog(signer)
    await log.fill(2)
    ;(log.leaves as Uint8Array[]).push(testBytes('no leaf', 20))
    await log.fill(1)
    expect((await monitorOf(sourceOf(log)).pass()).findings).toEqual([{ kind: 'malformed-entry', index: 2, reason: expect.any(String) }])
  })

  it('that fails midway costs a pass and no finding', async () => {
    const log = new TestLog(signer)
    await release(log, 'thief', { tags: [await tag(0)] })
    await log.fill(3)
    const honest = sourceOf(log)
    let fails = true
    const source: LogSource = {
      ...honest,
      async leaves(start, size) {
        if (start === 2 && fails) throw new AttestError('GATEWAY_UNREACHABLE', 'gone')
        return (await honest.leaves(start, size)).slice(0, 2)
      },
    }
    const monitor = monitorOf(source)
    await expect(monitor.pass()).rejects.toMatchObject({ code: 'GATEWAY_UNREACHABLE' })
    fails = false
    expect(kinds(await monitor.pass())).toEqual(['unexpected-release'])
    expect(kinds(await monitor.pass())).toEqual([])
  })
})

describe('the record of releases', () => {
  it('keeps one file per release, and nothing secret', async () => {
    const made = { commitment: b64('c'), job: b64('job'), slots: [{ grant, k: 3 }] }
    await owner.releases.put(made)
    expect([...(await owner.releases.commitments())]).toEqual([made.commitment])
    expect(readdirSync(join(owner.path, 'releases'))).toEqual([`${made.commitment}.json`])
    await expect(owner.releases.put(made)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
  })

  it.each(['', '../../x', 'a'.repeat(44)])('takes %j for no commitment', async (commitment) => {
    await expect(owner.releases.put({ commitment, job: b64('job'), slots: [{ grant, k: 0 }] })).rejects.toMatchObject({ code: 'USAGE' })
  })
})
