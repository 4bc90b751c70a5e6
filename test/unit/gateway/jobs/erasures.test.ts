import { copyFileSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { GATEWAY_FILES } from '../../../../src/gateway/index.ts'
import type { SqlitePort } from '../../../../src/gateway/store/sqlite.ts'
import { DatasetService, downloadBlob, GrantService, ReceiptService, sealgate, toNumber } from '../../../../src/rpc/index.ts'
import { fromBase64Url, toBase64Url, toHex } from '../../../../src/verify/bytes/bytes.ts'
import type { EvidenceBundle } from '../../../../src/verify/documents/evidence-bundle.ts'
import { encodeHeader } from '../../../../src/verify/documents/header.ts'
import { parseReceiptFile } from '../../../../src/verify/documents/receipt-file.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { digestOf, owner } from '../../../support/job-documents.ts'
import { testBytes, testKey } from '../../../support/keys.ts'
import { FakeHost } from '../fake-host.ts'
import { CommitFaults } from '../faults.ts'
import { TestGateway, until } from '../fixture.ts'
import { resultHeader, Scenario, sealedFile, toAttested, toReleased, upload } from '../scenario.ts'

class Store {
  port: SqlitePort | null = null
  #before: string | null = null
  readonly faults = new CommitFaults()

  wrap = (port: SqlitePort): SqlitePort => {
    this.port = port
    const faulty = this.faults.wrap(port)
    return {
      ...faulty,
      prepare: (sql) => {
        const before = this.#before
        if (sql === 'begin' && before !== null) {
          this.#before = null
          port.exec(before)
        }
        return faulty.prepare(sql)
      },
    }
  }

  /** An order that commits after the gateway looked, and before its own transaction. */
  eraseBeforeNext(dataset: string, order: Uint8Array): void {
    this.#before = `insert into erasures values ('${dataset}', x'${toHex(order)}', x'00', null, 'client:alice', 1, null)`
  }

  rows(sql: string): readonly Record<string, unknown>[] {
    return (this.port?.prepare(sql).all([]) ?? []) as readonly Record<string, unknown>[]
  }
}

let gateway: TestGateway
let host: FakeHost
let scenario: Scenario
let store: Store
let dataset: string

beforeEach(async () => {
  store = new Store()
  gateway = await TestGateway.start({ attestationSeconds: 86_400 }, { wrap: store.wrap })
  host = new FakeHost(await gateway.dial('host', 'h1'))
  host.hello()
  await host.attest()
  scenario = await Scenario.prepare(gateway, { grant: { uses: 3 } })
  dataset = await digestOf(scenario.header)
})
afterEach(() => gateway.end())

const data = (): string => join(gateway.folder, GATEWAY_FILES.data)
const blobPath = (id = dataset): string => join(data(), 'blobs', id)

async function erased(bytes: Uint8Array) {
  const verdict = await verifyReceiptFile(bytes, { trust: gateway.trust })
  expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
  if (verdict.decision !== 'accept' || verdict.claims.type !== 'erasure') throw new Error('not the receipt of an erasure')
  return verdict.claims
}

type Running = { readonly evidence: EvidenceBundle } & Pick<Awaited<ReturnType<typeof toReleased>>, 'entry' | 'ear'>

/** A job that ran to its end, its sealed result at the gateway. */
async function ran(): Promise<{ readonly receipt: Uint8Array; readonly result: string }> {
  const { evidence, entry, ear } = await toReleased(scenario, host)
  const header = encodeHeader(resultHeader(scenario.job))
  const file = await sealedFile(header, 'result')
  const blob = await upload(await gateway.dial('host', 'h1'), file, header, scenario.jobId)
  const sha256 = toHex(new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', file.bytes.slice())))
  await host.outcome(scenario.jobId, await scenario.statement(evidence, entry, ear, { sha256 }), blob.blobId ?? '')
  await host.next('outcomeAccepted')
  return { receipt: await scenario.receipt(), result: blob.blobId ?? '' }
}

async function stopped({ evidence, entry, ear }: Running): Promise<void> {
  const outcome = { kind: 'cancelled', exitCode: null, code: 'CANCELLED', reason: 'the gateway cancelled the job' } as const
  await host.outcome(scenario.jobId, await scenario.statement(evidence, entry, ear, null, { outcome }))
  await host.next('outcomeAccepted')
}

async function refused(work: Promise<unknown>, code = 'DATASET_ERASED'): Promise<void> {
  await expect(work).rejects.toMatchObject({ code })
}

describe('an erasure', () => {
  it('takes ciphertext, records, results and openings, and leaves receipts that people hold as good as they were', async () => {
    const { receipt, result } = await ran()
    const before = store.rows('select leaf, hash from log_leaves order by idx')
    const { index } = await scenario.erase(owner, { reason: 'Art. 17' })
    const claims = await erased(await scenario.event(index ?? -1))
    expect(claims).toMatchObject({ dataset, reason: 'Art. 17', destroyed: { jobs: 1, results: 1, grants: 1, openings: 2, uploads: 1 } })
    expect(claims.destroyed.ciphertext?.bytes).toBeGreaterThan(1000)
    expect([existsSync(blobPath()), existsSync(blobPath(result))]).toEqual([false, false])
    expect(store.rows(`select * from blobs`)).toEqual([])
    expect(store.rows(`select * from grants`)).toEqual([])
    // The tree is what it was, and the openings that stay are those of the host and of the erasure.
    expect(store.rows('select leaf, hash from log_leaves order by idx').slice(0, before.length)).toEqual(before)
    expect(store.rows('select idx from log_openings').map((r) => r.idx)).toEqual([0, index])
    expect(await verifyReceiptFile(receipt, { trust: gateway.trust })).toMatchObject({ decision: 'accept' })
    await refused(scenario.receipt())
    expect(await scenario.state()).toBe('succeeded')
    await gateway.restart()
    expect(await scenario.event(index ?? -1)).toEqual(await scenario.event(index ?? -1))
  })

  it('leaves no byte of an erased salt or opening in any file of the gateway', async () => {
    const { receipt } = await ran()
    const { log } = parseReceiptFile(receipt)
    const canaries = [log.ending, ...log.releases].map(({ salt }) => salt).map((salt) => Buffer.from(fromBase64Url(salt)))
    const everywhere = (): Buffer =>
      Buffer.concat(
        readdirSync(data(), { withFileTypes: true })
          .filter((e) => e.isFile())
          .map((e) => readFileSync(join(data(), e.name))),
      )
    for (const canary of canaries) expect(everywhere().includes(canary)).toBe(true)
    await scenario.erase()
    for (const canary of canaries) expect(everywhere().includes(canary)).toBe(false)
    expect(everywhere().includes(Buffer.from(scenario.jobId))).toBe(true)
    expect(everywhere().includes(Buffer.from(toBase64Url(scenario.contractBytes).slice(0, 60)))).toBe(false)
  })

  it('is refused from another owner, from another client, and for a dataset that is not here', async () => {
    await refused(scenario.erase(testKey('mallory')), 'PERMISSION_DENIED')
    await refused(scenario.erase(owner, {}, 'mallory'), 'NOT_FOUND')
    await refused(scenario.erase(owner, { dataset: toBase64Url(testBytes('another', 32)) }), 'NOT_FOUND')
    await scenario.create()
    expect(store.rows('select * from erasures')).toEqual([])
    expect(existsSync(blobPath())).toBe(true)
  })

  it('replayed for another dataset of the same owner is not one of it', async () => {
    const header = encodeHeader({ ...JSON.parse(new TextDecoder().decode(scenario.header)), plaintextSize: 7 } as never)
    await upload(await gateway.dial('client', 'alice'), await sealedFile(header), header)
    await scenario.erase()
    expect(existsSync(blobPath(await digestOf(header)))).toBe(true)
  })

  it('under a policy of another log, or one that it does not name, is refused before anything happens', async () => {
    await refused(scenario.erase(owner, { policy: toBase64Url(testBytes('another', 32)) }), 'POLICY_DENIED')
    const index = (await scenario.erase(owner, { policy: await digestOf(scenario.policy) })).index ?? -1
    await erased(await scenario.event(index))
  })

  it('keeps the dataset out for ever: upload, grant, job, list, bytes', async () => {
    const alice = await gateway.dial('client', 'alice')
    const { index } = await scenario.erase()
    const file = await sealedFile(scenario.header)
    await refused(upload(alice, file, scenario.header))
    await refused(scenario.create())
    await refused(alice.unary(GrantService.putGrant, { jws: scenario.grantJws, policy: scenario.policy }))
    const { datasets, erased: list } = await alice.unary(DatasetService.listDatasets, {})
    expect(datasets).toEqual([])
    expect(list.map((e) => [e.blobId, toNumber(e.logIndex)])).toEqual([[dataset, index]])
    await refused(alice.unary(DatasetService.getBlob, { blobId: dataset }), 'NOT_FOUND')
  })

  it('is the same twice, twice at once, and with another order', async () => {
    await ran()
    const both = await Promise.all([scenario.erase(), scenario.erase(owner, { reason: 'again' })])
    expect(both[0]).toEqual(both[1])
    expect(await scenario.erase(owner, { stopJobs: true })).toEqual(both[0])
    expect(store.rows(`select * from events where type = 'erasure'`)).toHaveLength(1)
  })

  it('ends jobs that have no keys, and takes their records', async () => {
    const evidence = await toAttested(scenario, host)
    const intent = await scenario.intent(evidence)
    await scenario.log(intent)
    const waiting = await scenario.another('waiting')
    await waiting.create()
    const { index } = await scenario.erase()
    expect([await scenario.state(), await waiting.state()]).toEqual(['refused', 'refused'])
    expect((await scenario.lastStep()).code).toBe('DATASET_ERASED')
    expect((await erased(await scenario.event(index ?? -1))).destroyed).toMatchObject({ jobs: 2, openings: 3 })
    await host.next('jobCancel')
    await refused(scenario.log(intent))
  })

  it('waits for a job that has the key, and is carried out when it ends', async () => {
    const running = await toReleased(scenario, host)
    expect(await scenario.erase()).toEqual({ index: null, waiting: 1 })
    // In force meanwhile: its owner gets nothing any more, nobody else either but the host of this job.
    await refused((await gateway.dial('client', 'alice')).unary(DatasetService.getBlob, { blobId: dataset }))
    const h1 = await gateway.dial('host', 'h1')
    const bytes = downloadBlob({ address: h1.address, identity: h1.identity }, dataset, readFileSync(blobPath()).length)
    for await (const chunk of bytes) expect(chunk.length).toBeGreaterThan(0)
    await refused((await scenario.another('second')).create())
    await host.outcome(scenario.jobId, await scenario.statement(running.evidence, running.entry, running.ear, null))
    await host.next('outcomeAccepted')
    await until(() => !existsSync(blobPath()), 'the dataset is erased')
    const { index } = await scenario.erase()
    expect((await erased(await scenario.event(index ?? -1))).destroyed).toMatchObject({ jobs: 1, openings: 2 })
  })

  it('stops a job that has the key where the owner asks for it, at once or later', async () => {
    const running = await toReleased(scenario, host)
    expect(await scenario.erase()).toEqual({ index: null, waiting: 1 })
    expect(await scenario.erase(owner, { stopJobs: true })).toEqual({ index: null, waiting: 1 })
    expect(await host.next('jobCancel')).toMatchObject({ jobId: scenario.jobId })
    await stopped(running)
    await until(async () => (await scenario.erase()).index !== null, 'the dataset is erased')
    expect(await scenario.state()).toBe('cancelled')
  })

  it('tells a host to stop that was away, and takes no outcome of a job whose records are gone', async () => {
    const running = await toReleased(scenario, host)
    host.vanish()
    await scenario.erase(owner, { stopJobs: true })
    host = new FakeHost(await gateway.dial('host', 'h1'))
    host.hello([scenario.jobId])
    await host.attest()
    await stopped(running)
    await until(async () => (await scenario.erase()).index !== null, 'the dataset is erased')
    const leaves = store.rows('select idx from log_leaves').length
    await host.outcome(scenario.jobId, await scenario.statement(running.evidence, running.entry, running.ear, null))
    expect(await host.next('jobCancel')).toMatchObject({ jobId: scenario.jobId })
    expect(store.rows('select idx from log_leaves')).toHaveLength(leaves)
    // Also after a reconnect the host may let go of it.
    host.vanish()
    host = new FakeHost(await gateway.dial('host', 'h1'))
    host.hello([scenario.jobId])
    expect(await host.next('outcomeAccepted')).toMatchObject({ jobId: scenario.jobId })
  })

  it.each(['log entry', 'release', 'job'])('that comes between the check and the %s keeps it out', async (what) => {
    const order = testBytes('an order', 8)
    if (what === 'job') {
      store.eraseBeforeNext(dataset, order)
      return refused(scenario.create())
    }
    const intent = await scenario.intent(await toAttested(scenario, host))
    const entry = what === 'release' ? await scenario.log(intent) : null
    store.eraseBeforeNext(dataset, order)
    await refused(entry === null ? scenario.log(intent) : scenario.release(entry))
    expect(await scenario.state()).toBe('refused')
    expect(store.rows('select sealed_keys from job_releases where sealed_keys is not null')).toEqual([])
  })

  it('races a release: either the keys went before the answer, or never', async () => {
    const entry = await scenario.log(await scenario.intent(await toAttested(scenario, host)))
    const [release, erasure] = await Promise.allSettled([scenario.release(entry), scenario.erase()])
    const waits = erasure.status === 'fulfilled' && erasure.value.waiting > 0
    expect(waits).toBe(release.status === 'fulfilled')
    expect(store.rows('select sealed_keys from job_releases where sealed_keys is not null')).toEqual([])
  })

  it('of an upload that is under way takes what has come of it', async () => {
    const alice = await gateway.dial('client', 'alice')
    const header = encodeHeader({ ...JSON.parse(new TextDecoder().decode(scenario.header)), plaintextSize: 9 } as never)
    const { bytes, root } = await sealedFile(header)
    const kind = sealgate.v1.BlobKind.BLOB_KIND_DATASET
    const { upload: begun } = await alice.unary(DatasetService.beginUpload, { kind, header, sizeBytes: bytes.length, root, jobId: '' })
    const { index } = await scenario.erase(owner, { dataset: await digestOf(header) })
    expect((await erased(await scenario.event(index ?? -1))).destroyed).toMatchObject({ ciphertext: null, uploads: 1, openings: 0 })
    await refused(alice.unary(DatasetService.commitUpload, { uploadId: begun?.uploadId ?? '' }), 'NOT_FOUND')
  })

  it('takes the revocations of its grants, whose receipts people may hold', async () => {
    await scenario.revoke()
    const alice = await gateway.dial('client', 'alice')
    const list = async () =>
      (await alice.unary(ReceiptService.listReceipts, {})).receipts.map((r) => [r.type, r.subject, toNumber(r.logIndex)])
    expect(await list()).toEqual([
      ['onboard', 'h1', 0],
      ['revocation', scenario.grantId, 1],
    ])
    const receipt = await scenario.event(1)
    expect(await verifyReceiptFile(receipt, { trust: gateway.trust })).toMatchObject({ decision: 'accept', claims: { type: 'revocation' } })
    await scenario.erase()
    expect((await list()).map(([type]) => type)).toEqual(['onboard', 'erasure'])
    await refused(scenario.event(1), 'NOT_FOUND')
    expect(await verifyReceiptFile(receipt, { trust: gateway.trust })).toMatchObject({ decision: 'accept' })
  })

  it('shows its receipt to who ordered it, and those of hosts to every client', async () => {
    const { index } = await scenario.erase()
    await refused(scenario.event(index ?? -1, 'mallory'), 'NOT_FOUND')
    const onboarding = await scenario.event(0, 'mallory')
    const verdict = await verifyReceiptFile(onboarding, { trust: gateway.trust })
    expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
    expect(verdict).toMatchObject({ decision: 'accept', claims: { type: 'onboard', host: 'h1', simulated: true } })
  })
})

describe('an erasure that a crash cuts', () => {
  it.each([
    ['before the order', 'before', 0],
    ['after the order', 'after', 0],
    ['before the entry', 'before', 1],
    ['after the entry', 'after', 1],
  ] as const)('%s is whole when asked for again, and claims nothing before', async (_, fault, skip) => {
    await ran()
    store.faults.arm(fault, skip)
    await expect(scenario.erase()).rejects.toMatchObject({ code: 'INTERNAL' })
    const claimed = store.rows(`select * from events where type = 'erasure'`).length > 0
    if (claimed) expect(existsSync(blobPath())).toBe(false)
    await gateway.restart()
    const { index } = await scenario.erase()
    const { destroyed } = await erased(await scenario.event(index ?? -1))
    expect(destroyed).toMatchObject({ jobs: 1, results: 1, grants: 1, openings: 2, uploads: 1 })
    expect(destroyed.ciphertext).not.toBeNull()
    expect(store.rows(`select * from events where type = 'erasure'`)).toHaveLength(1)
  })

  it('is gone on with at the next start, also when nobody asks', async () => {
    await ran()
    store.faults.arm('before', 1)
    await expect(scenario.erase()).rejects.toMatchObject({ code: 'INTERNAL' })
    await gateway.restart()
    await until(() => store.rows('select * from erasures where log_index is not null').length === 1, 'the dataset is erased')
  })
})

describe('the start of a gateway after an erasure', () => {
  const starts = (): Promise<void> => gateway.restart()

  beforeEach(async () => {
    await ran()
  })

  it('goes on: erased openings are no damage', async () => {
    await scenario.erase()
    await starts()
  })

  it.each([
    ['an opening is gone that no erasure took', 'delete from log_openings where idx = 1'],
    ['an opening that was not erased poses as erased', 'delete from log_openings where idx = 1; insert into log_erased values (1, 0)'],
    ['an opening is another one', `update log_openings set opening = x'00' where idx = 1`],
    ['an erased opening is back', `insert into log_erased values (1, 3)`],
  ])('is refused when %s', async (_, sql) => {
    for (const statement of sql.split('; ')) store.port?.exec(statement)
    await expect(starts()).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
  })

  it('is refused with a database of before it', async () => {
    const [file, copy] = [join(data(), 'gateway.db'), join(gateway.folder, 'copy.db')]
    await gateway.stop()
    copyFileSync(file, copy)
    await gateway.restart()
    await scenario.erase()
    await gateway.stop()
    copyFileSync(copy, file)
    await expect(starts()).rejects.toMatchObject({ code: 'LOG_ROLLED_BACK' })
  })
})

it('a job about a second dataset keeps its records until that one is erased too', async () => {
  const alice = await gateway.dial('client', 'alice')
  const header = encodeHeader({ ...JSON.parse(new TextDecoder().decode(scenario.header)), plaintextSize: 7 } as never)
  const second = await sealedFile(header)
  await upload(alice, second, header)
  const other = await digestOf(header)
  const inputs = [...scenario.contract.inputs, { name: 'more.csv', header: other, root: toBase64Url(second.root) }]
  const grantId = toBase64Url(testBytes('both', 16))
  const jobId = toBase64Url(testBytes('both job', 16))
  const both = await Scenario.prepare(gateway, {
    contract: { jobId, inputs },
    grant: { grantId, datasets: [dataset, other].sort() },
  })
  await both.create()
  const first = await erased(await both.event((await both.erase()).index ?? -1))
  expect(first.destroyed).toMatchObject({ jobs: 0, openings: 0 })
  expect(await verifyReceiptFile(await both.receipt(), { trust: gateway.trust })).toMatchObject({ decision: 'accept' })
  const last = await erased(await both.event((await both.erase(owner, { dataset: other })).index ?? -1))
  expect(last.destroyed).toMatchObject({ jobs: 1, grants: 1, openings: 1 })
  await refused(both.receipt())
})
