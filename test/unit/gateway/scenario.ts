import {
  bytesOf,
  DatasetService,
  entryFromWire,
  type GatewayChannel,
  GrantService,
  JobService,
  ReceiptService,
  sealgate,
  toNumber,
  uploadBlob,
} from '../../../src/rpc/index.ts'
import { encodeFileHead, RootHasher, sealedFileSize } from '../../../src/seal/index.ts'
import { issueFlattenedJws } from '../../../src/seal/jws.ts'
import { concat, fromBase64Url, toBase64Url, toHex } from '../../../src/verify/bytes/bytes.ts'
import { CONTRACT_TYP, type Contract, encodeContract } from '../../../src/verify/documents/contract.ts'
import { ERASURE_TYP, type ErasureOrder, encodeErasureOrder } from '../../../src/verify/documents/erasure.ts'
import { type EvidenceBundle, evidenceDigest } from '../../../src/verify/documents/evidence-bundle.ts'
import { encodeGrant, encodeRevocation, GRANT_TYP, type Grant, REVOCATION_TYP } from '../../../src/verify/documents/grant.ts'
import { encodeHeader, type ResultHeader, STREAM_SUITE } from '../../../src/verify/documents/header.ts'
import { encodeHold, HOLD_TYP, type Hold } from '../../../src/verify/documents/hold.ts'
import { encodeIntent, INTENT_TYP, type ReleaseIntent } from '../../../src/verify/documents/intent.ts'
import { DEFAULT_HPKE_SUITE, hpkeKeyDigest } from '../../../src/verify/documents/keys.ts'
import { encodePolicy, type Policy } from '../../../src/verify/documents/policy.ts'
import {
  encodeStatement,
  PREDICATE_TYPE,
  type Predicate,
  STATEMENT_TYPE,
  type StatedRelease,
} from '../../../src/verify/documents/statement.ts'
import { useSlotTag } from '../../../src/verify/documents/use-slot.ts'
import { type LoggedEntry, leafHash, parseCheckpoint } from '../../../src/verify/tlog/index.ts'
import {
  digestOf,
  kemKey,
  owner,
  recipientDigest,
  sampleContract,
  sampleGrant,
  sampleHeader,
  samplePolicy,
  submitter,
  useKey,
} from '../../support/job-documents.ts'
import { testBytes } from '../../support/keys.ts'
import type { FakeHost } from './fake-host.ts'
import type { TestGateway } from './fixture.ts'

/** Whom a scenario talks to, and what time it is there. */
export type Counterpart = Pick<TestGateway, 'dial'> & { readonly clock: { now(): number } }

export const { JobState } = sealgate.v1

/** A sealed file of the right form; nobody has its key. */
export async function sealedFile(header: Uint8Array, label = 'stream'): Promise<{ readonly bytes: Uint8Array; readonly root: Uint8Array }> {
  const head = encodeFileHead(header)
  const stream = testBytes(label, sealedFileSize(header) - head.length)
  const root = new RootHasher()
  await root.update(stream)
  return { bytes: concat(head, stream), root: await root.finish() }
}

/** Uploads a sealed file the ordinary way. */
export async function upload(
  channel: GatewayChannel,
  file: { readonly bytes: Uint8Array; readonly root: Uint8Array },
  header: Uint8Array,
  jobId = '',
): Promise<sealgate.v1.IBlob> {
  const kind = jobId === '' ? sealgate.v1.BlobKind.BLOB_KIND_DATASET : sealgate.v1.BlobKind.BLOB_KIND_RESULT
  const begun = await channel.unary(DatasetService.beginUpload, { kind, header, sizeBytes: file.bytes.length, root: file.root, jobId })
  const uploadId = begun.upload?.uploadId ?? ''
  const source = {
    sizeBytes: file.bytes.length,
    from: async function* (offset: number) {
      yield file.bytes.subarray(offset)
    },
  }
  await uploadBlob({ address: channel.address, identity: channel.identity }, uploadId, source)
  const { blob } = await channel.unary(DatasetService.commitUpload, { uploadId })
  return blob ?? {}
}

export interface Changes {
  readonly policy?: Partial<Policy>
  readonly contract?: Partial<Contract>
  readonly grant?: Partial<Grant>
}

/** One owner's dataset, policy and grant at a gateway, and the documents of a job under them. */
export class Scenario {
  readonly gateway: Counterpart
  readonly header: Uint8Array
  readonly policy: Uint8Array
  readonly contract: Contract
  readonly contractBytes: Uint8Array
  readonly grantJws: Uint8Array
  readonly jobId: string
  job = ''
  grantId = ''
  readonly nonce: Uint8Array

  private constructor(gateway: Counterpart, parts: Pick<Scenario, 'header' | 'policy' | 'contract' | 'grantJws' | 'nonce'>) {
    this.gateway = gateway
    this.header = parts.header
    this.policy = parts.policy
    this.contract = parts.contract
    this.contractBytes = encodeContract(parts.contract)
    this.grantJws = parts.grantJws
    this.nonce = parts.nonce
    this.jobId = parts.contract.jobId
  }

  /** Seals, uploads and grants; the job is not created yet. */
  static async prepare(gateway: Counterpart, changes: Changes = {}): Promise<Scenario> {
    const header = encodeHeader(sampleHeader())
    const policy = encodePolicy(samplePolicy(changes.policy))
    const file = await sealedFile(header)
    const inputs = [{ name: 'data.csv', header: await digestOf(header), root: toBase64Url(file.root) }]
    const contract = await sampleContract(header, policy, { inputs, ...changes.contract })
    const grantBytes = encodeGrant(await sampleGrant(header, policy, changes.grant))
    const grantJws = await issueFlattenedJws(grantBytes, GRANT_TYP, owner.jwk)
    const scenario = new Scenario(gateway, { header, policy, contract, grantJws, nonce: testBytes('owner nonce', 32) })
    scenario.job = await digestOf(scenario.contractBytes)
    const alice = await gateway.dial('client', 'alice')
    await upload(alice, file, header)
    scenario.grantId = (await alice.unary(GrantService.putGrant, { jws: grantJws, policy })).grantId
    return scenario
  }

  /** Another job under the same grant. */
  async another(label: string): Promise<Scenario> {
    const contract = { ...this.contract, jobId: toBase64Url(testBytes(`job ${label}`, 16)) }
    const scenario = new Scenario(this.gateway, {
      header: this.header,
      policy: this.policy,
      contract,
      grantJws: this.grantJws,
      nonce: this.nonce,
    })
    scenario.job = await digestOf(scenario.contractBytes)
    scenario.grantId = this.grantId
    return scenario
  }

  async contractJws(): Promise<Uint8Array> {
    return issueFlattenedJws(this.contractBytes, CONTRACT_TYP, submitter.jwk)
  }

  async create(as = 'alice'): Promise<sealgate.v1.IJob> {
    const channel = await this.gateway.dial('client', as)
    const contractJws = await this.contractJws()
    const { job } = await channel.unary(JobService.createJob, { contractJws, grantIds: [this.grantId], ownerNonces: [this.nonce] })
    return job ?? {}
  }

  async state(): Promise<string> {
    const channel = await this.gateway.dial('client', 'alice')
    const { job } = await channel.unary(JobService.getJob, { jobId: this.jobId })
    return (sealgate.v1.JobState[job?.state ?? 0] ?? '').replace('JOB_STATE_', '').toLowerCase()
  }

  /** The code and reason of the newest transition. */
  async lastStep(): Promise<{ readonly code: string; readonly reason: string }> {
    const channel = await this.gateway.dial('client', 'alice')
    const { job } = await channel.unary(JobService.getJob, { jobId: this.jobId })
    const step = job?.transitions?.at(-1)
    return { code: step?.code ?? '', reason: step?.reason ?? '' }
  }

  async intent(evidence: EvidenceBundle, changes: Partial<ReleaseIntent> = {}): Promise<Uint8Array> {
    const intent: ReleaseIntent = {
      v: 1,
      job: this.job,
      binding: await digestOf(evidence.binding),
      evidence: await evidenceDigest(evidence),
      datasets: this.contract.inputs.map((i) => i.header),
      grants: [this.grantId],
      policies: this.contract.policies,
      slots: [{ grant: this.grantId, k: 0, tag: await useSlotTag(useKey, 0) }],
      kem: await hpkeKeyDigest(kemKey('enclave')),
      mode: 'direct',
      deadline: '2026-05-28T21:00:00Z',
      ...changes,
    }
    return issueFlattenedJws(encodeIntent(intent), INTENT_TYP, owner.jwk)
  }

  async log(intentJws: Uint8Array, salt: Uint8Array = testBytes('release salt', 32)): Promise<LoggedEntry> {
    const channel = await this.gateway.dial('client', 'alice')
    const { entry } = await channel.unary(JobService.logReleaseIntent, { jobId: this.jobId, intentJws, salt })
    return entryFromWire(entry)
  }

  async release(entry: LoggedEntry): Promise<void> {
    const channel = await this.gateway.dial('client', 'alice')
    const keys = this.contract.inputs.map((input) => ({
      headerDigest: fromBase64Url(input.header),
      suite: DEFAULT_HPKE_SUITE,
      enc: testBytes('enc', 1120),
      ciphertext: testBytes('ciphertext', 300),
    }))
    await channel.unary(JobService.releaseKeys, { jobId: this.jobId, leafHash: await leafHash(entry.leaf), keys })
  }

  async revoke(as = owner, stopJobs = false): Promise<void> {
    const bytes = encodeRevocation({ v: 1, grant: this.grantId, revokedAt: '2026-05-28T20:30:00Z', stopJobs })
    const alice = await this.gateway.dial('client', 'alice')
    await alice.unary(GrantService.revokeGrant, { jws: await issueFlattenedJws(bytes, REVOCATION_TYP, as.jwk) })
  }

  /** A hold, or the end of one, by `as`. */
  async hold(changes: Partial<Hold> = {}, as = owner): Promise<void> {
    const alice = await this.gateway.dial('client', 'alice')
    await alice.unary(GrantService.holdGrant, { jws: await this.holdJws(changes, as) })
  }

  holdJws(changes: Partial<Hold> = {}, as = owner): Promise<Uint8Array> {
    const at = '2026-05-28T20:30:00Z'
    const hold: Hold = { v: 1, grant: this.grantId, sequence: 1, held: true, stopJobs: false, basis: null, at, ...changes }
    return issueFlattenedJws(encodeHold(hold), HOLD_TYP, as.jwk)
  }

  /** An order of erasure by `as`, brought by `caller`. @returns how far it has come. */
  async erase(
    as = owner,
    changes: Partial<ErasureOrder> = {},
    caller = 'alice',
  ): Promise<{ readonly index: number | null; readonly waiting: number }> {
    const dataset = await digestOf(this.header)
    const order = { v: 1, dataset, erasedAt: '2026-05-28T20:30:00Z', stopJobs: false, policy: null, reason: null, ...changes } as const
    const orderJws = await issueFlattenedJws(encodeErasureOrder(order), ERASURE_TYP, as.jwk)
    const policy = order.policy === null ? new Uint8Array() : this.policy
    const channel = await this.gateway.dial('client', caller)
    const { logIndex, waitingJobs } = await channel.unary(DatasetService.eraseDataset, { orderJws, policy })
    return { index: logIndex == null ? null : toNumber(logIndex), waiting: waitingJobs }
  }

  /** The receipt of what is no job's. */
  async event(logIndex: number, as = 'alice'): Promise<Uint8Array> {
    const channel = await this.gateway.dial('client', as)
    return bytesOf((await channel.unary(ReceiptService.getEventReceipt, { logIndex })).receiptFile)
  }

  async receipt(as = 'alice'): Promise<Uint8Array> {
    const channel = await this.gateway.dial('client', as)
    return bytesOf((await channel.unary(ReceiptService.getReceipt, { jobId: this.jobId })).receiptFile)
  }

  /** The statement of a job that ran, as an honest agent would make it. */
  async statement(
    evidence: EvidenceBundle,
    entry: LoggedEntry | null,
    ear: Uint8Array | null,
    result: { readonly sha256: string } | null,
    changes: Partial<Predicate> = {},
  ): Promise<Uint8Array> {
    const { contract } = this
    const now = this.gateway.clock.now() / 1000
    const releases = entry === null ? [] : [await releaseOf(entry, now)]
    const subject =
      result === null
        ? { name: 'contract', digest: { sha256: toHex(fromBase64Url(this.job)) } }
        : { name: 'results.sealed', digest: result }
    return encodeStatement({
      _type: STATEMENT_TYPE,
      subject: [subject],
      predicateType: PREDICATE_TYPE,
      predicate: {
        v: 1,
        type: 'execution',
        job: this.job,
        jobId: contract.jobId,
        attempt: contract.attempt,
        image: contract.image,
        inputs: contract.inputs,
        grants: [this.grantId],
        policies: contract.policies,
        binding: await digestOf(evidence.binding),
        evidence: await evidenceDigest(evidence),
        ear: ear === null ? null : (JSON.parse(new TextDecoder().decode(ear)) as Predicate['ear']),
        releases,
        isolation: {
          runner: 'wasm',
          profile: 'sealgate-wasm-v1',
          profileDigest: toBase64Url(testBytes('profile', 32)),
          grade: 'wasm-process',
        },
        outcome: { kind: result === null ? 'failed' : 'succeeded', exitCode: 0, code: null, reason: 'exited with 0' },
        outputs: result === null ? [] : [{ commitment: toBase64Url(testBytes('output', 32)) }],
        sessions: null,
        usage: { source: 'guest-reported', wallMs: 1, cpuMs: 1, memoryPeakBytes: 1, bytesIn: 1000, bytesOut: 1 },
        timing: { notBefore: now, notAfter: now + 10 },
        legal: [sampleHeader().legal],
        keysDestroyed: ['kem', 'data'],
        simulated: true,
        agent: 'fake/0.1.0',
        ...changes,
      },
    })
  }
}

async function releaseOf({ leaf, index, checkpoint }: LoggedEntry, time: number): Promise<StatedRelease> {
  return { leafHash: toBase64Url(await leafHash(leaf)), index, treeSize: parseCheckpoint(checkpoint).size, time }
}

/** A job that an attested host has taken: evidence accepted, nothing released. */
export async function toAttested(scenario: Scenario, host: FakeHost): Promise<EvidenceBundle> {
  await scenario.create()
  const evidence = await host.accept(await host.next('jobOffer'))
  const channel = await scenario.gateway.dial('client', 'alice')
  for await (const { job } of channel.serverStream(JobService.watchJob, { jobId: scenario.jobId })) {
    if (job?.state === JobState.JOB_STATE_ATTESTED) break
  }
  return evidence
}

/** A job whose keys are with its host. */
export async function toReleased(
  scenario: Scenario,
  host: FakeHost,
): Promise<{ readonly evidence: EvidenceBundle; readonly entry: LoggedEntry; readonly ear: Uint8Array }> {
  const evidence = await toAttested(scenario, host)
  const entry = await scenario.log(await scenario.intent(evidence))
  await scenario.release(entry)
  return { evidence, entry, ear: bytesOf((await host.next('keyRelease')).ear) }
}

export function resultHeader(job: string, changes: Partial<ResultHeader> = {}): ResultHeader {
  return {
    v: 1,
    kind: 'result',
    suite: STREAM_SUITE,
    plaintextSize: 500,
    salt: toBase64Url(testBytes('result salt', 32)),
    keyCommitment: toBase64Url(testBytes('result commitment', 32)),
    job,
    recipients: [
      {
        recipient: recipientDigest,
        suite: DEFAULT_HPKE_SUITE,
        enc: toBase64Url(testBytes('enc', 1120)),
        ciphertext: toBase64Url(testBytes('wrapped', 48)),
      },
    ],
    ...changes,
  }
}
