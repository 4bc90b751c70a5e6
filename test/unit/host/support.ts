import { randomBytes } from 'node:crypto'
import { JobKeys } from '../../../src/host/job/job-keys.ts'
import type { Release, SealedKey } from '../../../src/host/job/read-release.ts'
import type { Attested } from '../../../src/host/job/release-rules.ts'
import {
  createDatasetHeader,
  encodeFileHead,
  issueFlattenedJws,
  type NoteSigner,
  rootOf,
  Secret,
  type SigningPrivateKey,
  sealStream,
  wrapRelease,
} from '../../../src/seal/index.ts'
import { concat, toBase64Url } from '../../../src/verify/bytes/bytes.ts'
import { CONTRACT_TYP, type Contract, encodeContract } from '../../../src/verify/documents/contract.ts'
import { encodeGrant, GRANT_TYP, type Grant } from '../../../src/verify/documents/grant.ts'
import type { DatasetContent } from '../../../src/verify/documents/header.ts'
import { encodeIntent, INTENT_TYP, type ReleaseIntent } from '../../../src/verify/documents/intent.ts'
import { DEFAULT_HPKE_SUITE, hpkeKeyDigest } from '../../../src/verify/documents/keys.ts'
import type { Leaf } from '../../../src/verify/documents/leaf.ts'
import { encodePolicy, type Policy } from '../../../src/verify/documents/policy.ts'
import { useSlotTag } from '../../../src/verify/documents/use-slot.ts'
import { type LoggedEntry, leafHash } from '../../../src/verify/tlog/index.ts'
import {
  digestOf,
  log,
  owner,
  ownerThumbprint,
  PURPOSE,
  sampleContract,
  sampleGrant,
  samplePolicy,
  submitter,
  submitterThumbprint,
  T0,
  useKey,
} from '../../support/job-documents.ts'
import { testBytes } from '../../support/keys.ts'
import { TestLog } from '../../support/log.ts'

export const random = (size: number): Uint8Array => new Uint8Array(randomBytes(size))
export const DEADLINE = '2026-05-28T21:00:00Z'

/** A sealed dataset, a contract over it, the owner's policy and grant. */
export interface Scene {
  readonly plaintext: Uint8Array
  readonly header: Uint8Array
  readonly dek: Uint8Array
  /** The whole sealed file. */
  readonly file: Uint8Array
  readonly policy: Uint8Array
  readonly contract: Contract
  readonly contractJws: Uint8Array
  readonly job: string
  readonly grant: Uint8Array
  readonly grantDigest: string
}

export interface SceneChanges {
  readonly plaintext?: Uint8Array
  readonly content?: DatasetContent
  readonly owner?: string
  /** Root that the contract names, if not that of the data. */
  readonly root?: string
  readonly policy?: Partial<Policy>
  readonly contract?: Partial<Contract>
  readonly grant?: Partial<Grant>
  readonly grantSigner?: SigningPrivateKey
}

export async function makeScene(changes: SceneChanges = {}): Promise<Scene> {
  const plaintext = changes.plaintext ?? testBytes('rows', 5000)
  const legal = { purposes: [PURPOSE], legalBasis: null, categories: [], jurisdictions: [], retention: null, agreement: null }
  const made = await createDatasetHeader({
    content: changes.content ?? 'file',
    plaintextSize: plaintext.length,
    owner: changes.owner ?? ownerThumbprint,
    legal,
    random,
  })
  const parts: Uint8Array[] = []
  for await (const part of sealStream([plaintext], { header: made.bytes, dek: made.dek, random })) parts.push(part)
  const { root } = await rootOf(parts)
  const policy = encodePolicy(samplePolicy(changes.policy))
  const contract = await sampleContract(made.bytes, policy, {
    inputs: [{ name: 'data.csv', header: made.digest, root: changes.root ?? toBase64Url(root) }],
    ...changes.contract,
  })
  const grant = encodeGrant(await sampleGrant(made.bytes, policy, changes.grant))
  return {
    plaintext,
    header: made.bytes,
    dek: made.dek.expose(),
    file: concat(encodeFileHead(made.bytes), ...parts),
    policy,
    contract,
    contractJws: await issueFlattenedJws(encodeContract(contract), CONTRACT_TYP, submitter.jwk),
    job: await digestOf(encodeContract(contract)),
    grant: await issueFlattenedJws(grant, GRANT_TYP, changes.grantSigner ?? owner.jwk),
    grantDigest: await digestOf(grant),
  }
}

/** What an agent would attest for the scene, with fresh keys. */
export async function attest(scene: Scene): Promise<{ attested: Attested; keys: JobKeys }> {
  const keys = await JobKeys.create(DEFAULT_HPKE_SUITE, 0)
  const attested: Attested = {
    job: scene.job,
    contract: scene.contract,
    submitter: submitterThumbprint,
    bindingDigest: await digestOf(testBytes('binding', 100)),
    evidenceDigest: await digestOf(testBytes('evidence', 100)),
    kem: keys.kem,
    kemDigest: await hpkeKeyDigest(keys.kem),
    simulated: true,
  }
  return { attested, keys }
}

/** Where an attack may put its hand. Unset: an honest release. */
export interface ReleaseChanges {
  readonly intent?: Partial<ReleaseIntent>
  readonly intentSigner?: SigningPrivateKey
  readonly leaf?: Partial<Omit<Leaf, 'v' | 'commitment'>>
  /** What the leaf commits to, if not the intent. */
  readonly opening?: Uint8Array
  readonly logSigner?: NoteSigner
  /** The log to append to, if not one of its own. */
  readonly log?: TestLog
  readonly time?: number
  readonly entry?: (entry: LoggedEntry) => LoggedEntry
  readonly useKey?: Uint8Array
  readonly slot?: { readonly k?: number; readonly tag?: string }
  /** Leaf hash that the wrap is bound to, if not the logged one. */
  readonly wrapLeafHash?: string
  readonly wrapUseKeys?: boolean
  readonly keys?: (keys: SealedKey[]) => SealedKey[]
  readonly release?: Partial<Release>
}

/** Does what an owner's client does: intent, log entry, wrap. */
export async function makeRelease(scene: Scene, attested: Attested, changes: ReleaseChanges = {}): Promise<Release> {
  const secret = changes.useKey ?? useKey
  const k = changes.slot?.k ?? 0
  const tag = changes.slot?.tag ?? (await useSlotTag(secret, k))
  const intent: ReleaseIntent = {
    v: 1,
    job: attested.job,
    binding: attested.bindingDigest,
    evidence: attested.evidenceDigest,
    datasets: scene.contract.inputs.map((i) => i.header),
    grants: [scene.grantDigest],
    policies: scene.contract.policies,
    slots: [{ grant: scene.grantDigest, k, tag }],
    kem: attested.kemDigest,
    mode: 'direct',
    deadline: DEADLINE,
    ...changes.intent,
  }
  const intentJws = await issueFlattenedJws(encodeIntent(intent), INTENT_TYP, changes.intentSigner ?? owner.jwk)
  const { entry, hash } = await logEntry(intent, changes.opening ?? intentJws, changes)
  const keys: SealedKey[] = []
  for (const header of new Set(intent.datasets)) {
    const context = { intent, leafHash: changes.wrapLeafHash ?? hash, dataset: header }
    const useKeys = new Map(changes.wrapUseKeys === false ? [] : [[scene.grantDigest, new Secret(secret.slice())]])
    // The wrap names its recipient by the intent; a foreign one is wrapped for as if the intent did.
    const wrapped = await wrapRelease(
      attested.kem,
      { ...context, intent: { ...intent, kem: attested.kemDigest } },
      { dek: new Secret(scene.dek.slice()), useKeys },
    )
    keys.push({ header, ...wrapped })
  }
  return {
    grants: [scene.grant],
    policies: [scene.policy],
    parts: [{ intent: intentJws, entry: changes.entry?.(entry) ?? entry, keys: changes.keys?.(keys) ?? keys }],
    ear: new Uint8Array(),
    headers: scene.contract.inputs.map(() => scene.header),
    ...changes.release,
  }
}

/** The entry of an intent between others, and its leaf hash. */
async function logEntry(
  intent: ReleaseIntent,
  opening: Uint8Array,
  changes: ReleaseChanges,
): Promise<{ entry: LoggedEntry; hash: string }> {
  const salt = random(32)
  const theLog = changes.log ?? new TestLog(changes.logSigner ?? log)
  await theLog.fill(1)
  const tags = intent.slots.map((s) => s.tag).sort()
  const index = await theLog.append({ type: 'release', tags, ends: [], deadline: intent.deadline, ...changes.leaf }, salt, opening)
  await theLog.fill(1)
  const entry = await theLog.prove(index, salt, await theLog.checkpoint(changes.time ?? T0))
  return { entry, hash: toBase64Url(await leafHash(entry.leaf)) }
}
