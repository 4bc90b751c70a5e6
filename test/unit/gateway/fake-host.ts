import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js'
import { bundleToWire, bytesOf, fromServiceError, type GatewayChannel, HostService, type sealgate } from '../../../src/rpc/index.ts'
import { issueGeneralJws } from '../../../src/seal/jws.ts'
import { toBase64Url } from '../../../src/verify/bytes/bytes.ts'
import { type Binding, encodeBinding } from '../../../src/verify/documents/binding.ts'
import type { EvidenceBundle } from '../../../src/verify/documents/evidence-bundle.ts'
import { jobNonce } from '../../../src/verify/documents/job-nonce.ts'
import { RECEIPT_TYP } from '../../../src/verify/documents/statement.ts'
import type { AttestError } from '../../../src/verify/errors.ts'
import { encodeCanonical } from '../../../src/verify/formats/canonical-json.ts'
import { verifyFlattenedJws } from '../../../src/verify/formats/jws.ts'
import { digestOf, jobKey, kemKey } from '../../support/job-documents.ts'
import type { TestKey } from '../../support/keys.ts'
import { MEASUREMENT, platform, simulatedReport } from '../../support/receipt-builder.ts'

type ToHost = sealgate.v1.ConnectResponse
type Kind = NonNullable<ToHost['body']>

const CONFIG = encodeCanonical({ agent: 'fake/0.1.0', runners: ['wasm'] })

/** SIMULATED evidence for the given binding. */
export async function evidenceFor(changes: Partial<Binding>, measurement: string = MEASUREMENT): Promise<EvidenceBundle> {
  const binding = encodeBinding({
    v: 1,
    context: 'sealgate/attest/v1',
    role: 'host',
    nonce: toBase64Url(new Uint8Array(32)),
    kem: kemKey('enclave'),
    sig: { alg: 'Ed25519', publicKey: jobKey.jwk.x },
    tls: null,
    devices: [],
    config: await digestOf(CONFIG),
    job: null,
    ...changes,
  })
  const report = await simulatedReport(binding, platform, measurement)
  const endorsements = [platform.vek.certificate, platform.intermediate.certificate, platform.crl]
  return { binding, config: CONFIG, cpu: { format: 'sev-snp', report }, devices: [], endorsements }
}

/** A host that does what a test tells it to. */
export class FakeHost {
  readonly #stream: ClientDuplexStream<sealgate.v1.IConnectRequest, ToHost>
  readonly #inbox: ToHost[] = []
  #wake: () => void = () => {}
  /** How the stream ended; null while it is open or when it ended in order. */
  error: AttestError | null = null
  closed = false

  constructor(channel: GatewayChannel) {
    this.#stream = channel.bidi(HostService.connect)
    this.#stream.on('data', (message: ToHost) => {
      this.#inbox.push(message)
      this.#wake()
    })
    this.#stream.on('error', (error: ServiceError) => {
      this.error = fromServiceError(error)
      this.closed = true
      this.#wake()
    })
    this.#stream.on('end', () => {
      this.closed = true
      this.#stream.end()
      this.#wake()
    })
  }

  send(message: sealgate.v1.IConnectRequest): void {
    this.#stream.write(message)
  }

  /** The next message of this kind, others before it dropped. */
  async next<K extends Kind>(kind: K): Promise<NonNullable<ToHost[K]>> {
    for (;;) {
      const message = this.#inbox.shift()
      const body = message?.[kind]
      if (body !== undefined && body !== null) return body
      if (message === undefined) {
        if (this.closed) throw this.error ?? new Error(`the stream ended before ${kind}`)
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    }
  }

  /** The next message, of whatever kind, and the job that it is about. */
  async any(): Promise<{ readonly kind: string; readonly jobId: string }> {
    while (this.#inbox.length === 0) {
      if (this.closed) throw this.error ?? new Error('the stream ended')
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    const message = this.#inbox.shift()
    const kind = message?.body ?? ''
    const body = kind === '' ? null : message?.[kind]
    return { kind, jobId: body !== null && body !== undefined && 'jobId' in body ? (body.jobId ?? '') : '' }
  }

  /** Resolves when the gateway has ended the stream, with its reason. */
  async ended(): Promise<AttestError | null> {
    while (!this.closed) await new Promise<void>((resolve) => (this.#wake = resolve))
    return this.error
  }

  hello(unacknowledgedJobs: string[] = [], runners: string[] = ['wasm'], waitingJobs: string[] = []): void {
    this.send({ hello: { version: 'fake/0.1.0', runners, unacknowledgedJobs, waitingJobs } })
  }

  /** Answers the next challenge. */
  async attest(changes: Partial<Binding> = {}, measurement?: string): Promise<sealgate.v1.IAppraisal> {
    const nonce = bytesOf((await this.next('challenge')).nonce)
    const evidence = await evidenceFor({ nonce: toBase64Url(nonce), ...changes }, measurement)
    this.send({ evidence: { nonce, evidence: bundleToWire(evidence) } })
    return this.next('appraisal')
  }

  /** Makes evidence for an offer and sends it. */
  async accept(offer: sealgate.v1.IJobOffer, changes: Partial<Binding> = {}, measurement?: string): Promise<EvidenceBundle> {
    const { digest } = await verifyFlattenedJws(bytesOf(offer.contractJws), 'sealgate-contract-v1+jws', 'offer')
    const nonce = await jobNonce(digest, (offer.ownerNonces ?? []).map(bytesOf), offer.checkpoint ?? '')
    const evidence = await evidenceFor({ role: 'job', job: digest, nonce: toBase64Url(nonce), ...changes }, measurement)
    this.send({ jobEvidence: { jobId: offer.jobId ?? '', evidence: bundleToWire(evidence) } })
    return evidence
  }

  async outcome(jobId: string, statement: Uint8Array, resultBlobId = '', key: TestKey = jobKey): Promise<void> {
    this.send({ jobOutcome: { jobId, receiptJws: await issueGeneralJws(statement, RECEIPT_TYP, [key.jwk]), resultBlobId } })
  }

  /** Goes away without a word. */
  vanish(): void {
    this.#stream.on('error', () => {})
    this.#stream.cancel()
  }
}
