import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HostService, JobService } from '../../../../src/rpc/index.ts'
import { issueGeneralJws } from '../../../../src/seal/jws.ts'
import { fromBase64Url, toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { parseLeaf } from '../../../../src/verify/documents/leaf.ts'
import { parseReceiptFile } from '../../../../src/verify/documents/receipt-file.ts'
import type { Predicate } from '../../../../src/verify/documents/statement.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { testBytes, testKey, testMlDsaKey } from '../../../support/keys.ts'
import { FakeHost } from '../fake-host.ts'
import { TestGateway, until } from '../fixture.ts'
import { Scenario, toAttested, toReleased } from '../scenario.ts'

let gateway: TestGateway
let host: FakeHost
let scenario: Scenario

async function connect(name = 'h1'): Promise<FakeHost> {
  const connected = new FakeHost(await gateway.dial('host', name))
  connected.hello()
  return connected
}

beforeEach(async () => {
  gateway = await TestGateway.start({ attestationSeconds: 86_400 })
  host = await connect()
  await host.attest()
  scenario = await Scenario.prepare(gateway)
})
afterEach(() => gateway.end())

/** The receipt verifies in full, and its ending leaf says what is wanted. */
async function expectReceipt(type: string, ends: boolean): Promise<Predicate> {
  const file = await scenario.receipt()
  const verdict = await verifyReceiptFile(file, { trust: gateway.trust })
  expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
  expect(verdict).toMatchObject({ decision: 'accept', claims: { mlDsa: { trusted: true } } })
  const { log, receipt } = parseReceiptFile(file)
  const leaf = parseLeaf(fromBase64Url(log.ending.leaf))
  expect({ type: leaf.type, ends: leaf.ends.length > 0 }).toEqual({ type, ends })
  const { payload } = JSON.parse(new TextDecoder().decode(fromBase64Url(receipt))) as { payload: string }
  return (JSON.parse(new TextDecoder().decode(fromBase64Url(payload))) as { predicate: Predicate }).predicate
}

async function becomes(state: string): Promise<void> {
  await until(async () => {
    gateway.clock.advance(0)
    return (await scenario.state()) === state
  }, `the job becomes ${state}`)
}

describe('before keys are released', () => {
  it('ends REFUSED with its failed checks when the evidence is of another measurement', async () => {
    await scenario.create()
    await host.accept(await host.next('jobOffer'), {}, 'cd'.repeat(48))
    await becomes('refused')
    expect(await scenario.lastStep()).toMatchObject({
      code: 'EVIDENCE_REJECTED',
      reason: expect.stringContaining('reference-values.measurement'),
    })
    expect((await expectReceipt('refusal', false)).ear).toMatchObject({ status: 'contraindicated', simulated: true })
    await host.next('jobCancel')
  })

  it.each([
    ['an old nonce', { nonce: toBase64Url(testBytes('old', 32)) }],
    ['another job', { job: toBase64Url(testBytes('other job', 32)) }],
    ['the role of a host', { role: 'host' as const, job: null }],
  ])('ends REFUSED when the evidence has %s', async (_what, changes) => {
    await scenario.create()
    await host.accept(await host.next('jobOffer'), changes)
    await becomes('refused')
    expect((await scenario.lastStep()).code).toBe('EVIDENCE_REJECTED')
    await expectReceipt('refusal', false)
  })

  it('asks the next host when one declines, and says why', async () => {
    const second = await connect('h2')
    await second.attest()
    await scenario.create()
    const { jobId } = await host.next('jobOffer')
    host.send({ jobEvidence: { jobId: jobId ?? '', decline: { code: 'IMAGE_UNAVAILABLE', message: 'no such image here' } } })
    await second.accept(await second.next('jobOffer'))
    await becomes('attested')
    const alice = await gateway.dial('client', 'alice')
    const { hosts } = await alice.unary(JobService.explainJob, { jobId: scenario.jobId })
    expect(hosts).toMatchObject([
      { host: 'h1', chosen: false, reasons: ['declined: no such image here'] },
      { host: 'h2', chosen: true },
    ])
  })

  it('ends REFUSED at once when every host has declined', async () => {
    await scenario.create()
    const { jobId } = await host.next('jobOffer')
    host.send({ jobEvidence: { jobId: jobId ?? '', decline: { code: 'IMAGE_UNAVAILABLE', message: 'no such image here' } } })
    await becomes('refused')
    expect(await scenario.lastStep()).toMatchObject({ code: 'NO_HOST', reason: expect.stringContaining('no such image here') })
    const { evidence, ear, releases } = await expectReceipt('refusal', false)
    expect({ evidence, ear, releases }).toEqual({ evidence: null, ear: null, releases: [] })
  })

  it('ends REFUSED when no host comes in time', async () => {
    host.vanish()
    await until(async () => (await listHosts())[0]?.online === false, 'the host is gone')
    await scenario.create()
    gateway.clock.advance(61)
    await becomes('refused')
    expect(await scenario.lastStep()).toMatchObject({ code: 'NO_HOST', reason: expect.stringContaining('not connected') })
    await expectReceipt('refusal', false)
  })

  it('goes back to waiting when its host does not answer', async () => {
    await scenario.create()
    await host.next('jobOffer')
    gateway.clock.advance(61)
    await becomes('refused')
    const alice = await gateway.dial('client', 'alice')
    const { job } = await alice.unary(JobService.getJob, { jobId: scenario.jobId })
    expect(job?.transitions?.map((t) => t.reason)).toContainEqual('host h1 did not answer')
  })

  it('ends REFUSED when its owner releases nothing', async () => {
    await toAttested(scenario, host)
    gateway.clock.advance(601)
    await becomes('refused')
    expect((await scenario.lastStep()).code).toBe('DEADLINE')
    await expectReceipt('refusal', false)
    expect(await host.next('jobCancel')).toMatchObject({ jobId: scenario.jobId })
  })

  it.each(['created', 'attested', 'logged'])('is CANCELLED from %s with a receipt', async (state) => {
    if (state === 'created') {
      host.vanish()
      await until(async () => (await listHosts())[0]?.online === false, 'the host is gone')
      await scenario.create()
    } else {
      const evidence = await toAttested(scenario, host)
      if (state === 'logged') await scenario.log(await scenario.intent(evidence))
    }
    expect(await scenario.state()).toBe(state)
    const alice = await gateway.dial('client', 'alice')
    for (let i = 0; i < 2; i++) await alice.unary(JobService.cancelJob, { jobId: scenario.jobId })
    expect(await scenario.state()).toBe('cancelled')
    expect((await expectReceipt('refusal', state === 'logged')).outcome).toMatchObject({ kind: 'cancelled', code: 'CANCELLED' })
  })

  it('takes the signed refusal of an agent that gave up waiting', async () => {
    const evidence = await toAttested(scenario, host)
    await host.outcome(scenario.jobId, await refusalOf(evidence))
    await host.next('outcomeAccepted')
    expect(await scenario.state()).toBe('refused')
    await expectReceipt('refusal', false)
  })
})

/** What an agent signs that has not verified any release: it repeats nothing of one. */
async function refusalOf(evidence: Awaited<ReturnType<typeof toAttested>>): Promise<Uint8Array> {
  return scenario.statement(evidence, null, null, null, {
    type: 'refusal',
    grants: [],
    legal: [],
    isolation: null,
    usage: null,
    timing: null,
    outcome: { kind: 'refused', exitCode: null, code: 'DEADLINE', reason: 'no key was released in time' },
  })
}

describe('after keys were released', () => {
  it('takes the signed refusal of an agent that did not believe the release', async () => {
    const { evidence } = await toReleased(scenario, host)
    await host.outcome(scenario.jobId, await refusalOf(evidence))
    await host.next('outcomeAccepted')
    expect(await scenario.state()).toBe('refused')
    await expectReceipt('refusal', true)
  })

  it('ends LOST when no outcome comes by the deadline', async () => {
    await toReleased(scenario, host)
    gateway.clock.advance(2001)
    await becomes('lost')
    expect((await expectReceipt('lost', true)).outcome).toMatchObject({ kind: 'lost', code: 'JOB_LOST' })
  })

  it('acknowledges an outcome that came too late, and keeps the receipt as it was', async () => {
    const { evidence, entry, ear } = await toReleased(scenario, host)
    const late = await scenario.statement(evidence, entry, ear, null)
    gateway.clock.advance(2001)
    await becomes('lost')
    const receipt = await scenario.receipt()
    await host.outcome(scenario.jobId, late)
    await host.next('outcomeAccepted')
    expect(await scenario.receipt()).toEqual(receipt)
  })

  it('ends LOST when the host says that it has lost the keys', async () => {
    await toReleased(scenario, host)
    host.send({ jobEvidence: { jobId: scenario.jobId, decline: { code: 'JOB_LOST', message: 'the agent was restarted' } } })
    await host.next('outcomeAccepted')
    expect(await scenario.state()).toBe('lost')
    await expectReceipt('lost', true)
  })

  it('waits for a host that went away, and gives it the keys again when it comes back', async () => {
    const { evidence, entry, ear } = await toReleased(scenario, host)
    host.vanish()
    await until(async () => (await listHosts())[0]?.online === false, 'the host is gone')
    expect(await scenario.state()).toBe('released')
    const again = await connect()
    expect(await again.next('keyRelease')).toMatchObject({ jobId: scenario.jobId })
    await again.outcome(scenario.jobId, await scenario.statement(evidence, entry, ear, null))
    await again.next('outcomeAccepted')
    expect(await scenario.state()).toBe('failed')
    await expectReceipt('execution', true)
  })

  it('asks the host to stop when it is cancelled, and ends with what the host signs', async () => {
    const { evidence, entry, ear } = await toReleased(scenario, host)
    const alice = await gateway.dial('client', 'alice')
    await alice.unary(JobService.cancelJob, { jobId: scenario.jobId })
    await host.next('jobCancel')
    expect(await scenario.state()).toBe('released')
    const outcome = { kind: 'cancelled', exitCode: null, code: 'CANCELLED', reason: 'the gateway cancelled the job' } as const
    await host.outcome(scenario.jobId, await scenario.statement(evidence, entry, ear, null, { outcome }))
    await host.next('outcomeAccepted')
    expect(await scenario.state()).toBe('cancelled')
    await expectReceipt('execution', true)
  })

  it('acknowledges the same outcome as often as it comes', async () => {
    const { evidence, entry, ear } = await toReleased(scenario, host)
    const statement = await scenario.statement(evidence, entry, ear, null)
    for (let i = 0; i < 3; i++) {
      await host.outcome(scenario.jobId, statement)
      await host.next('outcomeAccepted')
    }
    const before = await scenario.receipt()
    host.vanish()
    const again = new FakeHost(await gateway.dial('host', 'h1'))
    again.hello([scenario.jobId])
    await again.next('outcomeAccepted')
    expect(await scenario.receipt()).toEqual(before)
  })
})

describe('an outcome is refused', () => {
  let released: Awaited<ReturnType<typeof toReleased>>
  beforeEach(async () => {
    released = await toReleased(scenario, host)
  })

  const statement = (changes: Partial<Predicate>): Promise<Uint8Array> =>
    scenario.statement(released.evidence, released.entry, released.ear, null, changes)

  it.each<[string, Partial<Predicate>]>([
    ['another job', { job: toBase64Url(testBytes('other', 32)) }],
    ['another attempt', { attempt: 2 }],
    ['another image', { image: { runner: 'wasm', digest: `sha256:${'00'.repeat(32)}` } }],
    ['other grants', { grants: [] }],
    ['other policies', { policies: [] }],
    ['other evidence', { evidence: toBase64Url(testBytes('other', 32)) }],
    ['another binding', { binding: toBase64Url(testBytes('other', 32)) }],
    ['no release', { releases: [] }],
    ['another release', { releases: [{ leafHash: toBase64Url(testBytes('other', 32)), index: 0, treeSize: 1, time: 0 }] }],
    ['genuine hardware', { simulated: false }],
    [
      'another isolation',
      {
        isolation: {
          runner: 'docker',
          profile: 'sealgate-container-v1',
          profileDigest: toBase64Url(testBytes('p', 32)),
          grade: 'container',
        },
      },
    ],
    ['no isolation', { isolation: null }],
    ['other legal terms', { legal: [] }],
    ['no attestation result', { ear: null }],
    ['outputs without results', { outputs: [{ commitment: toBase64Url(testBytes('output', 32)) }] }],
    ['a loss', { type: 'lost', outcome: { kind: 'lost', exitCode: null, code: null, reason: 'lost' } }],
    ['a refusal that ran', { outcome: { kind: 'refused', exitCode: null, code: null, reason: 'refused' } }],
  ])('when it speaks of %s', async (_what, changes) => {
    await host.outcome(scenario.jobId, await statement(changes))
    expect(await host.ended()).toMatchObject({ code: 'RECEIPT_INCONSISTENT' })
    expect(await scenario.state()).toBe('released')
  })

  it('when another key than the job key signed it', async () => {
    await host.outcome(scenario.jobId, await statement({}), '', testKey('mallory'))
    expect(await host.ended()).toMatchObject({ code: 'RECEIPT_INCONSISTENT' })
  })

  it('when it brings an ML-DSA signature of its own, in the place of the gateway', async () => {
    const own = await issueGeneralJws(await statement({}), 'sealgate-receipt-v1+jws', [testKey('job').jwk], await testMlDsaKey('mallory'))
    host.send({ jobOutcome: { jobId: scenario.jobId, receiptJws: own, resultBlobId: '' } })
    expect(await host.ended()).toMatchObject({ code: 'RECEIPT_INCONSISTENT' })
    expect(await scenario.state()).toBe('released')
  })

  it('when one byte was changed after the signature', async () => {
    const jws = await issueGeneralJws(await statement({}), 'sealgate-receipt-v1+jws', [testKey('job').jwk])
    const text = new TextDecoder().decode(jws)
    const at = text.indexOf('"signature":"') + 20
    const changed = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
    host.send({ jobOutcome: { jobId: scenario.jobId, receiptJws: new TextEncoder().encode(changed), resultBlobId: '' } })
    expect(await host.ended()).toMatchObject({ code: 'SIGNATURE_INVALID' })
  })

  it('when another host brings it', async () => {
    const other = await connect('h2')
    await other.next('challenge')
    await other.outcome(scenario.jobId, await statement({}))
    other.send({ jobProgress: { jobId: scenario.jobId, phase: 'running' } })
    await other.next('jobCancel')
    expect(await scenario.state()).toBe('released')
  })

  it('when it names results that this host did not bring', async () => {
    const dataset = scenario.contract.inputs[0]?.header ?? ''
    await host.outcome(scenario.jobId, await statement({}), dataset)
    expect(await host.ended()).toMatchObject({ code: 'RECEIPT_INCONSISTENT' })
  })
})

async function listHosts() {
  const alice = await gateway.dial('client', 'alice')
  return (await alice.unary(HostService.listHosts, {})).hosts
}
