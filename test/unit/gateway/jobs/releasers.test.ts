import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  bytesOf,
  DatasetService,
  entryFromWire,
  type GatewayChannel,
  GrantService,
  JobService,
  ReceiptService,
  ReleaseService,
  sealgate,
} from '../../../../src/rpc/index.ts'
import { issueFlattenedJws, publicOf } from '../../../../src/seal/jws.ts'
import { fromBase64Url, toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { CONTRACT_TYP, type Contract, encodeContract } from '../../../../src/verify/documents/contract.ts'
import { type EvidenceBundle, evidenceDigest } from '../../../../src/verify/documents/evidence-bundle.ts'
import { encodeGrant, encodeRevocation, GRANT_TYP, type Grant, REVOCATION_TYP } from '../../../../src/verify/documents/grant.ts'
import { encodeHeader } from '../../../../src/verify/documents/header.ts'
import { encodeIntent, INTENT_TYP, type ReleaseIntent } from '../../../../src/verify/documents/intent.ts'
import { encodeKeyProof, KEY_PROOF_TYP } from '../../../../src/verify/documents/key-proof.ts'
import { DEFAULT_HPKE_SUITE, hpkeKeyDigest, thumbprint } from '../../../../src/verify/documents/keys.ts'
import { parseLeaf } from '../../../../src/verify/documents/leaf.ts'
import { encodePolicy } from '../../../../src/verify/documents/policy.ts'
import { encodeReceiptFile, type ProvenEntry, parseReceiptFile } from '../../../../src/verify/documents/receipt-file.ts'
import type { TrustFile } from '../../../../src/verify/documents/trust.ts'
import { useKeyCommitment, useSlotTag } from '../../../../src/verify/documents/use-slot.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { type LoggedEntry, leafHash } from '../../../../src/verify/tlog/index.ts'
import {
  digestOf,
  kemKey,
  owner,
  sampleContract,
  sampleGrant,
  sampleHeader,
  samplePolicy,
  submitter,
} from '../../../support/job-documents.ts'
import { type TestKey, testBytes, testKey } from '../../../support/keys.ts'
import { FakeHost } from '../fake-host.ts'
import { TestGateway, until } from '../fixture.ts'
import { sealedFile, upload } from '../scenario.ts'

let gateway: TestGateway
let host: FakeHost
let job: TwoOwners

const second = testKey('second owner')

/** One of two owners: a dataset, a grant, and the client that brought them. */
interface Side {
  readonly client: string
  readonly key: TestKey
  readonly header: string
  readonly grant: string
  readonly useKey: Uint8Array
  readonly nonce: Uint8Array
}

/** A job of a third party on the data of two owners. */
class TwoOwners {
  readonly sides: readonly [Side, Side]
  readonly contract: Contract
  readonly policy: Uint8Array
  job = ''

  private constructor(sides: readonly [Side, Side], contract: Contract, policy: Uint8Array) {
    this.sides = sides
    this.contract = contract
    this.policy = policy
  }

  static async prepare(changes: { readonly grant?: Partial<Grant> } = {}): Promise<TwoOwners> {
    const policy = encodePolicy(samplePolicy())
    const made = []
    for (const [client, key] of [['alice', owner] as const, ['bob', second] as const]) {
      const header = encodeHeader(sampleHeader({ owner: await thumbprint(publicOf(key.jwk)), salt: toBase64Url(testBytes(client, 32)) }))
      const file = await sealedFile(header, client)
      await upload(await gateway.dial('client', client), file, header)
      made.push({ client, key, header, root: toBase64Url(file.root) })
    }
    const inputs = await Promise.all(made.map(async ({ header, root }, i) => ({ name: `${i}.csv`, header: await digestOf(header), root })))
    const contract = await sampleContract(made[0]?.header ?? new Uint8Array(), policy, { inputs })
    const sides: Side[] = []
    for (const { client, key, header } of made) {
      const useKey = testBytes(`use key ${client}`, 32)
      const terms = { useKeyCommitment: await useKeyCommitment(useKey), ...(client === 'bob' ? changes.grant : {}) }
      const bytes = encodeGrant(await sampleGrant(header, policy, terms))
      const jws = await issueFlattenedJws(bytes, GRANT_TYP, key.jwk)
      const { grantId } = await (await gateway.dial('client', client)).unary(GrantService.putGrant, { jws, policy })
      sides.push({ client, key, header: await digestOf(header), grant: grantId, useKey, nonce: testBytes(`nonce ${client}`, 32) })
    }
    const [a, b] = sides as [Side, Side]
    const two = new TwoOwners([a, b], contract, policy)
    two.job = await digestOf(encodeContract(contract))
    return two
  }

  get jobId(): string {
    return this.contract.jobId
  }

  /** @param brought - Sides for which the submitter sends a nonce. */
  async create(brought: readonly Side[] = []): Promise<sealgate.v1.IJob> {
    const carol = await gateway.dial('client', 'carol')
    const contractJws = await issueFlattenedJws(encodeContract(this.contract), CONTRACT_TYP, submitter.jwk)
    const grantIds = this.sides.map((s) => s.grant)
    const ownerNonces = this.sides.map((s) => (brought.includes(s) ? s.nonce : new Uint8Array()))
    return (await carol.unary(JobService.createJob, { contractJws, grantIds, ownerNonces })).job ?? {}
  }

  async join({ client, grant, nonce }: Side, as = client, with_ = nonce): Promise<void> {
    const channel = await gateway.dial('client', as)
    await channel.unary(ReleaseService.joinJob, { jobId: this.jobId, grants: [{ grantId: grant, nonce: with_ }] })
  }

  async toAttested(): Promise<EvidenceBundle> {
    await this.create()
    for (const side of this.sides) await this.join(side)
    const evidence = await host.accept(await host.next('jobOffer'))
    await until(async () => (await this.state()) === 'attested', 'evidence')
    return evidence
  }

  async intent(evidence: EvidenceBundle, side: Side, changes: Partial<ReleaseIntent> = {}): Promise<Uint8Array> {
    const intent: ReleaseIntent = {
      v: 1,
      job: this.job,
      binding: await digestOf(evidence.binding),
      evidence: await evidenceDigest(evidence),
      datasets: [side.header],
      grants: [side.grant],
      policies: this.contract.policies,
      slots: [{ grant: side.grant, k: 0, tag: await useSlotTag(side.useKey, 0) }],
      kem: await hpkeKeyDigest(kemKey('enclave')),
      mode: 'direct',
      deadline: '2026-05-28T21:00:00Z',
      ...changes,
    }
    return issueFlattenedJws(encodeIntent(intent), INTENT_TYP, side.key.jwk)
  }

  async log(jws: Uint8Array, side: Side): Promise<LoggedEntry> {
    const channel = await gateway.dial('client', side.client)
    const salt = testBytes(`salt ${side.client}`, 32)
    return entryFromWire((await channel.unary(JobService.logReleaseIntent, { jobId: this.jobId, intentJws: jws, salt })).entry)
  }

  async release(entry: LoggedEntry, side: Side, as = side.client): Promise<void> {
    const channel = await gateway.dial('client', as)
    const key = { suite: DEFAULT_HPKE_SUITE, enc: testBytes('enc', 1120), ciphertext: testBytes('ciphertext', 300) }
    const keys = [{ headerDigest: fromBase64Url(side.header), ...key }]
    await channel.unary(JobService.releaseKeys, { jobId: this.jobId, leafHash: await leafHash(entry.leaf), keys })
  }

  async revoke(side: Side): Promise<void> {
    const bytes = encodeRevocation({ v: 1, grant: side.grant, revokedAt: '2026-05-28T20:30:00Z', stopJobs: false })
    const channel = await gateway.dial('client', side.client)
    await channel.unary(GrantService.revokeGrant, { jws: await issueFlattenedJws(bytes, REVOCATION_TYP, side.key.jwk) })
  }

  async state(): Promise<string> {
    const { job } = await (await gateway.dial('client', 'carol')).unary(JobService.getJob, { jobId: this.jobId })
    return (sealgate.v1.JobState[job?.state ?? 0] ?? '').replace('JOB_STATE_', '').toLowerCase().replaceAll('_', '-')
  }

  async reason(): Promise<string> {
    const { job } = await (await gateway.dial('client', 'carol')).unary(JobService.getJob, { jobId: this.jobId })
    const step = job?.transitions?.at(-1)
    return `${step?.code ?? ''} ${step?.reason ?? ''}`
  }

  async receiptBytes(): Promise<Uint8Array> {
    const carol = await gateway.dial('client', 'carol')
    return bytesOf((await carol.unary(ReceiptService.getReceipt, { jobId: this.jobId })).receiptFile)
  }

  /** Names both owners. */
  async trust(): Promise<TrustFile> {
    const owners = await Promise.all(this.sides.map((s) => thumbprint(publicOf(s.key.jwk))))
    return { ...gateway.trust, owners: owners.sort() }
  }

  /** The receipt, verified; and how many releases it holds and its ending ends. */
  async receipt(): Promise<{ readonly releases: number; readonly ends: number }> {
    const bytes = await this.receiptBytes()
    const verdict = await verifyReceiptFile(bytes, { trust: await this.trust() })
    expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
    const file = parseReceiptFile(bytes)
    return { releases: file.intents.length, ends: parseLeaf(fromBase64Url(file.log.ending.leaf)).ends.length }
  }
}

async function prove(channel: GatewayChannel, key: TestKey, tls: string): Promise<void> {
  const jws = await issueFlattenedJws(encodeKeyProof({ v: 1, tls }), KEY_PROOF_TYP, key.jwk)
  await channel.unary(GrantService.proveKey, { jws })
}

/** What the gateway sees as the TLS key of an identity. */
async function tlsOf(name: string): Promise<string> {
  const { createHash, X509Certificate } = await import('node:crypto')
  const { cert } = await gateway.identity('client', name)
  const spki = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' })
  return toBase64Url(createHash('sha256').update(spki).digest())
}

const withCode = (code: string): object => expect.objectContaining({ code })

beforeEach(async () => {
  gateway = await TestGateway.start()
  host = new FakeHost(await gateway.dial('host', 'h1'))
  host.hello()
  await host.attest()
  job = await TwoOwners.prepare()
})
afterEach(() => gateway.end())

describe('a job of several releasers', () => {
  it('waits for the nonce of every one, asks a host, and goes on when all have logged and all have sealed', async () => {
    const [a, b] = job.sides
    await job.create()
    expect(await job.state()).toBe('awaiting-releasers')
    await job.join(a)
    expect(await job.state()).toBe('awaiting-releasers')
    await job.join(b)
    const offer = await host.next('jobOffer')
    const sorted = [a, b].sort((x, y) => (x.grant < y.grant ? -1 : 1))
    expect((offer.ownerNonces ?? []).map(bytesOf)).toEqual(sorted.map((s) => s.nonce))
    const evidence = await host.accept(offer)
    await until(async () => (await job.state()) === 'attested', 'evidence')
    const first = await job.log(await job.intent(evidence, a), a)
    expect(await job.state()).toBe('attested')
    await job.release(first, a)
    expect(await job.state()).toBe('attested')
    const other = await job.log(await job.intent(evidence, b), b)
    expect(await job.state()).toBe('logged')
    await job.release(other, b)
    expect(await job.state()).toBe('released')
    const { parts } = await host.next('keyRelease')
    expect((parts ?? []).map((p) => Number(p.entry?.index))).toEqual([first.index, other.index])
    expect((parts ?? []).map((p) => p.keys?.length)).toEqual([1, 1])
    await job.release(other, b)
    await (await gateway.dial('client', 'carol')).unary(JobService.cancelJob, { jobId: job.jobId })
  })

  it('goes on after a restart in the middle, with what was logged and sealed', async () => {
    const [a, b] = job.sides
    const evidence = await job.toAttested()
    await job.release(await job.log(await job.intent(evidence, a), a), a)
    await gateway.restart()
    const back = new FakeHost(await gateway.dial('host', 'h1'))
    back.hello([job.jobId], ['wasm'], [job.jobId])
    await back.attest()
    await job.release(await job.log(await job.intent(evidence, b), b), b)
    expect((await back.next('keyRelease')).parts).toHaveLength(2)
  })

  it('is refused with one receipt for all that was logged when one does not release', async () => {
    const [a] = job.sides
    const evidence = await job.toAttested()
    await job.release(await job.log(await job.intent(evidence, a), a), a)
    gateway.clock.advance(601)
    await until(async () => (await job.state()) === 'refused', 'the deadline')
    expect(await job.reason()).toContain(`DEADLINE nothing was released in time by direct:${await thumbprint(publicOf(second.jwk))}`)
    expect(await job.receipt()).toEqual({ releases: 1, ends: 1 })
  })

  it('ends all logged releases when it is cancelled between log and keys', async () => {
    const [a, b] = job.sides
    const evidence = await job.toAttested()
    for (const side of [a, b]) await job.log(await job.intent(evidence, side), side)
    await (await gateway.dial('client', 'carol')).unary(JobService.cancelJob, { jobId: job.jobId })
    expect(await job.receipt()).toEqual({ releases: 2, ends: 2 })

    const file = parseReceiptFile(await job.receiptBytes())
    const [first, other] = file.intents.map((intent, i) => ({ intent, entry: file.log.releases[i] as ProvenEntry }))
    if (first === undefined || other === undefined) throw new Error('want two releases')
    for (const kept of [
      [first],
      [other],
      [other, first],
      [first, first],
      [first, other, other],
      [first, { ...other, intent: first.intent }],
    ]) {
      const releases = kept.map((r) => r.entry)
      const spliced = encodeReceiptFile({ ...file, intents: kept.map((r) => r.intent), log: { ...file.log, releases } })
      expect((await verifyReceiptFile(spliced, { trust: await job.trust() })).decision).toBe('reject')
    }
    const unpaired = encodeReceiptFile({ ...file, intents: [first.intent] })
    expect(await verifyReceiptFile(unpaired, { trust: await job.trust() })).toMatchObject({ error: { code: 'DOCUMENT_INVALID' } })
  })

  it('is refused when nobody joins while its contract holds', async () => {
    await job.create()
    gateway.clock.advance(2 * 3600)
    await until(async () => (await job.state()) === 'refused', 'the end of the contract')
    expect(await job.reason()).toContain('DEADLINE')
    expect(await job.receipt()).toEqual({ releases: 0, ends: 0 })
  })

  it.each(['awaiting', 'logged by the other', 'sealed by the other'])('is refused when one owner revokes while it is %s', async (when) => {
    const [a, b] = job.sides
    if (when === 'awaiting') {
      await job.create()
    } else {
      const evidence = await job.toAttested()
      const entry = await job.log(await job.intent(evidence, a), a)
      if (when === 'sealed by the other') await job.release(entry, a)
    }
    await job.revoke(b)
    expect(await job.state()).toBe('refused')
    expect(await job.reason()).toMatch(/^GRANT_DENIED/)
    expect(await job.receipt()).toEqual(when === 'awaiting' ? { releases: 0, ends: 0 } : { releases: 1, ends: 1 })
  })
})

describe('a releaser is refused', () => {
  it('an intent that takes the dataset, or the grant, of the other owner along', async () => {
    const [a, b] = job.sides
    const evidence = await job.toAttested()
    const greedy = [
      { datasets: [a.header, b.header] },
      {
        grants: [a.grant, b.grant].sort(),
        slots: [a, b]
          .map((s) => ({ grant: s.grant, k: 0, tag: toBase64Url(testBytes('t', 32)) }))
          .sort((x, y) => (x.grant < y.grant ? -1 : 1)),
      },
      { datasets: [b.header], grants: [b.grant], slots: [{ grant: b.grant, k: 0, tag: toBase64Url(testBytes('t', 32)) }] },
    ]
    for (const changes of greedy) {
      await expect(job.log(await job.intent(evidence, a, changes), a)).rejects.toEqual(withCode('GRANT_DENIED'))
    }
  })

  it('a second release under another intent', async () => {
    const [a] = job.sides
    const evidence = await job.toAttested()
    const jws = await job.intent(evidence, a)
    const entry = await job.log(jws, a)
    expect((await job.log(jws, a)).index).toBe(entry.index)
    const slots = [{ grant: a.grant, k: 1, tag: await useSlotTag(a.useKey, 1) }]
    await expect(job.log(await job.intent(evidence, a, { slots }), a)).rejects.toEqual(withCode('JOB_CONFLICT'))
  })

  it('the nonce of a grant that another releases under, and another nonce once a host was asked', async () => {
    const [a, b] = job.sides
    await job.create()
    await expect(job.join(a, b.client)).rejects.toEqual(withCode('PERMISSION_DENIED'))
    await expect(job.join(a, 'carol')).rejects.toEqual(withCode('PERMISSION_DENIED'))
    await expect(job.join(a, 'mallory')).rejects.toEqual(withCode('NOT_FOUND'))
    await expect(job.join(a, a.client, testBytes('short', 31))).rejects.toEqual(withCode('DOCUMENT_INVALID'))
    // While the job waits, one that was restarted may bring a new one.
    await job.join(a, a.client, testBytes('forgotten', 32))
    await job.join(a)
    await job.join(b)
    await host.next('jobOffer')
    await job.join(a)
    await expect(job.join(a, a.client, testBytes('replayed', 32))).rejects.toEqual(withCode('JOB_CONFLICT'))
  })

  it('no nonce of its own, where the submitter has made one up', async () => {
    const [a, b] = job.sides
    await job.create([a])
    expect(await job.state()).toBe('awaiting-releasers')
    // Alice's client made no such nonce. It brings its own, while it may.
    await job.join(a, a.client, testBytes('of alice herself', 32))
    await job.join(b)
    const { ownerNonces } = await host.next('jobOffer')
    expect((ownerNonces ?? []).map(bytesOf)).toContainEqual(testBytes('of alice herself', 32))
    expect((ownerNonces ?? []).map(bytesOf)).not.toContainEqual(a.nonce)
  })

  it('keys for a release of somebody else', async () => {
    const [a, b] = job.sides
    const evidence = await job.toAttested()
    const entry = await job.log(await job.intent(evidence, a), a)
    await expect(job.release(entry, a, b.client)).rejects.toEqual(withCode('PERMISSION_DENIED'))
    await expect(job.release(entry, a, 'carol')).rejects.toEqual(withCode('PERMISSION_DENIED'))
    await expect(job.release(entry, b, a.client)).rejects.toEqual(withCode('DOCUMENT_INVALID'))
    await job.release(entry, a)
  })

  it('a job whose recipients, or submitter, one of the owners does not name', async () => {
    for (const grant of [{ recipients: [] }, { submitters: [] }]) {
      await gateway.end()
      gateway = await TestGateway.start()
      await expect((await TwoOwners.prepare({ grant })).create()).rejects.toEqual(withCode('GRANT_DENIED'))
    }
  })
})

describe('who may see what', () => {
  it('owners see the job under their grants; one that no grant names sees neither job, terms, evidence nor receipt', async () => {
    await job.toAttested()
    const jobId = job.jobId
    for (const side of job.sides) {
      const channel = await gateway.dial('client', side.client)
      expect((await channel.unary(ReleaseService.getReleaseTerms, { jobId })).grantsJws).toHaveLength(2)
      expect((await channel.unary(JobService.getJobEvidence, { jobId })).ownerNonces).toHaveLength(2)
    }
    const mallory = await gateway.dial('client', 'mallory')
    await prove(mallory, testKey('mallory'), await tlsOf('mallory'))
    const attempts: readonly (() => Promise<unknown>)[] = [
      () => mallory.unary(JobService.getJob, { jobId }),
      () => mallory.unary(JobService.getJobEvidence, { jobId }),
      () => mallory.unary(ReleaseService.getReleaseTerms, { jobId }),
      () => mallory.unary(ReceiptService.getReceipt, { jobId }),
      () => mallory.unary(GrantService.getGrant, { grantId: job.sides[0].grant }),
      () => mallory.unary(DatasetService.getBlob, { blobId: job.sides[0].header }),
    ]
    for (const attempt of attempts) await expect(attempt()).rejects.toEqual(withCode('NOT_FOUND'))
    expect((await mallory.unary(ReleaseService.listReleases, {})).releases).toEqual([])
    expect((await mallory.unary(GrantService.listGrants, {})).grants).toEqual([])
  })

  it('a submitter that a grant names reads the grant and the header of its datasets, after proving the key, until it is revoked', async () => {
    const [a] = job.sides
    const carol = await gateway.dial('client', 'carol')
    const header = (): Promise<unknown> => carol.unary(DatasetService.getBlob, { blobId: a.header })
    await expect(header()).rejects.toEqual(withCode('NOT_FOUND'))
    await prove(carol, submitter, await tlsOf('carol'))
    expect(await header()).toMatchObject({ blob: { blobId: a.header } })
    expect((await carol.unary(GrantService.listGrants, {})).grants).toHaveLength(2)
    await job.revoke(a)
    await expect(header()).rejects.toEqual(withCode('NOT_FOUND'))
  })

  it('a submitter sees no job of another submitter by being named in the grants', async () => {
    await job.create()
    const dave = await gateway.dial('client', 'dave')
    await prove(dave, submitter, await tlsOf('dave'))
    await expect(dave.unary(JobService.getJob, { jobId: job.jobId })).rejects.toEqual(withCode('NOT_FOUND'))
  })

  it('a proof that was made for another TLS key proves nothing', async () => {
    const mallory = await gateway.dial('client', 'mallory')
    await expect(prove(mallory, owner, await tlsOf('alice'))).rejects.toEqual(withCode('PERMISSION_DENIED'))
    await job.create()
    await expect(mallory.unary(JobService.getJob, { jobId: job.jobId })).rejects.toEqual(withCode('NOT_FOUND'))
    // The owner itself may come with another certificate, and speak for its grants there.
    const phone = await gateway.dial('client', 'phone')
    await prove(phone, owner, await tlsOf('phone'))
    expect((await phone.unary(ReleaseService.listReleases, {})).releases).toMatchObject([{ jobId: job.jobId }])
    await job.join(job.sides[0], 'phone')
  })
})
