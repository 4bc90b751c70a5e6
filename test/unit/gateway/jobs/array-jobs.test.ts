import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bytesOf, JobService, type sealgate } from '../../../../src/rpc/index.ts'
import type { ArrayTerms, ItemOutcome } from '../../../../src/verify/documents/array.ts'
import type { Predicate } from '../../../../src/verify/documents/statement.ts'
import { FakeHost } from '../fake-host.ts'
import { TestGateway } from '../fixture.ts'
import { Scenario, toAttested } from '../scenario.ts'

const array: ArrayTerms = { items: [['a'], ['b'], ['c']], itemLimits: { timeMs: 1000, outputBytes: 1000 }, onItemFailure: 'continue' }

const DONE: ItemOutcome = { kind: 'succeeded', exitCode: 0 }
const LOST: ItemOutcome = { kind: 'failed', exitCode: 1 }
const FAILED: Predicate['outcome'] = { kind: 'failed', exitCode: null, code: 'JOB_FAILED', reason: 'a test' }

let gateway: TestGateway
let host: FakeHost
beforeEach(async () => {
  gateway = await TestGateway.start({ attestationSeconds: 86_400 })
  host = new FakeHost(await gateway.dial('host', 'h1'))
  host.hello()
  await host.attest()
})
afterEach(() => gateway.end())

async function released(): Promise<{ scenario: Scenario; statement: (items: readonly ItemOutcome[]) => Promise<Uint8Array> }> {
  const scenario = await Scenario.prepare(gateway, { contract: { array }, grant: { items: array.items } })
  const evidence = await toAttested(scenario, host)
  const entry = await scenario.log(await scenario.intent(evidence))
  await scenario.release(entry)
  const { ear } = await host.next('keyRelease')
  return {
    scenario,
    statement: (items) => scenario.statement(evidence, entry, bytesOf(ear), null, { outcome: FAILED, items }),
  }
}

describe('an array job', () => {
  it('shows those who watch how many items have ended; what cannot be true is not shown', async () => {
    const { scenario } = await released()
    const alice = await gateway.dial('client', 'alice')
    const watch = alice.serverStream(JobService.watchJob, { jobId: scenario.jobId })
    const seen: number[] = []
    const told = (itemsDone: number, items: number): void =>
      host.send({ jobProgress: { jobId: scenario.jobId, phase: 'running', itemsDone, items } })
    told(0, 0)
    for (const [done, total] of [
      [1, 4],
      [4, 3],
      [1, 3],
      [1, 3],
      [3, 3],
      [2, 3],
    ] as const) {
      told(done, total)
    }
    for await (const { job } of watch as AsyncIterable<sealgate.v1.WatchJobResponse>) {
      if (job?.items) {
        expect(job.items).toBe(3)
        seen.push(job.itemsDone ?? 0)
      }
      if (job?.itemsDone === 3) break
    }
    expect(seen.at(-1)).toBe(3)
    expect(seen.every((done) => done === 1 || done === 3)).toBe(true)
  })

  it('ends with an outcome that lists every item', async () => {
    const { scenario, statement } = await released()
    await host.outcome(scenario.jobId, await statement([DONE, LOST, DONE]))
    expect(await host.next('outcomeAccepted')).toMatchObject({ jobId: scenario.jobId })
    expect(await scenario.state()).toBe('failed')
  })

  it.each([
    ['leaves an item out', [DONE, LOST]],
    ['adds one', [DONE, LOST, DONE, DONE]],
    ['skips one', [DONE, { kind: 'not-run', exitCode: null }, DONE]],
  ] as [string, readonly ItemOutcome[]][])('is not ended by an outcome that %s', async (_, items) => {
    const { scenario, statement } = await released()
    await host.outcome(scenario.jobId, await statement(items))
    expect(await host.ended()).toMatchObject({ code: 'RECEIPT_INCONSISTENT', at: 'receipt.items' })
    expect(await scenario.state()).toBe('released')
  })
})
