import { issueFlattenedJws, issueGeneralJws } from '../../src/seal/jws.ts'
import type { MlDsaSigner } from '../../src/seal/ml-dsa.ts'
import type { NoteSigner } from '../../src/seal/note.ts'
import { fromBase64Url, toBase64Url, toHex } from '../../src/verify/bytes/bytes.ts'
import { type Binding, encodeBinding } from '../../src/verify/documents/binding.ts'
import { ERASURE_TYP, type ErasureOrder, encodeErasureOrder } from '../../src/verify/documents/erasure.ts'
import { type EventFile, encodeEventFile } from '../../src/verify/documents/event-file.ts'
import { EVENT_TYP, type EventPredicates, type EventType, encodeEventStatement } from '../../src/verify/documents/event-statement.ts'
import { bundleToJson, type EvidenceBundle, evidenceDigest } from '../../src/verify/documents/evidence-bundle.ts'
import { encodeGrant, encodeRevocation, GRANT_TYP, REVOCATION_TYP, type Revocation } from '../../src/verify/documents/grant.ts'
import { encodeHeader } from '../../src/verify/documents/header.ts'
import { encodeHold, HOLD_TYP, type Hold } from '../../src/verify/documents/hold.ts'
import type { Leaf } from '../../src/verify/documents/leaf.ts'
import { encodePolicy, type Policy } from '../../src/verify/documents/policy.ts'
import { encodeCanonical } from '../../src/verify/formats/canonical-json.ts'
import { entryToJson } from '../../src/verify/tlog/index.ts'
import { digestOf, gateway, kemKey, log, owner, ownerThumbprint, sampleGrant, sampleHeader, samplePolicy, T0 } from './job-documents.ts'
import { type TestKey, testBytes } from './keys.ts'
import { TestLog } from './log.ts'
import { MEASUREMENT, platform, simulatedReport } from './receipt-builder.ts'

/** What a dishonest party could do differently at its own step; what follows is made consistent and signed properly. */
export interface EventPlan {
  /** Of the dataset, canonical bytes. */
  readonly header: Uint8Array
  readonly order: Partial<ErasureOrder>
  readonly revocation: Partial<Revocation>
  readonly hold: Partial<Hold>
  readonly binding: Partial<Binding>
  readonly policy: Partial<Policy>
  readonly predicate: Partial<EventPredicates[EventType]>
  /** Hexadecimal; null: what it is about. */
  readonly subject: string | null
  readonly owner: TestKey
  readonly signers: readonly TestKey[]
  readonly mlDsa: MlDsaSigner | null
  readonly leaf: Partial<Leaf>
  readonly cosigners: readonly NoteSigner[]
  readonly time: number
  /** Changed after everything was signed and logged. */
  readonly file: (file: EventFile) => EventFile
  readonly report: (binding: Uint8Array) => Promise<Uint8Array> | Uint8Array
}

const DEFAULTS: EventPlan = {
  header: encodeHeader(sampleHeader()),
  order: {},
  revocation: {},
  hold: {},
  binding: {},
  policy: {},
  predicate: {},
  subject: null,
  owner,
  signers: [gateway],
  mlDsa: null,
  leaf: {},
  cosigners: [log],
  time: T0,
  file: (file) => file,
  report: (binding) => simulatedReport(binding),
}

const AGENT = 'sealgate-gateway/0.1.0'
const b64 = toBase64Url

type Without<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never
interface Made<T extends EventType> {
  readonly subject: string
  readonly predicate: EventPredicates[T]
  readonly documents: Without<EventFile, 'v' | 'receipt' | 'entry'>
}

export const sampleDestroyed: EventPredicates['erasure']['destroyed'] = {
  ciphertext: { bytes: 1650, digest: b64(testBytes('sealed file', 32)) },
  uploads: 1,
  jobs: 2,
  results: 1,
  grants: 1,
  openings: 5,
}

async function erasure(plan: EventPlan): Promise<Made<'erasure'>> {
  const { header } = plan
  const policy = encodePolicy(samplePolicy(plan.policy))
  const dataset = await digestOf(header)
  const order = encodeErasureOrder({
    v: 1,
    dataset,
    erasedAt: '2026-05-28T20:26:00Z',
    stopJobs: true,
    policy: await digestOf(policy),
    reason: 'Art. 17 GDPR',
    ...plan.order,
  })
  return {
    subject: dataset,
    predicate: {
      v: 1,
      type: 'erasure',
      dataset,
      owner: ownerThumbprint,
      order: await digestOf(order),
      destroyed: sampleDestroyed,
      agent: AGENT,
    },
    documents: {
      type: 'sealgate/erasure-file/v1',
      order: b64(await issueFlattenedJws(order, ERASURE_TYP, plan.owner.jwk)),
      header: b64(header),
      policy: b64(policy),
    },
  }
}

async function revocation(plan: EventPlan): Promise<Made<'revocation'>> {
  const policy = encodePolicy(samplePolicy(plan.policy))
  const grant = encodeGrant(await sampleGrant(plan.header, policy))
  const digest = await digestOf(grant)
  const bytes = encodeRevocation({ v: 1, grant: digest, revokedAt: '2026-05-28T20:26:00Z', stopJobs: true, ...plan.revocation })
  return {
    subject: digest,
    predicate: { v: 1, type: 'revocation', grant: digest, owner: ownerThumbprint, revocation: await digestOf(bytes), agent: AGENT },
    documents: {
      type: 'sealgate/revocation-file/v1',
      revocation: b64(await issueFlattenedJws(bytes, REVOCATION_TYP, plan.owner.jwk)),
      grant: b64(await issueFlattenedJws(grant, GRANT_TYP, owner.jwk)),
      policy: b64(policy),
    },
  }
}

async function hold(plan: EventPlan): Promise<Made<'hold'>> {
  const policy = encodePolicy(samplePolicy(plan.policy))
  const grant = encodeGrant(await sampleGrant(plan.header, policy))
  const digest = await digestOf(grant)
  const basis = 'https://w3id.org/dpv/legal/eu/gdpr#A18-1-a'
  const sample = { v: 1, grant: digest, sequence: 1, held: true, stopJobs: true, basis, at: '2026-05-28T20:26:00Z' } as const
  const bytes = encodeHold({ ...sample, ...plan.hold })
  return {
    subject: digest,
    predicate: { v: 1, type: 'hold', grant: digest, owner: ownerThumbprint, hold: await digestOf(bytes), agent: AGENT },
    documents: {
      type: 'sealgate/hold-file/v1',
      hold: b64(await issueFlattenedJws(bytes, HOLD_TYP, plan.owner.jwk)),
      grant: b64(await issueFlattenedJws(grant, GRANT_TYP, owner.jwk)),
      policy: b64(policy),
    },
  }
}

async function onboard(plan: EventPlan): Promise<Made<'onboard'>> {
  const config = encodeCanonical({ agent: 'sealgate/0.1.0', runners: ['wasm'] })
  const nonce = testBytes('challenge', 32)
  const binding = encodeBinding({
    v: 1,
    context: 'sealgate/attest/v1',
    role: 'host',
    nonce: b64(nonce),
    kem: kemKey('enclave'),
    sig: { alg: 'Ed25519', publicKey: gateway.jwk.x },
    tls: null,
    devices: [],
    config: await digestOf(config),
    job: null,
    ...plan.binding,
  })
  const bundle: EvidenceBundle = {
    binding,
    config,
    cpu: { format: 'sev-snp', report: await plan.report(binding) },
    devices: [],
    endorsements: [platform.vek.certificate, platform.intermediate.certificate, platform.crl],
  }
  const evidence = await evidenceDigest(bundle)
  return {
    subject: evidence,
    predicate: {
      v: 1,
      type: 'onboard',
      host: 'h1',
      binding: await digestOf(binding),
      evidence,
      ear: {
        profile: 'tag:ietf.org,2026:rats/ear#01',
        verifier: AGENT,
        iat: plan.time,
        status: 'affirming',
        tee: 'sev-snp',
        measurement: MEASUREMENT,
        bindingGrade: 'committed',
        simulated: true,
      },
      demands: { allowUnknown: [] },
      expires: '2026-05-28T21:26:40Z',
      agent: AGENT,
    },
    documents: {
      type: 'sealgate/onboarding-file/v1',
      evidence: bundleToJson(bundle),
      nonce: b64(nonce),
      endorsements: [b64(platform.root.certificate)],
    },
  }
}

const MAKERS: { readonly [T in EventType]: (plan: EventPlan) => Promise<Made<T>> } = { erasure, hold, onboard, revocation }

export interface BuiltEvent {
  readonly bytes: Uint8Array
  readonly file: EventFile
  readonly statement: Uint8Array
}

/** An event as a gateway logs it, with throwaway keys. All evidence is simulated. */
export async function buildEvent<T extends EventType>(type: T, changes: Partial<EventPlan> = {}): Promise<BuiltEvent> {
  const plan = { ...DEFAULTS, ...changes }
  const { subject, predicate, documents } = await MAKERS[type](plan)
  const stated = { ...predicate, ...plan.predicate } as EventPredicates[T]
  const statement = encodeEventStatement(type, plan.subject ?? toHex(fromBase64Url(subject)), stated)
  const receipt = await issueGeneralJws(
    statement,
    EVENT_TYP,
    plan.signers.map((k) => k.jwk),
    plan.mlDsa,
  )
  const theLog = new TestLog(log)
  await theLog.fill(3)
  const salt = testBytes('event salt', 32)
  const index = await theLog.append({ type, tags: [], ends: [], deadline: null, ...plan.leaf }, salt, receipt)
  await theLog.fill(2)
  const entry = entryToJson(await theLog.prove(index, salt, await theLog.checkpoint(plan.time, plan.cosigners)))
  const file = plan.file({ ...documents, v: 1, receipt: b64(receipt), entry })
  return { bytes: encodeEventFile(file), file, statement }
}
