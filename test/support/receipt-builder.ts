import { readFileSync } from 'node:fs'
import { issueFlattenedJws, issueGeneralJws, publicOf } from '../../src/seal/jws.ts'
import type { MlDsaSigner } from '../../src/seal/ml-dsa.ts'
import type { NoteSigner } from '../../src/seal/note.ts'
import { attest, type DeviceEvidence, parseSimulatedPlatform, type SimulatedGpus, type SimulatedPlatform } from '../../src/sim/index.ts'
import { fromBase64Url, toBase64Url, toHex } from '../../src/verify/bytes/bytes.ts'
import { crypto } from '../../src/verify/crypto/node.ts'
import { type Binding, encodeBinding } from '../../src/verify/documents/binding.ts'
import { CONTRACT_TYP, type Contract, encodeContract } from '../../src/verify/documents/contract.ts'
import { deviceNonce } from '../../src/verify/documents/device-nonce.ts'
import { bundleToJson, type EvidenceBundle, evidenceDigest } from '../../src/verify/documents/evidence-bundle.ts'
import { encodeGrant, GRANT_TYP, type Grant } from '../../src/verify/documents/grant.ts'
import { type DatasetHeader, encodeHeader } from '../../src/verify/documents/header.ts'
import { encodeIntent, INTENT_TYP, type ReleaseIntent } from '../../src/verify/documents/intent.ts'
import { jobNonce } from '../../src/verify/documents/job-nonce.ts'
import { hpkeKeyDigest } from '../../src/verify/documents/keys.ts'
import type { Leaf } from '../../src/verify/documents/leaf.ts'
import { encodePolicy, type Policy } from '../../src/verify/documents/policy.ts'
import { encodeReceiptFile, type ReceiptFile } from '../../src/verify/documents/receipt-file.ts'
import {
  encodeStatement,
  PREDICATE_TYPE,
  type Predicate,
  RECEIPT_TYP,
  STATEMENT_TYPE,
  type Statement,
} from '../../src/verify/documents/statement.ts'
import type { TrustFile } from '../../src/verify/documents/trust.ts'
import { useSlotTag } from '../../src/verify/documents/use-slot.ts'
import { encodeCanonical } from '../../src/verify/formats/canonical-json.ts'
import { entryToJson, type LoggedEntry, leafHash, parseCheckpoint } from '../../src/verify/tlog/index.ts'
import {
  digestOf,
  gateway,
  gatewayMlDsa,
  jobKey,
  kemKey,
  log,
  logKey,
  ORIGIN,
  owner,
  ownerThumbprint,
  sampleContract,
  sampleGrant,
  sampleHeader,
  samplePolicy,
  submitter,
  T0,
  useKey,
} from './job-documents.ts'
import { type TestKey, testBytes } from './keys.ts'
import { TestLog } from './log.ts'

export const platform: SimulatedPlatform = parseSimulatedPlatform(
  new Uint8Array(readFileSync(new URL('simulated-platform.golden.json', import.meta.url))),
)

export const MEASUREMENT = 'ab'.repeat(48)

/**
 * How a job ended: run; lost; refused by its agent after it verified the release, before it could, or before there was any;
 * refused by the gateway alone after a release, for its evidence, or before there was any.
 */
export type Ending =
  | 'execution'
  | 'lost'
  | 'refusal-released'
  | 'refusal-unread'
  | 'refusal-attested'
  | 'refusal-alone'
  | 'refusal-rejected'
  | 'refusal-early'

const RELEASED: readonly Ending[] = ['execution', 'lost', 'refusal-released', 'refusal-unread', 'refusal-alone']
const AGENT_SIGNED: readonly Ending[] = ['execution', 'refusal-released', 'refusal-unread', 'refusal-attested']

/**
 * Everything that a dishonest party could do differently at its own step. What follows a change is made consistent with it
 * and signed properly, so that only the rule under attack can notice.
 */
export interface Plan {
  readonly ending: Ending
  readonly header: Partial<DatasetHeader>
  readonly policy: Partial<Policy>
  readonly contract: Partial<Contract>
  readonly grant: Partial<Grant>
  readonly binding: Partial<Binding>
  readonly intent: Partial<ReleaseIntent>
  readonly releaseLeaf: Partial<Leaf>
  readonly endingLeaf: Partial<Leaf>
  readonly predicate: Partial<Predicate>
  readonly statement: Partial<Statement>
  readonly file: (file: ReceiptFile) => ReceiptFile
  readonly keys: {
    readonly submitter: TestKey
    readonly owner: TestKey
    readonly releaser: TestKey
    readonly job: TestKey
    readonly gateway: TestKey
  }
  /** Who signs the receipt, in order; null: whoever should. */
  readonly signers: readonly TestKey[] | null
  /** Signs last; null: nobody does. */
  readonly mlDsa: MlDsaSigner | null
  /** What the gateway makes of the signed receipt before it logs it. */
  readonly receipt: (jws: Uint8Array) => Uint8Array
  readonly log: NoteSigner
  readonly cosigners: readonly NoteSigner[]
  /** Seconds since the epoch of the three checkpoints. */
  readonly times: { readonly nonce: number; readonly release: number; readonly ending: number }
  readonly measurement: string
  readonly platform: SimulatedPlatform
  /** What evidence is of. */
  readonly tee: 'sev-snp' | 'tdx'
  /** GPUs of the host; null: none. */
  readonly gpus: SimulatedGpus | null
  /** What the host brings; null: the certificates and CRL of the platform. */
  readonly hostEndorsements: readonly Uint8Array[] | null
  /** The report that the simulator would make for this binding; for recorded vectors. */
  readonly report: (binding: Uint8Array) => Promise<Uint8Array> | Uint8Array
  readonly endorsements: readonly Uint8Array[]
}

export const DEFAULT_PLAN: Plan = {
  ending: 'execution',
  header: {},
  policy: {},
  contract: {},
  grant: {},
  binding: {},
  intent: {},
  releaseLeaf: {},
  endingLeaf: {},
  predicate: {},
  statement: {},
  file: (file) => file,
  keys: { submitter, owner, releaser: owner, job: jobKey, gateway },
  signers: null,
  mlDsa: null,
  receipt: (jws) => jws,
  log,
  cosigners: [log],
  times: { nonce: T0 - 30, release: T0, ending: T0 + 40 },
  measurement: MEASUREMENT,
  platform,
  tee: 'sev-snp',
  gpus: null,
  hostEndorsements: null,
  report: (binding) => simulatedReport(binding),
  endorsements: [platform.root.certificate],
}

async function devicesOf({ gpus }: Plan, bare: Binding): Promise<readonly DeviceEvidence[]> {
  if (gpus === null) return []
  return gpus.attest(await Promise.all(Array.from({ length: gpus.count }, (_, i) => deviceNonce(bare, i))))
}

export async function simulatedReport(
  binding: Uint8Array,
  from: SimulatedPlatform = platform,
  measurement: string = MEASUREMENT,
): Promise<Uint8Array> {
  const reportData = await crypto.digest('SHA-512', binding)
  return attest(from, { reportData, measurement: new Uint8Array(Buffer.from(measurement, 'hex')), reportId: testBytes('report id', 32) })
    .report
}

/** The parts of a receipt, kept so that tests can recombine them. */
export interface BuiltReceipt {
  readonly bytes: Uint8Array
  readonly file: ReceiptFile
  readonly documents: {
    readonly contract: Uint8Array
    readonly grant: Uint8Array
    readonly policy: Uint8Array
    readonly header: Uint8Array
    readonly binding: Uint8Array
    readonly intent: Uint8Array | null
    readonly statement: Uint8Array
  }
}

/** A trust file that names everyone in the default plan. */
export const sampleTrust: TrustFile = {
  v: 1,
  type: 'sealgate/trust/v1',
  logs: [{ origin: ORIGIN, key: logKey }],
  witnesses: [],
  gateways: [publicOf(gateway.jwk)],
  owners: [ownerThumbprint],
  simulatedRoots: [toBase64Url(platform.root.certificate)],
}

/** The same, with the gateway's ML-DSA key. */
export const mlDsaTrust: TrustFile = { ...sampleTrust, gateways: [{ ...publicOf(gateway.jwk), mlDsa: gatewayMlDsa.key }] }

const CONFIG = encodeCanonical({ agent: 'sealgate/0.1.0', runners: ['wasm'] })

/** Plays a whole job with throwaway keys: contract, grant, evidence, release, run, receipt. All evidence is simulated. */
export async function buildReceipt(changes: Partial<Plan> = {}): Promise<BuiltReceipt> {
  const plan = { ...DEFAULT_PLAN, ...changes }
  const { keys, times } = plan
  const released = RELEASED.includes(plan.ending)
  const unread = plan.ending === 'refusal-unread' || plan.ending === 'refusal-attested'
  const attested = plan.ending !== 'refusal-early'

  const header = encodeHeader(sampleHeader(plan.header))
  const policy = encodePolicy(samplePolicy(plan.policy))
  const contractValue = await sampleContract(header, policy, plan.contract)
  const contract = encodeContract(contractValue)
  const grantValue = await sampleGrant(header, policy, plan.grant)
  const grant = encodeGrant(grantValue)
  const [job, grantDigest, policyDigest] = await Promise.all([digestOf(contract), digestOf(grant), digestOf(policy)])

  const theLog = new TestLog(plan.log)
  await theLog.fill(5)
  const nonceCheckpoint = await theLog.checkpoint(times.nonce, plan.cosigners)
  await theLog.fill(2)

  const ownerNonce = testBytes('owner nonce', 32)
  const kem = kemKey('enclave')
  const bare: Binding = {
    v: 1,
    context: 'sealgate/attest/v1',
    role: 'job',
    nonce: toBase64Url(await jobNonce(job, [ownerNonce], nonceCheckpoint)),
    kem,
    sig: { alg: 'Ed25519', publicKey: keys.job.jwk.x },
    tls: null,
    devices: [],
    config: await digestOf(CONFIG),
    job,
    ...plan.binding,
  }
  const devices = await devicesOf(plan, bare)
  const named = await Promise.all(devices.map(async ({ type, report }) => ({ type, report: await digestOf(report) })))
  const binding = encodeBinding(devices.length === 0 ? bare : { ...bare, devices: named })
  const report = await plan.report(binding)
  const bundle: EvidenceBundle = {
    binding,
    config: CONFIG,
    cpu: { format: plan.tee, report },
    devices,
    endorsements: [
      ...(plan.hostEndorsements ?? [plan.platform.vek.certificate, plan.platform.intermediate.certificate, plan.platform.crl]),
      ...(plan.gpus?.endorsements ?? []),
    ],
  }
  const evidence = await evidenceDigest(bundle)

  const intentValue: ReleaseIntent = {
    v: 1,
    job,
    binding: await digestOf(binding),
    evidence,
    datasets: contractValue.inputs.map((i) => i.header),
    grants: [grantDigest],
    policies: contractValue.policies,
    slots: [{ grant: grantDigest, k: 0, tag: await useSlotTag(useKey, 0) }],
    kem: await hpkeKeyDigest(kem),
    mode: 'direct',
    deadline: '2026-05-28T21:00:00Z',
    ...plan.intent,
  }
  const intent = encodeIntent(intentValue)
  const intentJws = await issueFlattenedJws(intent, INTENT_TYP, keys.releaser.jwk)
  const releaseSalt = testBytes('release salt', 32)
  let release: LoggedEntry | null = null
  if (released) {
    const leaf = { type: 'release' as const, tags: intentValue.slots.map((s) => s.tag).sort(), ends: [], deadline: intentValue.deadline }
    const index = await theLog.append({ ...leaf, ...plan.releaseLeaf }, releaseSalt, intentJws)
    await theLog.fill(1)
    release = await theLog.prove(index, releaseSalt, await theLog.checkpoint(times.release, plan.cosigners))
  }
  const releaseLeafHash = release === null ? null : toBase64Url(await leafHash(release.leaf))

  const predicate: Predicate = {
    v: 1,
    type: plan.ending === 'execution' || plan.ending === 'lost' ? plan.ending : 'refusal',
    job,
    jobId: contractValue.jobId,
    attempt: contractValue.attempt,
    image: contractValue.image,
    inputs: contractValue.inputs,
    grants: unread ? [] : [grantDigest],
    policies: [policyDigest],
    binding: attested ? await digestOf(binding) : null,
    evidence: attested ? evidence : null,
    ear:
      attested && !unread
        ? {
            profile: 'tag:ietf.org,2026:rats/ear#01',
            verifier: 'sealgate/0.1.0',
            iat: times.release,
            status: plan.ending === 'refusal-rejected' ? 'contraindicated' : 'affirming',
            tee: plan.tee,
            measurement: plan.measurement,
            bindingGrade: 'committed',
            simulated: true,
          }
        : null,
    releases:
      release === null || releaseLeafHash === null || unread
        ? []
        : [{ leafHash: releaseLeafHash, index: release.index, treeSize: parseCheckpoint(release.checkpoint).size, time: times.release }],
    ...(plan.ending === 'execution'
      ? { ...EXECUTED, timing: { notBefore: times.release, notAfter: times.release + 39 } }
      : {
          isolation: null,
          outcome: {
            kind: plan.ending === 'lost' ? 'lost' : 'refused',
            exitCode: null,
            code: plan.ending === 'lost' ? 'JOB_LOST' : 'POLICY_DENIED',
            reason: 'for a reason',
          },
          outputs: [],
          sessions: null,
          usage: null,
          timing: plan.ending === 'refusal-released' ? { notBefore: times.release, notAfter: times.release + 39 } : null,
          keysDestroyed: [],
        }),
    legal: unread ? [] : [sampleHeader(plan.header).legal],
    simulated: attested,
    agent: 'sealgate/0.1.0',
    ...plan.predicate,
  }
  const subject =
    plan.ending === 'execution'
      ? { name: 'results.sealed', digest: { sha256: toHex(testBytes('results', 32)) } }
      : { name: 'contract', digest: { sha256: toHex(fromBase64Url(job)) } }
  const statement = encodeStatement({
    _type: STATEMENT_TYPE,
    subject: [subject],
    predicateType: PREDICATE_TYPE,
    predicate,
    ...plan.statement,
  })
  const agentSigned = AGENT_SIGNED.includes(plan.ending)
  const signers = plan.signers ?? (agentSigned ? [keys.job, keys.gateway] : [keys.gateway])
  const signed = await issueGeneralJws(
    statement,
    RECEIPT_TYP,
    signers.map((k) => k.jwk),
    plan.mlDsa,
  )
  const receipt = plan.receipt(signed)

  await theLog.fill(3)
  const endingSalt = testBytes('ending salt', 32)
  const endingLeaf = { type: predicate.type, tags: [], ends: releaseLeafHash === null ? [] : [releaseLeafHash], deadline: null }
  const endingIndex = await theLog.append({ ...endingLeaf, ...plan.endingLeaf }, endingSalt, receipt)
  await theLog.fill(2)
  const ending = await theLog.prove(endingIndex, endingSalt, await theLog.checkpoint(times.ending, plan.cosigners))

  const file: ReceiptFile = plan.file({
    v: 1,
    type: 'sealgate/receipt-file/v1',
    receipt: toBase64Url(receipt),
    contract: toBase64Url(await issueFlattenedJws(contract, CONTRACT_TYP, keys.submitter.jwk)),
    grants: [toBase64Url(await issueFlattenedJws(grant, GRANT_TYP, keys.owner.jwk))],
    policies: [toBase64Url(policy)],
    headers: [toBase64Url(header)],
    intents: released ? [toBase64Url(intentJws)] : [],
    evidence: attested ? bundleToJson(bundle) : null,
    ownerNonces: attested ? [toBase64Url(ownerNonce)] : [],
    nonceCheckpoint: attested ? nonceCheckpoint : null,
    endorsements: attested ? plan.endorsements.map(toBase64Url) : [],
    log: { releases: release === null ? [] : [entryToJson(release)], ending: entryToJson(ending) },
  })
  const documents = { contract, grant, policy, header, binding, intent: released ? intent : null, statement }
  return { bytes: encodeReceiptFile(file), file, documents }
}

const EXECUTED: Pick<Predicate, 'isolation' | 'outcome' | 'outputs' | 'sessions' | 'usage' | 'keysDestroyed'> = {
  isolation: { runner: 'wasm', profile: 'sealgate-wasm-v1', profileDigest: toBase64Url(testBytes('profile', 32)), grade: 'wasm-process' },
  outcome: { kind: 'succeeded', exitCode: 0, code: null, reason: 'exited with 0' },
  outputs: [{ commitment: toBase64Url(testBytes('output', 32)) }],
  sessions: null,
  usage: { source: 'guest-reported', wallMs: 1200, cpuMs: 1100, memoryPeakBytes: 33_554_432, bytesIn: 1000, bytesOut: 200 },
  keysDestroyed: ['kem', 'data'],
}
