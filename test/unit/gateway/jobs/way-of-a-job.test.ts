import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bytesOf, DatasetService, downloadBlob, JobService, ReceiptService } from '../../../../src/rpc/index.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import type { EvidenceBundle } from '../../../../src/verify/documents/evidence-bundle.ts'
import { encodeHeader } from '../../../../src/verify/documents/header.ts'
import { INTENT_TYP, parseIntent, type ReleaseIntent } from '../../../../src/verify/documents/intent.ts'
import { parsePolicy } from '../../../../src/verify/documents/policy.ts'
import { useSlotTag } from '../../../../src/verify/documents/use-slot.ts'
import { verifyFlattenedJws } from '../../../../src/verify/formats/jws.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { verifyEntry } from '../../../../src/verify/tlog/index.ts'
import { useKey } from '../../../support/job-documents.ts'
import { testBytes } from '../../../support/keys.ts'
import { FakeHost } from '../fake-host.ts'
import { TestGateway } from '../fixture.ts'
import { resultHeader, Scenario, sealedFile, toAttested, upload } from '../scenario.ts'

let gateway: TestGateway
let host: FakeHost
beforeEach(async () => {
  gateway = await TestGateway.start({ attestationSeconds: 86_400 })
  host = new FakeHost(await gateway.dial('host', 'h1'))
  host.hello()
})
afterEach(() => gateway.end())

describe('a job', () => {
  it('goes the whole way and leaves a receipt that verifies', async () => {
    expect((await host.attest()).verdict).toMatchObject({ accepted: true })
    const scenario = await Scenario.prepare(gateway)
    const evidence = await toAttested(scenario, host)

    const intentJws = await scenario.intent(evidence)
    const entry = await scenario.log(intentJws)
    await verifyEntry({ ...entry, opening: intentJws }, parsePolicy(scenario.policy))
    await scenario.release(entry)
    const release = await host.next('keyRelease')
    expect((release.parts ?? []).map((part) => bytesOf(part.intentJws))).toEqual([intentJws])
    expect(release.parts?.[0]?.keys).toHaveLength(1)

    const h1 = await gateway.dial('host', 'h1')
    const bytes: Uint8Array[] = []
    const endpoint = { address: h1.address, identity: h1.identity }
    const { blob: dataset } = await h1.unary(DatasetService.getBlob, { blobId: release.blobIds?.[0] ?? '' })
    for await (const chunk of downloadBlob(endpoint, dataset?.blobId ?? '', Number(dataset?.sizeBytes ?? 0))) bytes.push(chunk)
    expect(Buffer.concat(bytes).equals(Buffer.from((await sealedFile(scenario.header)).bytes))).toBe(true)

    host.send({ jobProgress: { jobId: scenario.jobId, phase: 'running' } })
    const header = encodeHeader(resultHeader(scenario.job))
    const file = await sealedFile(header, 'result')
    const result = await upload(h1, file, header, scenario.jobId)
    const sha256 = createHash('sha256').update(file.bytes).digest('hex')
    await host.outcome(scenario.jobId, await scenario.statement(evidence, entry, bytesOf(release.ear), { sha256 }), result.blobId ?? '')
    expect(await host.next('outcomeAccepted')).toMatchObject({ jobId: scenario.jobId })

    expect(await scenario.state()).toBe('succeeded')
    const receipt = await scenario.receipt()
    const verdict = await verifyReceiptFile(receipt, { trust: gateway.trust })
    expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
    expect(verdict.decision).toBe('accept')

    const alice = await gateway.dial('client', 'alice')
    expect(await alice.unary(JobService.getResults, { jobId: scenario.jobId })).toMatchObject({ blobId: result.blobId })
    expect((await alice.unary(ReceiptService.listReceipts, {})).receipts).toMatchObject([
      { jobId: '', type: 'onboard', subject: 'h1' },
      { jobId: scenario.jobId, type: 'execution', subject: '' },
    ])
    const { job } = await alice.unary(JobService.getJob, { jobId: scenario.jobId })
    const states = job?.transitions?.map((t) => t.state)
    expect(states).toEqual([1, 2, 3, 4, 5, 6, 7])
    await gateway.restart()
    expect(await scenario.receipt()).toEqual(receipt)
  })

  it('is seen by its creator and by the owner of its grants, and by nobody else', async () => {
    await host.attest()
    const scenario = await Scenario.prepare(gateway)
    await scenario.create('bob')
    for (const name of ['alice', 'bob']) {
      const channel = await gateway.dial('client', name)
      expect((await channel.unary(JobService.listJobs, {})).jobs).toHaveLength(1)
    }
    const mallory = await gateway.dial('client', 'mallory')
    expect((await mallory.unary(JobService.listJobs, {})).jobs).toEqual([])
    const { jobId } = scenario
    const attempts = [
      mallory.unary(JobService.getJob, { jobId }),
      mallory.unary(JobService.explainJob, { jobId }),
      mallory.unary(JobService.getJobEvidence, { jobId }),
      mallory.unary(JobService.logReleaseIntent, { jobId }),
      mallory.unary(JobService.releaseKeys, { jobId }),
      mallory.unary(JobService.cancelJob, { jobId }),
      mallory.unary(JobService.getResults, { jobId }),
      mallory.unary(ReceiptService.getReceipt, { jobId }),
      mallory.serverStream(JobService.watchJob, { jobId }).next(),
    ]
    await Promise.all(attempts.map((attempt) => expect(attempt).rejects.toMatchObject({ code: 'NOT_FOUND' })))
  })

  it('is created once, however often it is asked for', async () => {
    const scenario = await Scenario.prepare(gateway)
    const first = await scenario.create()
    expect((await scenario.create()).transitions?.[0]).toEqual(first.transitions?.[0])
    await expect(scenario.create('bob')).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
  })

  it('shows its evidence, what it was appraised to, and what went into its nonce', async () => {
    await host.attest()
    const scenario = await Scenario.prepare(gateway)
    const evidence = await toAttested(scenario, host)
    const alice = await gateway.dial('client', 'alice')
    const shown = await alice.unary(JobService.getJobEvidence, { jobId: scenario.jobId })
    expect(bytesOf(shown.evidence?.binding)).toEqual(evidence.binding)
    expect(shown.verdict).toMatchObject({ accepted: true, authentic: true })
    expect(shown.ownerNonces.map(bytesOf)).toEqual([scenario.nonce])
    expect(shown.checkpoint).toContain('log.example/sealgate')
    const explained = await alice.unary(JobService.explainJob, { jobId: scenario.jobId })
    expect(explained.hosts).toMatchObject([{ host: 'h1', chosen: true }])
  })
})

async function cancel({ jobId }: Scenario): Promise<void> {
  const alice = await gateway.dial('client', 'alice')
  await alice.unary(JobService.cancelJob, { jobId })
  await host.next('jobCancel')
}

async function parsedIntent(scenario: Scenario, evidence: EvidenceBundle): Promise<ReleaseIntent> {
  return parseIntent((await verifyFlattenedJws(await scenario.intent(evidence), INTENT_TYP, 'intent')).payload)
}

describe('a release', () => {
  let scenario: Scenario
  let evidence: Awaited<ReturnType<typeof toAttested>>
  beforeEach(async () => {
    await host.attest()
    scenario = await Scenario.prepare(gateway, { grant: { uses: 2 } })
    evidence = await toAttested(scenario, host)
  })

  it('answers the same entry when it is asked again, and the same keys are taken twice', async () => {
    const intent = await scenario.intent(evidence)
    const entry = await scenario.log(intent)
    expect(await scenario.log(intent)).toEqual(entry)
    await scenario.release(entry)
    await scenario.release(entry)
    expect(await scenario.state()).toBe('released')
  })

  it.each([
    ['another job', { job: toBase64Url(testBytes('other', 32)) }],
    ['another binding', { binding: toBase64Url(testBytes('other', 32)) }],
    ['another key', { kem: toBase64Url(testBytes('other', 32)) }],
    ['other datasets', { datasets: [toBase64Url(testBytes('other', 32))] }],
    ['other grants', { grants: [toBase64Url(testBytes('other', 32))] }],
    ['a slot beyond the uses', { slots: [] as never }],
  ])('rejects an intent for %s', async (_what, changes) => {
    const slots = [{ grant: scenario.grantId, k: 2, tag: toBase64Url(testBytes('tag', 32)) }]
    const changed = 'slots' in changes ? { slots } : changes
    await expect(scenario.log(await scenario.intent(evidence, changed))).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    expect(await scenario.state()).toBe('attested')
  })

  it('rejects an intent whose deadline has passed', async () => {
    await expect(scenario.log(await scenario.intent(evidence, { deadline: '2026-05-28T20:00:00Z' }))).rejects.toMatchObject({
      code: 'DEADLINE',
    })
  })

  it('rejects keys without a logged intent, and keys after another entry', async () => {
    const alice = await gateway.dial('client', 'alice')
    await expect(alice.unary(JobService.releaseKeys, { jobId: scenario.jobId })).rejects.toMatchObject({ code: 'JOB_CONFLICT' })
    const entry = await scenario.log(await scenario.intent(evidence))
    await expect(scenario.release({ ...entry, leaf: testBytes('other', 50) })).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' })
    expect(await scenario.state()).toBe('logged')
  })

  it('uses each slot once: rejects a spent slot in another job, and another job when no slot is left', async () => {
    await scenario.log(await scenario.intent(evidence))
    await cancel(scenario)
    const second = await scenario.another('second')
    const again = await toAttested(second, host)
    await expect(second.log(await second.intent(again))).rejects.toMatchObject({ code: 'GRANT_USED' })
    expect(await second.state()).toBe('attested')
    // The slot is another one, but its public tag stands in the log already.
    const [spent] = (await parsedIntent(scenario, evidence)).slots
    const stolen = [{ grant: second.grantId, k: 1, tag: spent?.tag ?? '' }]
    await expect(second.log(await second.intent(again, { slots: stolen }))).rejects.toMatchObject({ code: 'GRANT_USED' })
    const fresh = [{ grant: second.grantId, k: 1, tag: await useSlotTag(useKey, 1) }]
    await second.log(await second.intent(again, { slots: fresh }))
    await cancel(second)
    await expect((await scenario.another('third')).create()).rejects.toMatchObject({ code: 'GRANT_USED' })
  })

  it('does not follow a grant that its owner has revoked', async () => {
    const entry = await scenario.log(await scenario.intent(evidence))
    await scenario.revoke()
    await expect(scenario.release(entry)).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    expect(await scenario.state()).toBe('refused')
    const verdict = await verifyReceiptFile(await scenario.receipt(), { trust: gateway.trust })
    expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
  })
})
