import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { JobService, LogService, sealgate } from '../../src/rpc/index.ts'
import { toBase64Url } from '../../src/verify/bytes/bytes.ts'
import { parseLeaf } from '../../src/verify/documents/leaf.ts'
import { useSlotTag } from '../../src/verify/documents/use-slot.ts'
import { AttestError } from '../../src/verify/errors.ts'
import {
  type Checkpoint,
  type LogTrust,
  leafHash,
  parseCheckpoint,
  rootOfLeafHashes,
  verifyCheckpoint,
  verifyConsistency,
} from '../../src/verify/tlog/index.ts'
import { ORIGIN, useKey } from '../support/job-documents.ts'
import { testBytes } from '../support/keys.ts'
import { Scenario } from '../unit/gateway/scenario.ts'
import { MortalGateway } from './mortal-gateway.ts'
import { SteadyHost } from './steady-host.ts'

/** How often the gateway dies: 200 times in CI. */
const KILLS = Number(process.env.SEALGATE_CRASHES ?? 20)
const WORKERS = 3
/** A life ends after so many answers at most, and then within so many milliseconds: anywhere in the way of a job, on slow machines too. */
const MOST_ANSWERS = 16
const LAST_MS = 12
/** For answers that do not come: a job may wait for a host that will not come back. */
const PATIENCE_MS = 2000
const USES = 1_000_000

/** The same numbers in every run: Lehmer's generator. */
let seed = 20261127
function random(): number {
  seed = (seed * 48271) % 0x7fffffff
  return seed / 0x7fffffff
}

/** What the gateway has said was done, and must therefore still be so after any crash. */
interface Acknowledged {
  readonly jobId: string
  readonly index: number
  readonly leaf: Uint8Array
  readonly k: number
}

/** Counts what a gateway has answered in its life. */
const answers = {
  count: 0,
  target: 0,
  reached: (): void => {},
  one(): void {
    if (++this.count >= this.target) this.reached()
  },
  reach(target: number): Promise<void> {
    this.count = 0
    this.target = target
    return new Promise((resolve) => {
      this.reached = resolve
      if (target === 0) resolve()
    })
  },
}

const gateway = new MortalGateway()
const scenarios = new Map<string, Scenario>()
const acknowledged: Acknowledged[] = []
const leaves: Uint8Array[] = []
const counts = { kills: 0, refusedSlots: 0, ended: 0 }
let first: Scenario
let seen: Checkpoint | null = null
let nextSlot = 0
let nextJob = 0

const hosts = Array.from(
  { length: WORKERS },
  (_, i) =>
    new SteadyHost(`h${i}`, async (jobId, { evidence, releases, ear }) => {
      const scenario = scenarios.get(jobId)
      if (scenario === undefined) throw new Error(`no job ${jobId}`)
      const [entry] = releases
      if (entry === undefined) throw new Error('keys without an entry')
      const log: LogTrust = { origin: ORIGIN, key: gateway.logKey, witnessing: { mode: 'none' } }
      const { size: treeSize, time } = await verifyCheckpoint(entry.checkpoint, log)
      const release = { leafHash: toBase64Url(await leafHash(entry.leaf)), index: entry.index, treeSize, time }
      const timing = { notBefore: time, notAfter: time + 10 }
      return scenario.statement(evidence, entry, ear, null, { releases: [release], timing })
    }),
)

beforeAll(async () => {
  await gateway.start()
  first = await Scenario.prepare(gateway, { grant: { uses: USES } })
  await gateway.kill()
})
afterAll(() => gateway.end())

/** A submitter who goes on where the last gateway died. */
class Worker {
  #scenario: Scenario | null = null
  #k = 0
  #salt: Uint8Array = new Uint8Array(32)

  /** Jobs, one after the other, until the gateway dies. */
  async work(): Promise<void> {
    for (;;) await this.#oneJob()
  }

  async #oneJob(): Promise<void> {
    this.#scenario ??= await this.#newJob()
    const scenario = this.#scenario
    await scenario.create()
    answers.one()
    if ((await this.#waitFor(scenario, 'attested')) === 'attested') await this.#logAndRelease(scenario)
    else if ((await scenario.state()) === 'logged') await this.#logAndRelease(scenario)
    await this.#waitFor(scenario, 'ended')
    counts.ended++
    this.#scenario = null
  }

  async #newJob(): Promise<Scenario> {
    const scenario = await first.another(`crash ${nextJob++}`)
    scenarios.set(scenario.jobId, scenario)
    this.#k = nextSlot++
    this.#salt = testBytes(`salt ${this.#k}`, 32)
    return scenario
  }

  async #logAndRelease(scenario: Scenario): Promise<void> {
    const evidence = hosts.map((host) => host.jobs.get(scenario.jobId)?.evidence).find((e) => e !== undefined)
    if (evidence === undefined) throw new Error('a job without evidence')
    const slot = async (k: number) => ({ slots: [{ grant: scenario.grantId, k, tag: await useSlotTag(useKey, k) }] })
    const spent = acknowledged[Math.floor(random() * acknowledged.length)]
    if (spent !== undefined && spent.jobId !== scenario.jobId && random() < 0.1 && (await scenario.state()) === 'attested') {
      await expectSpent(scenario.log(await scenario.intent(evidence, await slot(spent.k)), this.#salt))
    }
    const entry = await scenario.log(await scenario.intent(evidence, await slot(this.#k)), this.#salt)
    acknowledged.push({ jobId: scenario.jobId, index: entry.index, leaf: entry.leaf, k: this.#k })
    answers.one()
    await scenario.release(entry)
    answers.one()
  }

  /** Waits until a job is attested or further, or has ended; says how it is then. */
  async #waitFor(scenario: Scenario, want: 'attested' | 'ended'): Promise<string> {
    const { JobState } = sealgate.v1
    const final = [
      JobState.JOB_STATE_SUCCEEDED,
      JobState.JOB_STATE_FAILED,
      JobState.JOB_STATE_REFUSED,
      JobState.JOB_STATE_CANCELLED,
      JobState.JOB_STATE_LOST,
    ]
    const enough =
      want === 'ended'
        ? final
        : [...final, JobState.JOB_STATE_ATTESTED, JobState.JOB_STATE_LOGGED, JobState.JOB_STATE_RELEASED, JobState.JOB_STATE_RUNNING]
    const channel = await gateway.dial('client', 'alice')
    for await (const { job } of channel.serverStream(JobService.watchJob, { jobId: scenario.jobId })) {
      const state = job?.state ?? JobState.JOB_STATE_UNSPECIFIED
      answers.one()
      if (enough.some((s) => s === state)) return (JobState[state] ?? '').replace('JOB_STATE_', '').toLowerCase()
    }
    throw new AttestError('GATEWAY_UNREACHABLE', 'the gateway stopped telling about the job')
  }
}

async function expectSpent(logged: Promise<unknown>): Promise<void> {
  try {
    await logged
  } catch (error) {
    if (error instanceof AttestError && error.code === 'GRANT_USED') {
      counts.refusedSlots++
      return
    }
    throw error
  }
  throw new Error('a spent slot was spent again')
}

const DEATHS = ['GATEWAY_UNREACHABLE', 'TLS_REJECTED', 'CANCELLED', 'DEADLINE']

/** What follows from the death of a gateway, or from asking a new one before its hosts are back, and from nothing else. */
function isExpected(error: unknown, isDying: boolean): boolean {
  return error instanceof AttestError && (error.code === 'JOB_CONFLICT' || (isDying && DEATHS.includes(error.code)))
}

/** The log only grew: consistent with what was seen before, and every acknowledged entry stands where it stood. */
async function checkLog(): Promise<void> {
  const alice = await gateway.dial('client', 'alice')
  const { checkpoint } = await alice.unary(LogService.getCheckpoint, {})
  const now = parseCheckpoint(checkpoint)
  if (seen !== null) {
    const { hashes } = await alice.unary(LogService.getConsistencyProof, { oldSize: seen.size, newSize: now.size })
    await verifyConsistency({
      oldSize: seen.size,
      oldRoot: seen.root,
      newSize: now.size,
      newRoot: now.root,
      proof: (hashes ?? []).map(bytes),
    })
  }
  seen = now
  while (leaves.length < now.size) {
    const { leaves: more } = await alice.unary(LogService.listLeaves, { start: leaves.length, count: 1000 })
    if ((more ?? []).length === 0) throw new Error(`the log has a gap at ${leaves.length}`)
    leaves.push(...(more ?? []).map(bytes))
  }
  for (const { index, leaf } of acknowledged) expect(leaves[index]).toEqual(leaf)
}

const bytes = (b: Uint8Array): Uint8Array => new Uint8Array(b)

describe(`a gateway that is killed ${KILLS} times, at any moment`, () => {
  it('loses no acknowledged entry, releases no key without one, leaves no gap, and lets no use be had twice', {
    timeout: 900_000,
  }, async () => {
    const workers = Array.from({ length: WORKERS }, () => new Worker())
    while (counts.kills < KILLS) {
      await gateway.start()
      if (counts.kills % 10 === 0) await checkLog()
      for (const host of hosts) await host.connect(gateway)
      let isDying = false
      const lives = workers.map((worker) =>
        worker.work().catch((error) => {
          if (!isExpected(error, isDying)) throw error
        }),
      )
      await Promise.race([answers.reach(Math.floor(random() * MOST_ANSWERS)), Promise.all(lives), delay(PATIENCE_MS)])
      await delay(random() * LAST_MS)
      isDying = true
      await gateway.kill()
      await Promise.all(lives)
      counts.kills++
    }
    await gateway.start()
    await checkLog()
    console.info(
      `${counts.kills} kills: ${acknowledged.length} releases in the log, ${counts.ended} jobs ended, ${counts.refusedSlots} spent slots refused`,
    )

    expect(counts.ended).toBeGreaterThan(KILLS / 10)
    expect(hosts.map((host) => host.failure)).toEqual(hosts.map(() => null))
    const hashes = await Promise.all(leaves.map((leaf) => leafHash(leaf)))
    expect(await rootOfLeafHashes(hashes)).toEqual(seen?.root)

    const tags = leaves.flatMap((leaf) => parseLeaf(leaf).tags)
    expect(new Set(tags).size).toBe(tags.length)

    const released = hosts.flatMap((host) => [...host.jobs].flatMap(([jobId, { releases }]) => releases.map((entry) => ({ jobId, entry }))))
    expect(released.length).toBeGreaterThan(0)
    for (const { entry } of released) {
      expect(leaves[entry.index]).toEqual(entry.leaf)
      expect(parseLeaf(entry.leaf).type).toBe('release')
    }
    const entryOf = new Map<string, Set<number>>()
    for (const { jobId, entry } of released) entryOf.set(jobId, new Set([...(entryOf.get(jobId) ?? []), entry.index]))
    expect([...entryOf.values()].every((indices) => indices.size === 1)).toBe(true)
    // Every entry of a release is a job's, and no two jobs share one.
    const owned = [...entryOf.values()].flatMap((indices) => [...indices])
    expect(new Set(owned).size).toBe(owned.length)
  })
})
