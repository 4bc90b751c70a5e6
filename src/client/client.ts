import { createHash, X509Certificate } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { MethodDefinition } from '@grpc/grpc-js'
import {
  bundleFromWire,
  bytesOf,
  type CallOptions,
  DatasetService,
  downloadBlob,
  entryFromWire,
  GatewayChannel,
  GrantService,
  HostService,
  JobService,
  LogService,
  ReceiptService,
  ReleaseService,
  type sealgate,
  type TlsIdentity,
  type TransferOptions,
  toNumber,
  type UploadSource,
  uploadBlob,
  verdictFromWire,
  type WireVerdict,
} from '../rpc/index.ts'
import { dialRelay, servicePath } from '../rpc/service/index.ts'
import { issueFlattenedJws, type SigningPrivateKey } from '../seal/index.ts'
import { fromBase64Url, toBase64Url } from '../verify/bytes/bytes.ts'
import type { EvidenceBundle } from '../verify/documents/evidence-bundle.ts'
import { encodeKeyProof, KEY_PROOF_TYP } from '../verify/documents/key-proof.ts'
import { AttestError } from '../verify/errors.ts'
import type { LoggedEntry } from '../verify/tlog/index.ts'
import { loadIdentity } from './folder.ts'
import { isFinal, type JobStateName, type JobView, jobFromWire, stateName } from './job-view.ts'
import { checkGoing, Patience, rest } from './patience.ts'
import type { RemoteTerms } from './release/terms.ts'

/** A sealed file at the gateway. */
export interface RemoteBlob {
  readonly blobId: string
  readonly header: Uint8Array
  /** base64url. */
  readonly root: string
  readonly sizeBytes: number
}

export interface RemoteErasure {
  readonly dataset: string
  /** RFC 3339, the gateway's clock. */
  readonly orderedAt: string
  /** Null while jobs still have the key. */
  readonly logIndex: number | null
}

/** How far an erasure has come at the gateway. */
export interface ErasureProgress {
  /** Place of the erasure in the log; null while jobs still have the key. */
  readonly logIndex: number | null
  readonly waitingJobs: number
}

export interface RemoteReceipt {
  /** Empty for what is no job's. */
  readonly jobId: string
  readonly type: string
  readonly logIndex: number
  /** What it is about where that is no job: a dataset, a host, a grant. */
  readonly subject: string
}

export interface RemoteGrant {
  readonly grantId: string
  readonly jws: Uint8Array
  readonly policy: Uint8Array
  readonly revoked: boolean
  /** The newest hold of it, or end of one, as its owner signed it; null: the gateway tells of none. */
  readonly hold: Uint8Array | null
}

export interface RemoteEvidence {
  readonly bundle: EvidenceBundle
  /** What the gateway thinks of it; nobody needs to believe it. */
  readonly verdict: WireVerdict
  /** The checkpoint that went into the nonce. */
  readonly checkpoint: string
  /** Of all releasers, in the order of the job's grants, as the gateway has them. */
  readonly ownerNonces: readonly Uint8Array[]
  /** Certificates and CRLs (DER) and Intel's documents that the gateway used: collateral, never anchors. */
  readonly endorsements: readonly Uint8Array[]
}

export interface RemoteHost {
  readonly name: string
  readonly online: boolean
  readonly attested: boolean
  readonly busy: boolean
  readonly runners: readonly string[]
  readonly tee: string
  readonly simulated: boolean
  readonly measurement: string
}

export interface SealedKeyMessage {
  /** SHA-256 of the dataset header, base64url. */
  readonly header: string
  readonly suite: string
  readonly enc: Uint8Array
  readonly ciphertext: Uint8Array
}

/**
 * What one identity asks of one gateway, in the words of the documents. Everything that comes back is a claim: whoever
 * uses it to release a key or to show a result checks it first, as {@link runJob} does.
 */
export class Client {
  readonly #channel: GatewayChannel
  readonly #patience = new Patience()

  constructor(address: string, identity: TlsIdentity) {
    this.#channel = new GatewayChannel(address, identity)
  }

  /**
   * @param folder - An identity folder made by `sealgate ca issue`.
   * @throws AttestError `FILE_UNREADABLE`. Nothing is dialled yet.
   */
  static async connect(folder: string): Promise<Client> {
    const { file, tls } = await loadIdentity(folder)
    if (file.role !== 'client') throw new AttestError('USAGE', `${folder} is the identity of a ${file.role}, not of a client`)
    return new Client(file.gateway, tls)
  }

  close(): void {
    this.#channel.close()
  }

  // Datasets

  /** Opens an upload, or finds the one that this identity began for the same file. */
  async beginUpload(header: Uint8Array, root: string, sizeBytes: number, options: CallOptions = {}): Promise<string> {
    const request = { kind: 1, header, root: fromBase64Url(root), sizeBytes }
    const { upload } = await this.#call(DatasetService.beginUpload, request, options)
    return upload?.uploadId ?? ''
  }

  /** Sends what the gateway lacks of an upload, over HTTPS. */
  upload(uploadId: string, source: UploadSource, options: TransferOptions = {}): Promise<void> {
    return uploadBlob(this.#endpoint(), uploadId, source, options)
  }

  async commitUpload(uploadId: string, options: CallOptions = {}): Promise<RemoteBlob> {
    // The gateway reads the whole file again to check its root.
    const { blob } = await this.#call(DatasetService.commitUpload, { uploadId }, { timeoutMs: 10 * 60_000, ...options })
    return blobFromWire(blob)
  }

  async listDatasets(options: CallOptions = {}): Promise<readonly RemoteBlob[]> {
    return (await this.#call(DatasetService.listDatasets, {}, options)).datasets.map(blobFromWire)
  }

  /** Datasets that this identity had erased, or that are being erased. */
  async listErased(options: CallOptions = {}): Promise<readonly RemoteErasure[]> {
    const { erased } = await this.#call(DatasetService.listDatasets, {}, options)
    return erased.map(({ blobId, orderedAt, logIndex }) => ({
      dataset: blobId ?? '',
      orderedAt: orderedAt ?? '',
      logIndex: logIndex == null ? null : toNumber(logIndex),
    }))
  }

  /** @param policy - Exact bytes of the policy that the order names. */
  async eraseDataset(orderJws: Uint8Array, policy: Uint8Array | null, options: CallOptions = {}): Promise<ErasureProgress> {
    const request = { orderJws, policy: policy ?? new Uint8Array() }
    const { logIndex, waitingJobs } = await this.#call(DatasetService.eraseDataset, request, options)
    return { logIndex: logIndex == null ? null : toNumber(logIndex), waitingJobs }
  }

  /** What a sealed file is, without its bytes: one's own, or one that a grant lets this identity use. */
  async getBlob(blobId: string, options: CallOptions = {}): Promise<RemoteBlob> {
    return blobFromWire((await this.#call(DatasetService.getBlob, { blobId }, options)).blob)
  }

  download(blobId: string, sizeBytes: number, options: TransferOptions = {}): AsyncGenerator<Uint8Array> {
    return downloadBlob(this.#endpoint(), blobId, sizeBytes, options)
  }

  // Grants

  async putGrant(jws: Uint8Array, policy: Uint8Array, options: CallOptions = {}): Promise<string> {
    return (await this.#call(GrantService.putGrant, { jws, policy }, options)).grantId
  }

  async getGrant(grantId: string, options: CallOptions = {}): Promise<RemoteGrant> {
    return grantFromWire((await this.#call(GrantService.getGrant, { grantId }, options)).grant)
  }

  async listGrants(options: CallOptions = {}): Promise<readonly RemoteGrant[]> {
    return (await this.#call(GrantService.listGrants, {}, options)).grants.map(grantFromWire)
  }

  async revokeGrant(jws: Uint8Array, options: CallOptions = {}): Promise<void> {
    await this.#call(GrantService.revokeGrant, { jws }, options)
  }

  async holdGrant(jws: Uint8Array, options: CallOptions = {}): Promise<void> {
    await this.#call(GrantService.holdGrant, { jws }, options)
  }

  // Hosts

  async listHosts(options: CallOptions = {}): Promise<readonly RemoteHost[]> {
    const { hosts } = await this.#call(HostService.listHosts, {}, options)
    return hosts.map(({ name, online, attested, busy, runners, tee, simulated, measurement }) => ({
      name: name ?? '',
      online: online === true,
      attested: attested === true,
      busy: busy === true,
      runners: runners ?? [],
      tee: tee ?? '',
      simulated: simulated === true,
      measurement: measurement ?? '',
    }))
  }

  // Jobs

  async createJob(
    contractJws: Uint8Array,
    grantIds: readonly string[],
    ownerNonces: readonly Uint8Array[],
    options: CallOptions = {},
  ): Promise<JobView> {
    const request = { contractJws, grantIds: [...grantIds], ownerNonces: [...ownerNonces] }
    return jobFromWire((await this.#call(JobService.createJob, request, options)).job)
  }

  async getJob(jobId: string, options: CallOptions = {}): Promise<JobView> {
    return jobFromWire((await this.#call(JobService.getJob, { jobId }, options)).job)
  }

  async listJobs(options: CallOptions = {}): Promise<readonly JobView[]> {
    return (await this.#call(JobService.listJobs, {}, options)).jobs.map(jobFromWire)
  }

  /** The job as it changes, up to a final state. */
  async *watchJob(jobId: string, options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<JobView> {
    let pauses = this.#patience.pauses()
    for (;;) {
      checkGoing(options.signal)
      try {
        for await (const { job } of this.#channel.serverStream(JobService.watchJob, { jobId }, options)) {
          const view = jobFromWire(job)
          pauses = this.#patience.pauses()
          yield view
          if (isFinal(view.state)) return
        }
        throw new AttestError('GATEWAY_UNREACHABLE', 'the gateway stopped telling about the job')
      } catch (error) {
        const [pause, ...others] = pauses
        if (pause === undefined || !this.#patience.isWorthWaiting(error, options.signal)) throw error
        await rest(pause, options.signal)
        pauses = others
      }
    }
  }

  async explainJob(
    jobId: string,
    options: CallOptions = {},
  ): Promise<readonly { readonly host: string; readonly chosen: boolean; readonly reasons: readonly string[] }[]> {
    const { hosts } = await this.#call(JobService.explainJob, { jobId }, options)
    return hosts.map((h) => ({ host: h.host ?? '', chosen: h.chosen === true, reasons: h.reasons ?? [] }))
  }

  /** Asked once: who gives up does not wait for a gateway to come back. */
  async cancelJob(jobId: string, options: CallOptions = {}): Promise<JobView> {
    return jobFromWire((await this.#channel.unary(JobService.cancelJob, { jobId }, options)).job)
  }

  async jobEvidence(jobId: string, options: CallOptions = {}): Promise<RemoteEvidence> {
    const answer = await this.#call(JobService.getJobEvidence, { jobId }, options)
    return {
      bundle: bundleFromWire(answer.evidence),
      verdict: verdictFromWire(answer.verdict),
      checkpoint: answer.checkpoint,
      ownerNonces: answer.ownerNonces.map(bytesOf),
      endorsements: answer.endorsements.map(bytesOf),
    }
  }

  async logIntent(jobId: string, intentJws: Uint8Array, salt: Uint8Array, options: CallOptions = {}): Promise<LoggedEntry> {
    const { entry } = await this.#call(JobService.logReleaseIntent, { jobId, intentJws, salt }, options)
    return entryFromWire(entry)
  }

  /** @param leafHash - Of the logged intent, base64url. */
  async releaseKeys(jobId: string, leafHash: string, keys: readonly SealedKeyMessage[], options: CallOptions = {}): Promise<void> {
    const sealed = keys.map(({ header, suite, enc, ciphertext }) => ({ headerDigest: fromBase64Url(header), suite, enc, ciphertext }))
    await this.#call(JobService.releaseKeys, { jobId, leafHash: fromBase64Url(leafHash), keys: sealed }, options)
  }

  /** The sealed results of a job; null when it has none. */
  async results(jobId: string, options: CallOptions = {}): Promise<{ readonly blobId: string; readonly sizeBytes: number } | null> {
    const { blobId, sizeBytes } = await this.#call(JobService.getResults, { jobId }, options)
    return blobId === '' ? null : { blobId, sizeBytes: toNumber(sizeBytes) }
  }

  // Releases

  /**
   * Shows the gateway that this identity holds a signing key, so that it is whom grants name by that key: as owner, as
   * submitter, or as who releases.
   */
  async proveKey(key: SigningPrivateKey, options: CallOptions = {}): Promise<void> {
    const proof = encodeKeyProof({ v: 1, tls: tlsKeyDigest(this.#channel.identity) })
    await this.#call(GrantService.proveKey, { jws: await issueFlattenedJws(proof, KEY_PROOF_TYP, key) }, options)
  }

  /** Jobs, not released yet, of which a proven key of this identity is a releaser. */
  async listReleases(options: CallOptions = {}): Promise<readonly { readonly jobId: string; readonly state: JobStateName }[]> {
    const { releases } = await this.#call(ReleaseService.listReleases, {}, options)
    return releases.map(({ jobId, state }) => ({ jobId: jobId ?? '', state: stateName(state) }))
  }

  async releaseTerms(jobId: string, options: CallOptions = {}): Promise<RemoteTerms> {
    const answer = await this.#call(ReleaseService.getReleaseTerms, { jobId }, options)
    return {
      contract: bytesOf(answer.contractJws),
      grants: answer.grantsJws.map(bytesOf),
      policies: answer.policies.map(bytesOf),
      headers: answer.headers.map(bytesOf),
    }
  }

  /** @param nonces - 32 fresh bytes by grant digest, for the grants that this identity releases under. */
  async joinJob(jobId: string, nonces: ReadonlyMap<string, Uint8Array>, options: CallOptions = {}): Promise<JobView> {
    const grants = [...nonces].map(([grantId, nonce]) => ({ grantId, nonce }))
    return jobFromWire((await this.#call(ReleaseService.joinJob, { jobId, grants }, options)).job)
  }

  /** One end of a relay to the enclave of a service: a stream that nobody needs to trust. */
  openService(jobId: string, signal: AbortSignal): Promise<Duplex> {
    return dialRelay(this.#endpoint(), servicePath(jobId), signal)
  }

  // Receipts

  async receipt(jobId: string, options: CallOptions = {}): Promise<Uint8Array> {
    return bytesOf((await this.#call(ReceiptService.getReceipt, { jobId }, options)).receiptFile)
  }

  /** The receipt of what is no job's, by its place in the log. */
  async eventReceipt(logIndex: number, options: CallOptions = {}): Promise<Uint8Array> {
    return bytesOf((await this.#call(ReceiptService.getEventReceipt, { logIndex }, options)).receiptFile)
  }

  async listReceipts(options: CallOptions = {}): Promise<readonly RemoteReceipt[]> {
    const { receipts } = await this.#call(ReceiptService.listReceipts, {}, options)
    return receipts.map(({ jobId, type, logIndex, subject }) => ({
      jobId: jobId ?? '',
      type: type ?? '',
      logIndex: toNumber(logIndex),
      subject: subject ?? '',
    }))
  }

  // Log

  async checkpoint(options: CallOptions = {}): Promise<string> {
    return (await this.#call(LogService.getCheckpoint, {}, options)).checkpoint
  }

  async inclusionProof(index: number, treeSize: number, options: CallOptions = {}): Promise<readonly Uint8Array[]> {
    return (await this.#call(LogService.getInclusionProof, { index, treeSize }, options)).hashes.map(bytesOf)
  }

  async consistencyProof(oldSize: number, newSize: number, options: CallOptions = {}): Promise<readonly Uint8Array[]> {
    return (await this.#call(LogService.getConsistencyProof, { oldSize, newSize }, options)).hashes.map(bytesOf)
  }

  /** @param count - At most 1000. */
  async leaves(start: number, count: number, options: CallOptions = {}): Promise<readonly Uint8Array[]> {
    return (await this.#call(LogService.listLeaves, { start, count }, options)).leaves.map(bytesOf)
  }

  #call<I, O>(method: MethodDefinition<I, O>, request: I, options: CallOptions): Promise<O> {
    return this.#patience.run(() => this.#channel.unary(method, request, options), options.signal)
  }

  #endpoint(): { readonly address: GatewayChannel['address']; readonly identity: TlsIdentity } {
    return { address: this.#channel.address, identity: this.#channel.identity }
  }
}

/** SHA-256 of the SubjectPublicKeyInfo of an identity's TLS key, base64url. */
function tlsKeyDigest({ cert }: TlsIdentity): string {
  const spki = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' })
  return toBase64Url(createHash('sha256').update(spki).digest())
}

function blobFromWire(wire: sealgate.v1.IBlob | null | undefined): RemoteBlob {
  return {
    blobId: wire?.blobId ?? '',
    header: bytesOf(wire?.header),
    root: toBase64Url(bytesOf(wire?.root)),
    sizeBytes: toNumber(wire?.sizeBytes),
  }
}

function grantFromWire(wire: sealgate.v1.IGrant | null | undefined): RemoteGrant {
  return {
    grantId: wire?.grantId ?? '',
    jws: bytesOf(wire?.jws),
    policy: bytesOf(wire?.policy),
    revoked: wire?.revoked === true,
    hold: wire?.hold == null || wire.hold.length === 0 ? null : bytesOf(wire.hold),
  }
}
