import type { ClientDuplexStream } from '@grpc/grpc-js'
import { bundleToWire, bytesOf, entryFromWire, HostService, type sealgate } from '../../src/rpc/index.ts'
import { issueGeneralJws } from '../../src/seal/jws.ts'
import { toBase64Url } from '../../src/verify/bytes/bytes.ts'
import type { EvidenceBundle } from '../../src/verify/documents/evidence-bundle.ts'
import { jobNonce } from '../../src/verify/documents/job-nonce.ts'
import { RECEIPT_TYP } from '../../src/verify/documents/statement.ts'
import { verifyFlattenedJws } from '../../src/verify/formats/jws.ts'
import type { LoggedEntry } from '../../src/verify/tlog/index.ts'
import { jobKey } from '../support/job-documents.ts'
import { evidenceFor } from '../unit/gateway/fake-host.ts'
import type { MortalGateway } from './mortal-gateway.ts'

type ToHost = sealgate.v1.ConnectResponse

/** What a host heard of one job. */
export interface Heard {
  readonly evidence: EvidenceBundle
  /** Entries under which keys came, one for each delivery. */
  readonly releases: LoggedEntry[]
  ear: Uint8Array | null
}

/** Makes the statement of a job once its keys are here. */
export type Finish = (jobId: string, heard: Heard) => Promise<Uint8Array>

/** A host that outlives its gateways: answers whatever is asked, the same every time, and keeps outcomes until they are taken. */
export class SteadyHost {
  readonly jobs = new Map<string, Heard>()
  readonly #name: string
  readonly #finish: Finish
  readonly #unacknowledged = new Map<string, Uint8Array>()
  #stream: ClientDuplexStream<sealgate.v1.IConnectRequest, ToHost> | null = null

  constructor(name: string, finish: Finish) {
    this.#name = name
    this.#finish = finish
  }

  async connect(gateway: MortalGateway): Promise<void> {
    const stream = (await gateway.dial('host', this.#name)).bidi(HostService.connect)
    this.#stream = stream
    stream.on('error', () => {})
    stream.on('data', (message: ToHost) => void this.#answer(stream, message).catch((error) => this.#fail(error)))
    stream.write({ hello: { version: 'fake/0.1.0', runners: ['wasm'], unacknowledgedJobs: [...this.#unacknowledged.keys()] } })
    for (const [jobId, receiptJws] of this.#unacknowledged) stream.write({ jobOutcome: { jobId, receiptJws, resultBlobId: '' } })
  }

  /** An error of the test itself; those of a dying gateway do not come here. */
  failure: unknown = null
  #fail(error: unknown): void {
    this.failure ??= error
  }

  async #answer(stream: ClientDuplexStream<sealgate.v1.IConnectRequest, ToHost>, message: ToHost): Promise<void> {
    const send = (body: sealgate.v1.IConnectRequest): void => {
      if (this.#stream === stream && !stream.destroyed) stream.write(body)
    }
    const { challenge, jobOffer, keyRelease, outcomeAccepted } = message
    if (challenge) {
      const nonce = bytesOf(challenge.nonce)
      send({ evidence: { nonce, evidence: bundleToWire(await evidenceFor({ nonce: toBase64Url(nonce) })) } })
    }
    if (jobOffer) send({ jobEvidence: { jobId: jobOffer.jobId ?? '', evidence: bundleToWire(await this.#evidence(jobOffer)) } })
    if (keyRelease) await this.#run(keyRelease, send)
    if (outcomeAccepted) this.#unacknowledged.delete(outcomeAccepted.jobId ?? '')
  }

  async #evidence(offer: sealgate.v1.IJobOffer): Promise<EvidenceBundle> {
    const jobId = offer.jobId ?? ''
    const known = this.jobs.get(jobId)
    if (known !== undefined) return known.evidence
    const { digest } = await verifyFlattenedJws(bytesOf(offer.contractJws), 'sealgate-contract-v1+jws', 'offer')
    const nonce = await jobNonce(digest, (offer.ownerNonces ?? []).map(bytesOf), offer.checkpoint ?? '')
    const evidence = await evidenceFor({ role: 'job', job: digest, nonce: toBase64Url(nonce) })
    this.jobs.set(jobId, { evidence, releases: [], ear: null })
    return evidence
  }

  async #run(release: sealgate.v1.IKeyRelease, send: (body: sealgate.v1.IConnectRequest) => void): Promise<void> {
    const jobId = release.jobId ?? ''
    const heard = this.jobs.get(jobId)
    if (heard === undefined) throw new Error(`keys for ${jobId}, which was never offered`)
    heard.releases.push(entryFromWire(release.parts?.[0]?.entry))
    heard.ear = bytesOf(release.ear)
    // Keys are opened once: the second delivery changes nothing.
    if (heard.releases.length > 1) return
    const receiptJws = await issueGeneralJws(await this.#finish(jobId, heard), RECEIPT_TYP, [jobKey.jwk])
    this.#unacknowledged.set(jobId, receiptJws)
    send({ jobOutcome: { jobId, receiptJws, resultBlobId: '' } })
  }
}
