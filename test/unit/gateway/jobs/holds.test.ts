import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SqlitePort } from '../../../../src/gateway/store/sqlite.ts'
import { bytesOf, GrantService, ReceiptService, toNumber } from '../../../../src/rpc/index.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { owner } from '../../../support/job-documents.ts'
import { testBytes, testKey } from '../../../support/keys.ts'
import { FakeHost } from '../fake-host.ts'
import { CommitFaults } from '../faults.ts'
import { TestGateway, until } from '../fixture.ts'
import { Scenario, toAttested, toReleased } from '../scenario.ts'

const faults = new CommitFaults()
let port: SqlitePort
/** Runs right before the next transaction begins. */
let slipIn: (() => void) | null
let gateway: TestGateway
let host: FakeHost
let scenario: Scenario

function wrap(raw: SqlitePort): SqlitePort {
  port = raw
  const faulty = faults.wrap(raw)
  const prepare = (sql: string): ReturnType<SqlitePort['prepare']> => {
    if (sql === 'begin') {
      const now = slipIn
      slipIn = null
      now?.()
    }
    return faulty.prepare(sql)
  }
  return { ...faulty, prepare }
}

/** A hold that commits after the gateway looked, and before its own transaction. */
function holdBeforeNext(): void {
  slipIn = () => port.exec(`insert into holds values ('${scenario.grantId}', 1, 1, x'00', 1)`)
}

function sealedKeys(): unknown {
  const rows = port.prepare('select sealed_keys from job_releases where job_id = ?').all([scenario.jobId]) as readonly {
    sealed_keys: unknown
  }[]
  return rows[0]?.sealed_keys ?? null
}

beforeEach(async () => {
  slipIn = null
  gateway = await TestGateway.start({ attestationSeconds: 86_400 }, { wrap })
  host = new FakeHost(await gateway.dial('host', 'h1'))
  host.hello()
  await host.attest()
  scenario = await Scenario.prepare(gateway, { grant: { uses: 3 } })
})
afterEach(() => gateway.end())

async function becomes(state: string): Promise<void> {
  await until(async () => {
    gateway.clock.advance(0)
    return (await scenario.state()) === state
  }, `the job becomes ${state}`)
}

async function expectRefused(of = scenario): Promise<void> {
  expect(await of.state()).toBe('refused')
  expect(await of.lastStep()).toMatchObject({ code: 'GRANT_HELD', reason: expect.stringContaining('holds grant') })
  const verdict = await verifyReceiptFile(await of.receipt(), { trust: gateway.trust })
  expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
}

async function connect(held: string[], waiting: string[]): Promise<FakeHost> {
  const connected = new FakeHost(await gateway.dial('host', 'h1'))
  connected.hello(held, ['wasm'], waiting)
  await connected.next('challenge')
  return connected
}

/** What the host has got up to now: the gateway has answered something that came later. */
async function inbox(at: FakeHost): Promise<readonly string[]> {
  const none = toBase64Url(testBytes('no job', 16))
  at.send({ jobProgress: { jobId: none, phase: 'running' } })
  const kinds: string[] = []
  for (;;) {
    const { kind, jobId } = await at.any()
    if (kind === 'jobCancel' && jobId === none) return kinds
    kinds.push(kind)
  }
}

/** Sequences of the receipts of holds, in the order of the log; each verifies. */
async function logged(): Promise<readonly number[]> {
  const alice = await gateway.dial('client', 'alice')
  const { receipts } = await alice.unary(ReceiptService.listReceipts, {})
  const sequences: number[] = []
  for (const { type, logIndex } of receipts) {
    if (type !== 'hold') continue
    const verdict = await verifyReceiptFile(await scenario.event(toNumber(logIndex)), { trust: gateway.trust })
    expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
    if (verdict.decision === 'accept' && verdict.claims.type === 'hold') sequences.push(verdict.claims.sequence)
  }
  return sequences
}

async function told(): Promise<Uint8Array> {
  const alice = await gateway.dial('client', 'alice')
  return bytesOf((await alice.unary(GrantService.getGrant, { grantId: scenario.grantId })).grant?.hold)
}

describe('a hold', () => {
  it('refuses new jobs until it is ended, and each step of it is in the log', async () => {
    expect(await told()).toHaveLength(0)
    await scenario.hold()
    expect(await told()).toEqual(await scenario.holdJws())
    await expect(scenario.create()).rejects.toMatchObject({ code: 'GRANT_HELD' })
    await scenario.hold({ sequence: 2, held: false })
    await toReleased(scenario, host)
    expect(await logged()).toEqual([1, 2])
  })

  it('ends jobs that wait for a host, and those whose intent is logged; its end brings none of them back', async () => {
    const evidence = await toAttested(scenario, host)
    const entry = await scenario.log(await scenario.intent(evidence))
    const waiting = await scenario.another('waiting')
    await waiting.create()
    await scenario.hold()
    await expectRefused()
    await expectRefused(waiting)
    await host.next('jobCancel')
    await scenario.hold({ sequence: 2, held: false })
    await expect(scenario.release(entry)).rejects.toMatchObject({ code: 'JOB_CONFLICT' })
  })

  it('that comes while a job is created keeps the job out', async () => {
    holdBeforeNext()
    await expect(scenario.create()).rejects.toMatchObject({ code: 'GRANT_HELD' })
    await expect(scenario.state()).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('that comes between the check and the log entry keeps the intent out of the log', async () => {
    const evidence = await toAttested(scenario, host)
    holdBeforeNext()
    await expect(scenario.log(await scenario.intent(evidence))).rejects.toMatchObject({ code: 'GRANT_HELD' })
    await expectRefused()
  })

  it('that comes between the check and the release keeps the keys from store and host', async () => {
    const evidence = await toAttested(scenario, host)
    const entry = await scenario.log(await scenario.intent(evidence))
    holdBeforeNext()
    await expect(scenario.release(entry)).rejects.toMatchObject({ code: 'GRANT_HELD' })
    await expectRefused()
    expect(sealedKeys()).toBeNull()
    expect(await inbox(host)).toEqual(['jobCancel'])
  })

  it('races a release: either the keys went before the answer to the hold, or never', async () => {
    const evidence = await toAttested(scenario, host)
    const entry = await scenario.log(await scenario.intent(evidence))
    const [release] = await Promise.allSettled([scenario.release(entry), scenario.hold()])
    const got = await inbox(host)
    const state = await scenario.state()
    expect([state, got.includes('keyRelease')]).toEqual(release.status === 'fulfilled' ? ['released', true] : ['refused', false])
    expect(sealedKeys()).toBeNull()
  })

  it('lets a job go on that has its keys, and tells its host to stop where the owner asks for that', async () => {
    await toReleased(scenario, host)
    await scenario.hold()
    expect(sealedKeys()).toBeNull()
    expect(await inbox(host)).toEqual([])
    await scenario.hold({ sequence: 2, stopJobs: true })
    expect(await host.next('jobCancel')).toMatchObject({ jobId: scenario.jobId })
    await gateway.restart()
    const again = await connect([scenario.jobId], [])
    await again.next('jobCancel')
  })

  it('says in the last transition why a job was stopped', async () => {
    const { evidence, entry, ear } = await toReleased(scenario, host)
    await scenario.hold({ stopJobs: true })
    await host.next('jobCancel')
    const outcome = { kind: 'cancelled', exitCode: null, code: 'CANCELLED', reason: 'the gateway cancelled the job' } as const
    await host.outcome(scenario.jobId, await scenario.statement(evidence, entry, ear, null, { outcome }))
    await host.next('outcomeAccepted')
    const { reason } = await scenario.lastStep()
    expect(reason).toContain(`holds grant ${scenario.grantId} and asked that its jobs stop`)
  })

  it.each([
    ['during it', false],
    ['after its end', true],
  ])('drops undelivered keys: a host without them that comes back %s gets none', async (_when, ended) => {
    await toReleased(scenario, host)
    await scenario.hold()
    if (ended) await scenario.hold({ sequence: 2, held: false })
    host.vanish()
    const again = await connect([scenario.jobId], [scenario.jobId])
    await becomes('refused')
    expect(await scenario.lastStep()).toMatchObject({ code: 'GRANT_HELD' })
    expect(await inbox(again)).not.toContain('keyRelease')
  })

  it('that has ended leaves a job alone whose host comes back with its keys', async () => {
    await toReleased(scenario, host)
    await scenario.hold()
    await scenario.hold({ sequence: 2, held: false })
    host.vanish()
    const again = await connect([scenario.jobId], [])
    expect(await inbox(again)).toEqual([])
    expect(await scenario.state()).toBe('released')
  })

  it.each(['before', 'after'] as const)('is whole or not there when the disk fails %s the commit', async (fault) => {
    const evidence = await toAttested(scenario, host)
    await scenario.log(await scenario.intent(evidence))
    faults.arm(fault)
    await expect(scenario.hold()).rejects.toMatchObject({ code: 'INTERNAL' })
    await gateway.restart()
    expect(await told()).toHaveLength(fault === 'before' ? 0 : (await scenario.holdJws()).length)
    expect(await logged()).toEqual(fault === 'before' ? [] : [1])
    if (fault === 'before') await scenario.hold()
    await becomes('refused')
    await expectRefused()
  })
})

describe('who is refused', () => {
  it('somebody who plays an older end of a hold after a newer hold, and the hold stays', async () => {
    await scenario.hold()
    await scenario.hold({ sequence: 2, held: false })
    await scenario.hold({ sequence: 3 })
    await expect(scenario.hold({ sequence: 2, held: false })).rejects.toMatchObject({ code: 'HOLD_STALE' })
    await expect(scenario.hold({ sequence: 3, held: false })).rejects.toMatchObject({ code: 'HOLD_STALE' })
    await expect(scenario.create()).rejects.toMatchObject({ code: 'GRANT_HELD' })
    expect(await logged()).toEqual([1, 2, 3])
  })

  it('another owner, for a hold and for its end', async () => {
    await expect(scenario.hold({}, testKey('mallory'))).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    await scenario.hold()
    await expect(scenario.hold({ sequence: 2, held: false }, testKey('mallory'))).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    expect(await logged()).toEqual([1])
  })

  it('a hold of a grant that is not here', async () => {
    await expect(scenario.hold({ grant: toBase64Url(testBytes('no grant', 32)) })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('nobody who says the same again, also at once', async () => {
    await Promise.all([scenario.hold(), scenario.hold()])
    await scenario.hold()
    expect(await logged()).toEqual([1])
  })

  it('one of two who say different things at once under one sequence', async () => {
    const both = await Promise.allSettled([scenario.hold(), scenario.hold({ held: false })])
    expect(both.map((b) => b.status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await logged()).toEqual([1])
  })

  it('a job under a revoked grant, whatever is said of holds', async () => {
    await scenario.hold()
    await scenario.revoke(owner)
    await scenario.hold({ sequence: 2, held: false })
    await expect(scenario.create()).rejects.toMatchObject({ code: 'GRANT_DENIED' })
  })
})

it('the erasure of its dataset takes the holds of a grant with it', async () => {
  await scenario.hold()
  await scenario.hold({ sequence: 2, held: false })
  expect(await scenario.erase()).toMatchObject({ waiting: 0 })
  expect(port.prepare('select * from holds').all([])).toEqual([])
  expect(port.prepare(`select * from events where type = 'hold'`).all([])).toEqual([])
  expect(await logged()).toEqual([])
})
