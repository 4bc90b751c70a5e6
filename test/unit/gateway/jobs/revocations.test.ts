import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SqlitePort } from '../../../../src/gateway/store/sqlite.ts'
import { JobService } from '../../../../src/rpc/index.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import type { EvidenceBundle } from '../../../../src/verify/documents/evidence-bundle.ts'
import { useSlotTag } from '../../../../src/verify/documents/use-slot.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { owner, useKey } from '../../../support/job-documents.ts'
import { testBytes, testKey } from '../../../support/keys.ts'
import { FakeHost } from '../fake-host.ts'
import { CommitFaults } from '../faults.ts'
import { TestGateway, until } from '../fixture.ts'
import { Scenario, toAttested, toReleased } from '../scenario.ts'

/** The store of a gateway: a test reads its rows, and may slip something in right before a transaction begins. */
class Store {
  port: SqlitePort | null = null
  #before: (() => void) | null = null
  readonly faults = new CommitFaults()

  wrap = (port: SqlitePort): SqlitePort => {
    this.port = port
    const faulty = this.faults.wrap(port)
    const prepare = (sql: string): ReturnType<SqlitePort['prepare']> => {
      if (sql === 'begin') this.#slipIn()
      return faulty.prepare(sql)
    }
    return { ...faulty, prepare }
  }

  /** A revocation that commits after the gateway looked, and before its own transaction. */
  revokeBeforeNext(grantId: string): void {
    this.#before = () => {
      this.#run(`insert into revocations values ('${grantId}', x'00', 1)`)
    }
  }

  sealedKeys(jobId: string): unknown {
    const rows = this.port?.prepare('select sealed_keys from job_releases where job_id = ?').all([jobId]) as readonly {
      sealed_keys: unknown
    }[]
    return rows[0]?.sealed_keys ?? null
  }

  #slipIn(): void {
    const before = this.#before
    this.#before = null
    before?.()
  }

  #run(sql: string): void {
    this.port?.exec(sql)
  }
}

let gateway: TestGateway
let host: FakeHost
let scenario: Scenario
let store: Store

async function connect(held: string[] = [], waiting: string[] = []): Promise<FakeHost> {
  const connected = new FakeHost(await gateway.dial('host', 'h1'))
  connected.hello(held, ['wasm'], waiting)
  await connected.next('challenge')
  return connected
}

beforeEach(async () => {
  store = new Store()
  gateway = await TestGateway.start({ attestationSeconds: 86_400 }, { wrap: store.wrap })
  host = new FakeHost(await gateway.dial('host', 'h1'))
  host.hello()
  await host.attest()
  scenario = await Scenario.prepare(gateway, { grant: { uses: 3 } })
})
afterEach(() => gateway.end())

async function becomes(state: string, of = scenario): Promise<void> {
  await until(async () => {
    gateway.clock.advance(0)
    return (await of.state()) === state
  }, `the job becomes ${state}`)
}

async function expectSound(of = scenario): Promise<void> {
  const verdict = await verifyReceiptFile(await of.receipt(), { trust: gateway.trust })
  expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
}

/** Over as refused, by a receipt that verifies and names the code; no keys are kept. */
async function expectRefused(of = scenario): Promise<void> {
  expect(await of.state()).toBe('refused')
  expect(await of.lastStep()).toMatchObject({ code: 'GRANT_DENIED', reason: expect.stringContaining('has revoked grant') })
  expect(store.sealedKeys(of.jobId)).toBeNull()
  await expectSound(of)
}

/** What the host has got up to now: the gateway has answered something that came later. */
async function inbox(at: FakeHost): Promise<readonly string[]> {
  at.send({ jobProgress: { jobId: toBase64Url(testBytes('no job', 16)), phase: 'running' } })
  const kinds: string[] = []
  for (;;) {
    const { kind, jobId } = await at.any()
    if (kind === 'jobCancel' && jobId === toBase64Url(testBytes('no job', 16))) return kinds
    kinds.push(kind)
  }
}

/** The one running job of a test is on h1, so a second one of another grant is on h2. */
async function other(): Promise<{ readonly host: FakeHost; readonly scenario: Scenario }> {
  const second = new FakeHost(await gateway.dial('host', 'h2'))
  second.hello()
  await second.attest()
  const grantId = toBase64Url(testBytes('another grant', 16))
  const jobId = toBase64Url(testBytes('another job', 16))
  const own = await Scenario.prepare(gateway, { contract: { jobId }, grant: { grantId, uses: 3 } })
  return { host: second, scenario: own }
}

describe('a revocation', () => {
  it('ends a job that waits for a host, one that is placed, one that is attested and one whose intent is logged', async () => {
    const evidence = await toAttested(scenario, host)
    await scenario.log(await scenario.intent(evidence))
    const waiting = await scenario.another('waiting')
    await waiting.create()
    await scenario.revoke()
    await expectRefused()
    await expectRefused(waiting)
    await host.next('jobCancel')
  })

  it('is refused from anybody but the owner, and does nothing to the job then', async () => {
    await toAttested(scenario, host)
    await expect(scenario.revoke(testKey('mallory'), true)).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    expect(await scenario.state()).toBe('attested')
  })

  it('that comes between the check and the log entry keeps the intent out of the log', async () => {
    const evidence = await toAttested(scenario, host)
    store.revokeBeforeNext(scenario.grantId)
    await expect(scenario.log(await scenario.intent(evidence))).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    await expectRefused()
  })

  it('that comes between the check and the release keeps the keys from store and host', async () => {
    const evidence = await toAttested(scenario, host)
    const entry = await scenario.log(await scenario.intent(evidence))
    store.revokeBeforeNext(scenario.grantId)
    await expect(scenario.release(entry)).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    await expectRefused()
    expect(await inbox(host)).toEqual(['jobCancel'])
  })

  it('that comes while a job is created keeps the job out', async () => {
    store.revokeBeforeNext(scenario.grantId)
    await expect(scenario.create()).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    await expect(scenario.state()).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('races a release: either the keys went before the answer to the revocation, or never', async () => {
    const evidence = await toAttested(scenario, host)
    const entry = await scenario.log(await scenario.intent(evidence))
    const [release] = await Promise.allSettled([scenario.release(entry), scenario.revoke()])
    const got = await inbox(host)
    const state = await scenario.state()
    expect([state, got.includes('keyRelease')]).toEqual(release.status === 'fulfilled' ? ['released', true] : ['refused', false])
    expect(store.sealedKeys(scenario.jobId)).toBeNull()
  })

  it('drops the sealed keys of a job that has them, and lets it go on', async () => {
    const { evidence, entry, ear } = await toReleased(scenario, host)
    expect(store.sealedKeys(scenario.jobId)).not.toBeNull()
    await scenario.revoke()
    expect(store.sealedKeys(scenario.jobId)).toBeNull()
    expect(await inbox(host)).toEqual([])
    await expect(scenario.release(entry)).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    await host.outcome(scenario.jobId, await scenario.statement(evidence, entry, ear, null))
    await host.next('outcomeAccepted')
    expect(await scenario.state()).toBe('failed')
    await expectSound()
  })

  it.each([
    ['does not know the job', [], []],
    ['has no keys for it', ['job'], ['job']],
  ])('gives no keys to a host that comes back and %s', async (_what, held, waiting) => {
    await toReleased(scenario, host)
    await scenario.revoke()
    host.vanish()
    const jobs = (names: readonly string[]): string[] => names.map(() => scenario.jobId)
    const again = await connect(jobs(held), jobs(waiting))
    await becomes('refused')
    await expectRefused()
    expect(await inbox(again)).not.toContain('keyRelease')
  })

  it('gives no keys to a host that comes back to a gateway that was restarted', async () => {
    await toReleased(scenario, host)
    await scenario.revoke()
    await gateway.restart()
    const again = await connect([scenario.jobId], [scenario.jobId])
    await becomes('refused')
    await expectRefused()
    expect(await inbox(again)).not.toContain('keyRelease')
  })

  it('lets a job go on whose host comes back with the keys', async () => {
    const { evidence, entry, ear } = await toReleased(scenario, host)
    await scenario.revoke()
    host.vanish()
    const again = await connect([scenario.jobId])
    expect(await inbox(again)).toEqual([])
    await again.outcome(scenario.jobId, await scenario.statement(evidence, entry, ear, null))
    await again.next('outcomeAccepted')
    expect(await scenario.state()).toBe('failed')
  })

  it('is carried out at the next start when a crash came right after it', async () => {
    const evidence = await toAttested(scenario, host)
    await scenario.log(await scenario.intent(evidence))
    store.faults.arm('after')
    await expect(scenario.revoke()).rejects.toMatchObject({ code: 'INTERNAL' })
    await gateway.restart()
    await becomes('refused')
    await expectRefused()
  })
})

describe('a revocation that stops jobs', () => {
  /** What an agent signs that was told to stop in mid-job. */
  async function stopped(at: FakeHost, { evidence, entry, ear }: Running, of = scenario): Promise<void> {
    const outcome = { kind: 'cancelled', exitCode: null, code: 'CANCELLED', reason: 'the gateway cancelled the job' } as const
    await at.outcome(of.jobId, await of.statement(evidence, entry, ear, null, { outcome }))
    await at.next('outcomeAccepted')
  }
  type Running = { readonly evidence: EvidenceBundle } & Pick<Awaited<ReturnType<typeof toReleased>>, 'entry' | 'ear'>

  it('tells the host of a running job to stop, and says why it was cancelled; jobs of other grants go on', async () => {
    const running = await toReleased(scenario, host)
    host.send({ jobProgress: { jobId: scenario.jobId, phase: 'running' } })
    await becomes('running')
    const second = await other()
    const slots = [{ grant: second.scenario.grantId, k: 1, tag: await useSlotTag(useKey, 1) }]
    const attested = await toAttested(second.scenario, second.host)
    await second.scenario.release(await second.scenario.log(await second.scenario.intent(attested, { slots })))
    await second.host.next('keyRelease')
    await scenario.revoke(owner, true)
    expect(await host.next('jobCancel')).toMatchObject({ jobId: scenario.jobId })
    await stopped(host, running)
    expect(await scenario.state()).toBe('cancelled')
    const { code, reason } = await scenario.lastStep()
    expect(code).toBe('CANCELLED')
    expect(reason).toContain(`has revoked grant ${scenario.grantId} and asked that its jobs stop`)
    await expectSound()
    expect(await second.scenario.state()).toBe('released')
    expect(await inbox(second.host)).toEqual([])
  })

  it('may follow one that did not ask for it, and is in the log then', async () => {
    await toReleased(scenario, host)
    await scenario.revoke()
    expect(await inbox(host)).toEqual([])
    await scenario.revoke(owner, true)
    await host.next('jobCancel')
    // Nothing is taken back by asking for less.
    await scenario.revoke()
    await host.next('jobCancel')
    await gateway.restart()
    await (await connect([scenario.jobId])).next('jobCancel')
  })

  it('reaches a host that was away', async () => {
    const running = await toReleased(scenario, host)
    host.send({ jobProgress: { jobId: scenario.jobId, phase: 'running' } })
    await becomes('running')
    host.vanish()
    await scenario.revoke(owner, true)
    const again = await connect([scenario.jobId])
    expect(await again.next('jobCancel')).toMatchObject({ jobId: scenario.jobId })
    await stopped(again, running)
    expect(await scenario.state()).toBe('cancelled')
  })

  it('leaves no use of the grant to another job', async () => {
    await toReleased(scenario, host)
    await scenario.revoke(owner, true)
    const second = await scenario.another('second')
    await expect(second.create()).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    const alice = await gateway.dial('client', 'alice')
    expect((await alice.unary(JobService.listJobs, {})).jobs).toHaveLength(1)
  })
})
