import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { JobService } from '../../../../src/rpc/index.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { FakeHost } from '../fake-host.ts'
import { CommitFaults } from '../faults.ts'
import { TestGateway, until } from '../fixture.ts'
import { Scenario, toAttested, toReleased } from '../scenario.ts'

let gateway: TestGateway
let host: FakeHost
let scenario: Scenario
const faults = new CommitFaults()

async function connect(): Promise<FakeHost> {
  const connected = new FakeHost(await gateway.dial('host', 'h1'))
  connected.hello()
  return connected
}

beforeEach(async () => {
  gateway = await TestGateway.start({ attestationSeconds: 86_400 }, { wrap: faults.wrap })
  host = await connect()
  await host.attest()
  scenario = await Scenario.prepare(gateway)
})
afterEach(() => gateway.end())

async function becomes(state: string): Promise<void> {
  await until(async () => {
    gateway.clock.advance(0)
    return (await scenario.state()) === state
  }, `the job becomes ${state}`)
}

async function expectSound(): Promise<void> {
  const verdict = await verifyReceiptFile(await scenario.receipt(), { trust: gateway.trust })
  expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
}

describe('a gateway that was restarted', () => {
  it('goes on waiting for a host with a CREATED job', async () => {
    host.vanish()
    await gateway.restart()
    await scenario.create()
    await gateway.restart()
    expect(await scenario.state()).toBe('created')
    const again = await connect()
    await again.attest()
    await again.accept(await again.next('jobOffer'))
    await becomes('attested')
  })

  it('makes the same offer again to the host of a PLACED job', async () => {
    await scenario.create()
    const offer = await host.next('jobOffer')
    await gateway.restart()
    const again = await connect()
    expect({ ...(await again.next('jobOffer')) }).toEqual({ ...offer })
    await again.accept(offer)
    await becomes('attested')
  })

  it('takes a PLACED job from a host that does not come back', async () => {
    await scenario.create()
    await host.next('jobOffer')
    await gateway.restart()
    gateway.clock.advance(31)
    await until(async () => (await transitions()).includes('host h1 went away'), 'the job leaves its host')
  })

  it('goes on with an ATTESTED job when its host comes back', async () => {
    const evidence = await toAttested(scenario, host)
    await gateway.restart()
    const again = await connect()
    await again.next('challenge')
    gateway.clock.advance(31)
    const entry = await scenario.log(await scenario.intent(evidence))
    await scenario.release(entry)
    await again.next('keyRelease')
  })

  it('ends an ATTESTED job REFUSED when its host does not come back', async () => {
    const evidence = await toAttested(scenario, host)
    await gateway.restart()
    await expect(scenario.log(await scenario.intent(evidence))).rejects.toMatchObject({ code: 'JOB_CONFLICT' })
    gateway.clock.advance(31)
    await becomes('refused')
    expect((await scenario.lastStep()).code).toBe('JOB_LOST')
    await expectSound()
  })

  it('ends a LOGGED job LOST when its host does not come back', async () => {
    const evidence = await toAttested(scenario, host)
    await scenario.log(await scenario.intent(evidence))
    await gateway.restart()
    gateway.clock.advance(31)
    await becomes('lost')
    await expectSound()
  })

  it('ends a RELEASED job with the outcome that its host brings', async () => {
    const { evidence, entry, ear } = await toReleased(scenario, host)
    const statement = await scenario.statement(evidence, entry, ear, null)
    await gateway.restart()
    const again = await connect()
    await again.outcome(scenario.jobId, statement)
    await again.next('outcomeAccepted')
    expect(await scenario.state()).toBe('failed')
    await expectSound()
  })

  it('ends a RELEASED job LOST at its deadline', async () => {
    await toReleased(scenario, host)
    await gateway.restart()
    gateway.clock.advance(1000)
    expect(await scenario.state()).toBe('released')
    gateway.clock.advance(1001)
    await becomes('lost')
    await expectSound()
  })

  it('wakes nobody about a deadline that passed while it was down, and acts on it at once', async () => {
    await toReleased(scenario, host)
    await gateway.stop()
    gateway.clock.advance(3000)
    await gateway.restart()
    gateway.clock.advance(0)
    await becomes('lost')
  })
})

async function transitions(): Promise<readonly string[]> {
  const alice = await gateway.dial('client', 'alice')
  const { job } = await alice.unary(JobService.getJob, { jobId: scenario.jobId })
  return (job?.transitions ?? []).map((t) => t.reason ?? '')
}

describe.each(['before', 'after'] as const)('when the disk fails %s the commit', (fault) => {
  const happened = fault === 'after'

  it('of a new job, the submitter may ask again', async () => {
    host.vanish()
    await gateway.restart()
    faults.arm(fault)
    await expect(scenario.create()).rejects.toMatchObject({ code: 'INTERNAL' })
    await gateway.restart()
    await scenario.create()
    expect(await scenario.state()).toBe('created')
  })

  it('of a release intent, the log and the job agree, and the owner may ask again', async () => {
    const evidence = await toAttested(scenario, host)
    const intent = await scenario.intent(evidence)
    faults.arm(fault)
    await expect(scenario.log(intent)).rejects.toMatchObject({ code: 'INTERNAL' })
    await gateway.restart()
    const again = await connect()
    await again.next('challenge')
    expect(await scenario.state()).toBe(happened ? 'logged' : 'attested')
    const entry = await scenario.log(intent)
    await scenario.release(entry)
    expect(await scenario.state()).toBe('released')
  })

  it('of sealed keys, none are sent that are not kept, and the owner may ask again', async () => {
    const evidence = await toAttested(scenario, host)
    const entry = await scenario.log(await scenario.intent(evidence))
    faults.arm(fault)
    await expect(scenario.release(entry)).rejects.toMatchObject({ code: 'INTERNAL' })
    await gateway.restart()
    const again = await connect()
    await again.next('challenge')
    expect(await scenario.state()).toBe(happened ? 'released' : 'logged')
    await scenario.release(entry)
    await again.next('keyRelease')
  })

  it('of an ending, nothing is acknowledged, and the host brings it again', async () => {
    const { evidence, entry, ear } = await toReleased(scenario, host)
    const statement = await scenario.statement(evidence, entry, ear, null)
    faults.arm(fault)
    await host.outcome(scenario.jobId, statement)
    expect(await host.ended()).toMatchObject({ code: 'INTERNAL' })
    await gateway.restart()
    expect(await scenario.state()).toBe(happened ? 'failed' : 'released')
    const again = await connect()
    await again.outcome(scenario.jobId, statement)
    await again.next('outcomeAccepted')
    expect(await scenario.state()).toBe('failed')
    await expectSound()
  })

  it('of a revocation, log and store agree, and the owner may ask again', async () => {
    faults.arm(fault)
    await expect(scenario.revoke()).rejects.toMatchObject({ code: 'INTERNAL' })
    await gateway.restart()
    await scenario.revoke()
    await expect(scenario.create()).rejects.toMatchObject({ code: 'GRANT_DENIED' })
  })
})
