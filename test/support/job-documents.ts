import { publicOf } from '../../src/seal/jws.ts'
import { toBase64Url } from '../../src/verify/bytes/bytes.ts'
import { crypto } from '../../src/verify/crypto/node.ts'
import type { Contract } from '../../src/verify/documents/contract.ts'
import type { Grant } from '../../src/verify/documents/grant.ts'
import { type DatasetHeader, encodeHeader, STREAM_SUITE } from '../../src/verify/documents/header.ts'
import { DEFAULT_HPKE_SUITE, type HpkePublicKey, hpkeKeyDigest, thumbprint } from '../../src/verify/documents/keys.ts'
import { encodePolicy, type Policy } from '../../src/verify/documents/policy.ts'
import { useKeyCommitment } from '../../src/verify/documents/use-slot.ts'
import { encodeVerifierKey, NOTE_ED25519 } from '../../src/verify/tlog/index.ts'
import { noteSigner, testBytes, testKey, testMlDsaKey } from './keys.ts'

/** The instant of all sample documents: 2026-05-28T20:26:40Z. */
export const T0 = 1_780_000_000

export const PURPOSE = 'https://w3id.org/dpv#ScientificResearch'
export const ORIGIN = 'log.example/sealgate'

export const owner = testKey('owner')
export const submitter = testKey('submitter')
export const gateway = testKey('gateway')
export const gatewayMlDsa = await testMlDsaKey('gateway')
export const jobKey = testKey('job')
export const log = noteSigner(ORIGIN, 'log')

export const ownerThumbprint = await thumbprint(publicOf(owner.jwk))
export const submitterThumbprint = await thumbprint(publicOf(submitter.jwk))

/** A key of the right size; nothing is ever sealed to it. */
export function kemKey(label: string): HpkePublicKey {
  return { suite: DEFAULT_HPKE_SUITE, publicKey: toBase64Url(testBytes(`kem ${label}`, 1216)) }
}

export const recipient = kemKey('recipient')
export const recipientDigest = await hpkeKeyDigest(recipient)

export const useKey = testBytes('use key', 32)
export const logKey = await encodeVerifierKey({ name: ORIGIN, type: NOTE_ED25519, publicKey: log.publicKey })

export async function digestOf(bytes: Uint8Array): Promise<string> {
  return toBase64Url(await crypto.digest('SHA-256', bytes))
}

const b64 = (label: string, size: number): string => toBase64Url(testBytes(label, size))

/** What a small, ordinary job of one owner looks like. Tests change one thing at a time. */
export function sampleHeader(changes: Partial<DatasetHeader> = {}): DatasetHeader {
  return {
    v: 1,
    kind: 'dataset',
    content: 'file',
    suite: STREAM_SUITE,
    plaintextSize: 1000,
    salt: b64('header salt', 32),
    keyCommitment: b64('key commitment', 32),
    datasetId: b64('dataset id', 16),
    owner: ownerThumbprint,
    legal: {
      purposes: [PURPOSE],
      legalBasis: 'https://w3id.org/dpv/legal/eu/gdpr#A9-2-j',
      categories: ['https://w3id.org/dpv/pd#HealthData'],
      jurisdictions: ['EU'],
      retention: 'P1Y',
      agreement: 'DPA-2026-017',
    },
    ...changes,
  }
}

export function samplePolicy(changes: Partial<Policy> = {}): Policy {
  return {
    v: 1,
    appraisal: {
      tees: ['sev-snp'],
      allowSimulated: true,
      measurements: [{ tee: 'sev-snp', value: 'ab'.repeat(48) }],
      allowUnknown: [],
    },
    log: { origin: ORIGIN, key: logKey },
    witnessing: { mode: 'none' },
    maximumAge: { checkpointSeconds: 600, collateralSeconds: 7_776_000 },
    minimumTcbEvaluationDataNumber: null,
    minimumGrades: { binding: 'committed', placement: 'none' },
    runners: ['docker', 'wasm'],
    suites: [DEFAULT_HPKE_SUITE],
    cedar: '',
    ...changes,
  }
}

export async function sampleContract(header: Uint8Array, policy: Uint8Array, changes: Partial<Contract> = {}): Promise<Contract> {
  return {
    v: 1,
    jobId: b64('job id', 16),
    attempt: 1,
    image: { runner: 'wasm', digest: `sha256:${'5e'.repeat(32)}` },
    argv: ['classify', '--threshold', '0.5'],
    env: { LANG: 'C' },
    inputs: [{ name: 'data.csv', header: await digestOf(header), root: b64('root', 32) }],
    recipients: [recipient],
    policies: [await digestOf(policy)],
    purpose: PURPOSE,
    isolation: 'sealgate-wasm-v1',
    limits: { timeMs: 60_000, memoryBytes: 268_435_456, outputBytes: 1_048_576, pids: 32, cpuMillis: 1000 },
    resources: { gpus: 0 },
    constraints: { tees: [], gpuModel: null, region: null, maxLatencyMs: null, maxPricePerHour: null },
    exclusive: 'host',
    service: null,
    release: ['direct'],
    notAfter: '2026-05-28T22:00:00Z',
    ...changes,
  }
}

export async function sampleGrant(header: Uint8Array, policy: Uint8Array, changes: Partial<Grant> = {}): Promise<Grant> {
  return {
    v: 1,
    grantId: b64('grant id', 16),
    datasets: [await digestOf(header)],
    images: [{ runner: 'wasm', digest: `sha256:${'5e'.repeat(32)}` }],
    argv: ['classify', '--threshold', '0.5'],
    env: null,
    submitters: [submitterThumbprint],
    recipients: [recipientDigest],
    clients: [],
    purposes: [PURPOSE],
    policy: await digestOf(policy),
    uses: 3,
    useKeyCommitment: await useKeyCommitment(useKey),
    notBefore: '2026-05-28T20:00:00Z',
    expires: '2026-05-29T20:00:00Z',
    release: 'direct',
    jurisdictions: [],
    agreement: 'DPA-2026-017',
    ...changes,
  }
}

export const headerBytes = encodeHeader(sampleHeader())
export const policyBytes = encodePolicy(samplePolicy())
