import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { pino } from 'pino'
import type { RemoteEvidence } from '../../src/client/index.ts'
import type { ClientKey } from '../../src/client/service/channel.ts'
import type { KnownService } from '../../src/client/service/service-file.ts'
import { simulatedAttester } from '../../src/host/attesters/sim.ts'
import { collectEvidence } from '../../src/host/job/evidence.ts'
import { JobKeys } from '../../src/host/job/job-keys.ts'
import { ServiceFront } from '../../src/host/service/front.ts'
import { Sessions } from '../../src/host/service/sessions.ts'
import { createServiceKey, type ServiceKey } from '../../src/host/service/tls-key.ts'
import { sevSnpTee } from '../../src/sim/index.ts'
import { toBase64Url } from '../../src/verify/bytes/bytes.ts'
import type { Contract } from '../../src/verify/documents/contract.ts'
import { encodeContract } from '../../src/verify/documents/contract.ts'
import type { EvidenceBundle } from '../../src/verify/documents/evidence-bundle.ts'
import { jobNonce } from '../../src/verify/documents/job-nonce.ts'
import { DEFAULT_HPKE_SUITE } from '../../src/verify/documents/keys.ts'
import type { TrustFile } from '../../src/verify/documents/trust.ts'
import { encodeCanonical } from '../../src/verify/formats/canonical-json.ts'
import { digestOf, headerBytes, policyBytes, sampleContract, samplePolicy } from './job-documents.ts'
import { testBytes } from './keys.ts'
import { simulatedPlatform } from './simulated-platform.ts'

const platform = simulatedPlatform()
const CHECKPOINT = 'the text of a checkpoint'
const NONCES = [testBytes('nonce', 32)]
export const NOW = new Date('2026-01-10T00:00:00Z')

export const serviceTrust: TrustFile = {
  v: 1,
  type: 'sealgate/trust/v1',
  logs: [],
  witnesses: [],
  gateways: [],
  owners: [],
  simulatedRoots: [toBase64Url(platform.root.certificate)],
}

/** A TLS key of a client with a certificate of its own making; its digest is how contracts name it. */
export const clientKey: ServiceKey = await createServiceKey()
export const strangerKey: ServiceKey = await createServiceKey()

export interface Lies {
  /** What evidence is answered instead of fresh evidence for this nonce. */
  readonly renewed?: (nonce: Uint8Array, honest: (nonce: Uint8Array) => Promise<EvidenceBundle>) => Promise<EvidenceBundle>
  /** Members of the job evidence's binding. */
  readonly tls?: string | null
  readonly jobLabel?: string
  readonly idleMs?: number
}

/** The enclave's end of a service in this process, reached over loopback sockets; its TEE is SIMULATED. */
export class TestService {
  readonly front: ServiceFront
  readonly known: KnownService
  readonly evidence: RemoteEvidence
  readonly key: ServiceKey
  /** What reached the workload. */
  readonly seen: IncomingMessage[] = []
  idle = 0
  readonly #workload: Server
  readonly #door: TcpServer

  private constructor(parts: Pick<TestService, 'known' | 'evidence' | 'key'>, front: ServiceFront, workload: Server, door: TcpServer) {
    this.known = parts.known
    this.evidence = parts.evidence
    this.key = parts.key
    this.front = front
    this.#workload = workload
    this.#door = door
  }

  static async start(listener: RequestListener, lies: Lies = {}): Promise<TestService> {
    const key = await createServiceKey()
    const contract: Contract = await sampleContract(headerBytes, policyBytes, {
      jobId: toBase64Url(testBytes(`job ${lies.jobLabel ?? 'service'}`, 16)),
      image: { runner: 'docker', digest: `sha256:${'5e'.repeat(32)}` },
      isolation: 'sealgate-container-v1',
      service: { protocol: 'http', port: 8000, clients: [clientKey.digest], idleMs: lies.idleMs ?? null },
    })
    const job = await digestOf(encodeContract(contract))
    const keys = await JobKeys.create(DEFAULT_HPKE_SUITE, 0)
    const attester = simulatedAttester(sevSnpTee(platform), new Uint8Array(48).fill(0xab))
    const tls = lies.tls === undefined ? key.digest : lies.tls
    const subject = { kem: keys.kem, sig: keys.sig, tls, config: encodeCanonical({}), job }
    const { bundle } = await collectEvidence(attester, { ...subject, role: 'job', nonce: await jobNonce(job, NONCES, CHECKPOINT) })
    const honest = async (nonce: Uint8Array): Promise<EvidenceBundle> =>
      (await collectEvidence(attester, { ...subject, role: 'session', nonce })).bundle
    const holder: { service?: TestService } = {}
    const front = new ServiceFront({
      key,
      terms: contract.service as NonNullable<Contract['service']>,
      sessions: new Sessions(job, (payload, typ) => keys.sign(payload, typ)),
      renew: (nonce) => (lies.renewed === undefined ? honest(nonce) : lies.renewed(nonce, honest)),
      onIdle: () => {
        if (holder.service !== undefined) holder.service.idle++
      },
      logger: pino({ enabled: false }),
    })
    const workload = createServer((request, response) => {
      holder.service?.seen.push(request)
      listener(request, response)
    })
    await new Promise<void>((resolve) => workload.listen(0, '127.0.0.1', resolve))
    const door = createTcpServer((socket) => front.accept(socket))
    await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve))
    const policies = [samplePolicy()]
    const verdict = { accepted: true, authentic: true, format: 'bundle', checks: [], notChecked: [], claims: new Uint8Array() }
    const parts = {
      key,
      known: {
        contract,
        terms: contract.service as NonNullable<Contract['service']>,
        jobDigest: job,
        submitter: '',
        policies,
        ownerNonces: NONCES,
      },
      evidence: { bundle, verdict, checkpoint: CHECKPOINT, ownerNonces: NONCES, endorsements: [] },
    }
    holder.service = new TestService(parts, front, workload, door)
    const { port } = workload.address() as AddressInfo
    front.open(() => opened(port))
    return holder.service
  }

  /** The port at which the enclave takes streams, as from a gateway. */
  get port(): number {
    return (this.#door.address() as AddressInfo).port
  }

  readonly open = (): Promise<Duplex> => opened(this.port)

  async close(): Promise<void> {
    await this.front.close()
    this.#door.close()
    this.#workload.close()
    this.#workload.closeAllConnections()
  }
}

export const asClient = ({ cert, key }: ServiceKey): ClientKey => ({ cert, key })

export function opened(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    socket.once('connect', () => resolve(socket))
    socket.once('error', reject)
  })
}
