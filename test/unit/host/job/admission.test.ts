import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { openRelease, verifyRelease } from '../../../../src/host/job/admission.ts'
import { JobKeys } from '../../../../src/host/job/job-keys.ts'
import type { Release, ReleasePart } from '../../../../src/host/job/read-release.ts'
import { type Attested, RELEASE_RULES } from '../../../../src/host/job/release-rules.ts'
import { issueFlattenedJws, publicOf } from '../../../../src/seal/index.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { type Contract, encodeContract } from '../../../../src/verify/documents/contract.ts'
import { brokeredBy, encodeGrant, GRANT_TYP } from '../../../../src/verify/documents/grant.ts'
import { DEFAULT_HPKE_SUITE, thumbprint } from '../../../../src/verify/documents/keys.ts'
import { encodePolicy } from '../../../../src/verify/documents/policy.ts'
import { useSlotTag } from '../../../../src/verify/documents/use-slot.ts'
import { AttestError, type ErrorCode } from '../../../../src/verify/errors.ts'
import { COSIGNATURE_ED25519, encodeVerifierKey } from '../../../../src/verify/tlog/index.ts'
import { digestOf, kemKey, log, ORIGIN, owner, sampleGrant, samplePolicy, T0, useKey } from '../../../support/job-documents.ts'
import { noteSigner, testBytes, testKey } from '../../../support/keys.ts'
import { TestLog } from '../../../support/log.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { attest, makeRelease, makeScene, type ReleaseChanges, type Scene, type SceneChanges } from '../support.ts'

const stranger = testKey('stranger')
const digest = (label: string): string => toBase64Url(testBytes(label, 32))

/** Elapsed since the keys were made. */
const ELAPSED_MS = 2500

const otherPolicy = encodePolicy(samplePolicy({ runners: ['wasm'] }))
const witness = await encodeVerifierKey({ name: 'w.example', type: COSIGNATURE_ED25519, publicKey: testKey('witness').publicKey })

let scene: Scene
let other: Scene
beforeAll(async () => {
  scene = await makeScene()
  other = await makeScene({ plaintext: testBytes('other rows', 100) })
})

/** The whole admission of one release, from its wire form to opened keys. */
async function admit(changes: ReleaseChanges = {}, sceneChanges?: SceneChanges, elapsedMs = ELAPSED_MS): Promise<Uint8Array> {
  const of = sceneChanges === undefined ? scene : await makeScene(sceneChanges)
  const { attested, keys } = await attest(of)
  const checked = await verifyRelease(attested, await makeRelease(of, attested, changes), elapsedMs)
  const opened = await openRelease(keys, checked)
  return opened.get(of.contract.inputs[0]?.header ?? '')?.expose() ?? new Uint8Array()
}

/** Where the refusal lies: the rule, for attacks that share a code. */
async function refusalOf(work: Promise<unknown>): Promise<string> {
  const error = (await work.then(
    () => ({ code: 'accepted', at: undefined }),
    (e: unknown) => e,
  )) as { code: string; at?: string }
  return `${error.code} ${error.at ?? ''}`.trim()
}

type Part = readonly [Uint8Array, (changed: Uint8Array) => Release]

/** The pieces of a release, each with a way to put another one in its place. */
function parts(release: Release): readonly Part[] {
  const [part] = release.parts
  const key = part?.keys[0]
  const [grant, policy, header] = [release.grants[0], release.policies[0], release.headers[0]]
  if (!part || !key || !grant || !policy || !header) throw new Error('an incomplete release')
  const partWith = (change: Partial<ReleasePart>): Release => ({ ...release, parts: [{ ...part, ...change }] })
  const entryWith = (entry: Partial<ReleasePart['entry']>): Release => partWith({ entry: { ...part.entry, ...entry } })
  return [
    [part.intent, (intent) => partWith({ intent })],
    [grant, (changed) => ({ ...release, grants: [changed] })],
    [policy, (changed) => ({ ...release, policies: [changed] })],
    [header, (changed) => ({ ...release, headers: [changed] })],
    [part.entry.leaf, (leaf) => entryWith({ leaf })],
    [part.entry.salt, (salt) => entryWith({ salt })],
    [new TextEncoder().encode(part.entry.checkpoint), (text) => entryWith({ checkpoint: Buffer.from(text).toString('latin1') })],
    [key.enc, (enc) => partWith({ keys: [{ ...key, enc }] })],
    [key.ciphertext, (ciphertext) => partWith({ keys: [{ ...key, ciphertext }] })],
  ]
}

describe('admission of a release', () => {
  it('opens the data key of an honest release', async () => {
    expect(await admit()).toEqual(scene.dek)
  })

  const attacks: [string, string, ReleaseChanges | (() => ReleaseChanges), SceneChanges?][] = [
    ['for another job', 'UNWRAP_FAILED binding.intent-job', { intent: { job: digest('other job') } }],
    ['for another binding', 'UNWRAP_FAILED binding.intent-binding', { intent: { binding: digest('other binding') } }],
    ['after evidence of another key', 'UNWRAP_FAILED binding.intent-evidence', { intent: { evidence: digest('other evidence') } }],
    ['for another KEM key', 'UNWRAP_FAILED binding.intent-key', { intent: { kem: digest('other kem') } }],
    ['for other datasets', 'UNWRAP_FAILED binding.intent-datasets', { intent: { datasets: [digest('other data')] } }],
    ['under grants that were not sent', 'GRANT_DENIED binding.intent-grants', { intent: { grants: [digest('other grant')] } }],
    ['without its grants', 'GRANT_DENIED policy.intent-signer', { release: { grants: [] } }],
    ['under policies that the contract does not name', 'POLICY_DENIED binding.intent-policies', { intent: { policies: [digest('p')] } }],
    ['whose intent a stranger signed', 'GRANT_DENIED policy.intent-signer', { intentSigner: stranger.jwk }],
    ['with a slot beyond the uses', 'GRANT_USED policy.intent-uses', { slot: { k: 3 } }],
    [
      'with a slot of another grant',
      'GRANT_USED binding.intent-slots',
      { intent: { slots: [{ grant: digest('g'), k: 0, tag: digest('t') }] } },
    ],
    ['with the header of another dataset', 'HEADER_INVALID binding.headers', () => ({ release: { headers: [other.header] } })],
    ['whose policy text nobody named', 'POLICY_DENIED binding.policies', { release: { policies: [otherPolicy] } }],
    ['without policy texts', 'POLICY_DENIED binding.policies', { release: { policies: [] } }],
    ['with a policy text too many', 'POLICY_DENIED binding.policies', () => ({ release: { policies: [scene.policy, otherPolicy] } })],
    [
      'whose key is for no dataset of the contract',
      'UNWRAP_FAILED binding.sealed-keys',
      { keys: (k) => k.map((s) => ({ ...s, header: digest('h') })) },
    ],
    ['without keys', 'UNWRAP_FAILED binding.sealed-keys', { keys: () => [] }],
    ['with a key twice', 'UNWRAP_FAILED binding.sealed-keys', { keys: (k) => [...k, ...k] }],
    ['without a log entry of its own', 'LOG_PROOF_INVALID log.leaf', { opening: testBytes('another document', 50) }],
    ['with the proof of another leaf', 'LOG_PROOF_INVALID', { entry: (e) => ({ ...e, index: 0 }) }],
    ['with a proof that is cut', 'LOG_PROOF_INVALID', { entry: (e) => ({ ...e, proof: e.proof.slice(1) }) }],
    ['without a proof', 'LOG_PROOF_INVALID', { entry: (e) => ({ ...e, proof: [] }) }],
    ['under the checkpoint of another log', 'LOG_CHECKPOINT_INVALID checkpoint', { logSigner: noteSigner(ORIGIN, 'another log') }],
    ['whose leaf shows other tags', 'LOG_PROOF_INVALID binding.leaf-tags', { leaf: { tags: [digest('tag')] } }],
    ['whose leaf hides its tags', 'LOG_PROOF_INVALID binding.leaf-tags', { leaf: { tags: [] } }],
    ['whose leaf ends another one', 'LOG_PROOF_INVALID binding.leaf-ends', { leaf: { ends: [digest('ends')] } }],
    ['whose leaf has no deadline', 'LOG_PROOF_INVALID binding.leaf-deadline', { leaf: { deadline: null } }],
    ['whose leaf is of another type', 'LOG_PROOF_INVALID binding.leaf-type', { leaf: { type: 'execution' } }],
    ['before the grant begins', 'GRANT_EXPIRED freshness.grant-begun', { time: Date.parse('2026-05-28T19:59:59Z') / 1000 }],
    ['of a grant that may have expired', 'GRANT_EXPIRED freshness.grant-expiry', {}, { grant: { expires: '2026-05-28T20:26:44Z' } }],
    ['after the end of the contract', 'DEADLINE freshness.contract', {}, { contract: { notAfter: '2026-05-28T20:26:44Z' } }],
    ['after the deadline of the intent', 'DEADLINE freshness.deadline', { intent: { deadline: '2026-05-28T20:26:44Z' } }],
    ['by a grant that another owner signed', 'GRANT_DENIED policy.intent-signer', {}, { grantSigner: stranger.jwk }],
    ['by another owner altogether', 'GRANT_DENIED policy.grant-owner', { intentSigner: stranger.jwk }, { grantSigner: stranger.jwk }],
    ['of arguments that the grant does not pin', 'GRANT_DENIED policy.grant-argv', {}, { grant: { argv: ['other'] } }],
    ['of an environment that the grant does not pin', 'GRANT_DENIED policy.grant-env', {}, { grant: { env: { LANG: 'de' } } }],
    ['for a purpose that the grant does not name', 'GRANT_DENIED policy.grant-purpose', {}, { grant: { purposes: ['urn:other'] } }],
    [
      'to a recipient that the grant does not name',
      'GRANT_DENIED policy.grant-recipients',
      {},
      { contract: { recipients: [kemKey('eve')] } },
    ],
    [
      'for an image that the grant does not name',
      'GRANT_DENIED policy.grant-image',
      {},
      { contract: { image: { runner: 'wasm', digest: `sha256:${'00'.repeat(32)}` } } },
    ],
    ['by a submitter that the grant does not name', 'GRANT_DENIED policy.grant-submitter', {}, { grant: { submitters: [] } }],
    ['of data that the grant does not name', 'UNWRAP_FAILED binding.intent-datasets', {}, { grant: { datasets: [digest('d')] } }],
    ['of a grant without uses', 'GRANT_USED policy.intent-uses', {}, { grant: { uses: 0 } }],
    ['of a grant under another policy', 'GRANT_DENIED policy.grant-policy', {}, { grant: { policy: digest('policy') } }],
    ['that a policy keeps from this runner', 'POLICY_DENIED policy.runner', {}, { policy: { runners: ['docker'] } }],
    [
      'that a policy keeps from this suite',
      'POLICY_DENIED policy.suite',
      {},
      { policy: { suites: ['DHKEM-P384,HKDF-SHA384,AES-256-GCM'] } },
    ],
    [
      'that a policy keeps from simulated hosts',
      'POLICY_DENIED policy.simulated',
      {},
      { policy: { appraisal: { ...samplePolicy().appraisal, allowSimulated: false } } },
    ],
    [
      'without the quorum of witnesses that a policy demands',
      'LOG_CHECKPOINT_INVALID checkpoint',
      {},
      { policy: { witnessing: { mode: 'quorum', k: 1, keys: [witness] } } },
    ],
    ['in a profile that is not the runner’s', 'POLICY_DENIED policy.isolation', {}, { contract: { isolation: 'sealgate-container-v1' } }],
    [
      'in a weaker profile than a policy asks for',
      'POLICY_DENIED policy.isolation-grade',
      {},
      { policy: { minimumGrades: { ...samplePolicy().minimumGrades, isolation: 'container' } } },
    ],
    ['whose tag is not that of its slot', 'GRANT_USED intent.slots', { slot: { tag: digest('tag') } }],
    ['whose wrap lacks the use key', 'GRANT_USED release.useKeys', { wrapUseKeys: false }],
    ['whose use key is not the grant’s', 'GRANT_USED release.useKeys', { useKey: testBytes('another use key', 32) }],
    ['whose wrap belongs to another log entry', 'UNWRAP_FAILED', { wrapLeafHash: digest('another leaf') }],
    [
      'whose wrap was changed',
      'UNWRAP_FAILED',
      { keys: (k) => k.map((s) => ({ ...s, ciphertext: s.ciphertext.map((b, i) => (i === 0 ? b ^ 1 : b)) })) },
    ],
    [
      'whose encapsulated key was changed',
      'UNWRAP_FAILED',
      { keys: (k) => k.map((s) => ({ ...s, enc: s.enc.map((b, i) => (i === 9 ? b ^ 1 : b)) })) },
    ],
    [
      'sealed with another suite than it says',
      'UNWRAP_FAILED',
      { keys: (k) => k.map((s) => ({ ...s, suite: 'DHKEM-P384,HKDF-SHA384,AES-256-GCM' })) },
    ],
  ]

  for (const [name, want, changes, sceneChanges] of attacks) {
    it(`rejects a release ${name}`, async () => {
      const refusal = await refusalOf(admit(typeof changes === 'function' ? changes() : changes, sceneChanges))
      if (want.includes(' ')) expect(refusal).toBe(want)
      else expect(refusal.split(' ')[0]).toBe(want)
    })
  }

  it('rejects a grant of the owner for other data, slipped in beside the right one', async () => {
    const { attested } = await attest(scene)
    const foreign = encodeGrant(await sampleGrant(testBytes('other header', 10), scene.policy))
    const jws = await issueFlattenedJws(foreign, GRANT_TYP, owner.jwk)
    const grants = [scene.grantDigest, await digestOf(foreign)].sort()
    const tag = await useSlotTag(useKey, 1)
    const slots = grants.map((grant) => ({ grant, k: 1, tag }))
    const release = await makeRelease(scene, attested, {
      intent: { grants, slots },
      leaf: { tags: [tag] },
      release: { grants: [scene.grant, jws] },
    })
    expect(await refusalOf(verifyRelease(attested, release, ELAPSED_MS))).toBe('GRANT_DENIED policy.grant-dataset')
  })

  it('rejects data whose header names another owner', async () => {
    const changes = { owner: await thumbprint(publicOf(stranger.jwk)) }
    expect(await refusalOf(admit({}, changes))).toBe('GRANT_DENIED policy.grant-owner')
  })

  it('rejects a checkpoint that may be older than the policy allows, by its own clock alone', async () => {
    expect(await outcomeOf(() => admit({}, undefined, 598_000))).toBe('accepted')
    expect(await outcomeOf(() => admit({}, undefined, 600_000))).toBe<ErrorCode>('LOG_STALE')
    // A gateway that dates its checkpoint into the future moves the bounds, not the age.
    expect(await outcomeOf(() => admit({ time: T0 + 600 }, undefined, 600_000))).toBe<ErrorCode>('LOG_STALE')
  })

  it('counts a grant from the latest that now can be', async () => {
    const expires = { grant: { expires: '2026-05-28T20:26:51Z' } }
    expect(await outcomeOf(() => admit({}, expires, 9000))).toBe('accepted')
    expect(await outcomeOf(() => admit({}, expires, 9001))).toBe<ErrorCode>('GRANT_EXPIRED')
  })

  it('rejects a second release for the same key, even the same one again', async () => {
    const { attested, keys } = await attest(scene)
    const checked = await verifyRelease(attested, await makeRelease(scene, attested), ELAPSED_MS)
    await openRelease(keys, checked)
    expect(await outcomeOf(() => openRelease(keys, checked))).toBe<ErrorCode>('JOB_CONFLICT')
  })

  it('spends the key even when the first opening fails', async () => {
    const { attested, keys } = await attest(scene)
    const bad = await verifyRelease(attested, await makeRelease(scene, attested, { wrapLeafHash: digest('leaf') }), ELAPSED_MS)
    const good = await verifyRelease(attested, await makeRelease(scene, attested), ELAPSED_MS)
    expect(await outcomeOf(() => openRelease(keys, bad))).toBe<ErrorCode>('UNWRAP_FAILED')
    expect(await outcomeOf(() => openRelease(keys, good))).toBe<ErrorCode>('JOB_CONFLICT')
  })

  it('rejects a wrap for the key of another job', async () => {
    const { attested } = await attest(scene)
    const checked = await verifyRelease(attested, await makeRelease(scene, attested), ELAPSED_MS)
    const other = await JobKeys.create(DEFAULT_HPKE_SUITE, 0)
    expect(await outcomeOf(() => openRelease(other, checked))).toBe<ErrorCode>('UNWRAP_FAILED')
  })

  it('opens nothing for a release with any one bit changed', async () => {
    const part = fc.nat({ max: 8 })
    await fc.assert(
      fc.asyncProperty(part, fc.nat(), async (index, position) => {
        const { attested, keys } = await attest(scene)
        const [bytes, put] = parts(await makeRelease(scene, attested)).at(index) as Part
        const bit = position % (bytes.length * 8)
        const flipped = bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
        const work = verifyRelease(attested, put(flipped), ELAPSED_MS).then((checked) => openRelease(keys, checked))
        const error: unknown = await work.catch((e: unknown) => e)
        expect(error).toBeInstanceOf(AttestError)
        expect((error as AttestError).code).not.toBe('INTERNAL')
      }),
      { numRuns: 200 },
    )
  })

  it('takes what the gateway says about the evidence as a claim only, but in its form', async () => {
    const { attested } = await attest(scene)
    const release = await makeRelease(scene, attested, { release: { ear: Buffer.from('{"status":"affirming"}') } })
    expect(await outcomeOf(() => verifyRelease(attested, release, ELAPSED_MS))).toBe<ErrorCode>('DOCUMENT_INVALID')
  })

  it('has a rule for each part of a release', () => {
    expect(RELEASE_RULES.map((r) => r.code)).toEqual([
      'UNWRAP_FAILED',
      'GRANT_DENIED',
      'HEADER_INVALID',
      'GRANT_DENIED',
      'POLICY_DENIED',
      'UNWRAP_FAILED',
    ])
  })
})

describe('admission of a release by several', () => {
  const second = testKey('second owner')
  const broker = testKey('broker')

  interface Two {
    readonly attested: Attested
    readonly keys: JobKeys
    /** One part of each owner, honest. */
    readonly release: Release
    readonly scenes: readonly [Scene, Scene]
  }

  /** A job on one dataset of each of two owners, and what both would release. */
  async function two(
    changes: {
      readonly second?: SceneChanges
      readonly first?: SceneChanges
      readonly part?: ReleaseChanges
      readonly brokered?: boolean
    } = {},
  ): Promise<Two> {
    const secondThumbprint = await thumbprint(publicOf(second.jwk))
    const [a, b] = [
      await makeScene(changes.first),
      await makeScene({ owner: secondThumbprint, grantSigner: second.jwk, plaintext: testBytes('second rows', 400), ...changes.second }),
    ]
    const policies = [...new Set([...a.contract.policies, ...b.contract.policies])].sort()
    const contract: Contract = {
      ...a.contract,
      inputs: [...a.contract.inputs, ...b.contract.inputs.map((input) => ({ ...input, name: 'second.csv' }))],
      policies,
      release: changes.brokered === true ? ['brokered', 'direct'] : ['direct'],
    }
    const job = await digestOf(encodeContract(contract))
    const { attested, keys } = await attest({ ...a, contract, job })
    const share = { ...attested, contract }
    const of = (scene: Scene): Scene => ({ ...scene, job, contract: { ...contract, inputs: scene.contract.inputs } })
    const theLog = new TestLog(log)
    const first = await makeRelease(of(a), share, { log: theLog })
    const releaser = changes.brokered === true ? broker : second
    const other = await makeRelease(of(b), share, {
      log: theLog,
      intentSigner: releaser.jwk,
      slot: { k: 1 },
      ...(changes.brokered === true ? { intent: { mode: 'brokered' } } : {}),
      ...changes.part,
    })
    const grants = [[a.grantDigest, a.grant] as const, [b.grantDigest, b.grant] as const].sort(([x], [y]) => (x < y ? -1 : 1))
    const texts = new Map([
      [a.contract.policies[0] ?? '', a.policy],
      [b.contract.policies[0] ?? '', b.policy],
    ])
    const release: Release = {
      grants: grants.map(([, jws]) => jws),
      policies: policies.map((p) => texts.get(p) ?? new Uint8Array()),
      parts: [...first.parts, ...other.parts],
      ear: new Uint8Array(),
      headers: [a.header, b.header],
    }
    return { attested: share, keys, release, scenes: [a, b] }
  }

  const refused = (of: Pick<Two, 'attested'>, release: Release): Promise<string> =>
    refusalOf(verifyRelease(of.attested, release, ELAPSED_MS))

  it('opens the data keys of both owners, whatever the order of their parts', async () => {
    for (const turn of [false, true]) {
      const { attested, keys, release, scenes } = await two()
      const parts = turn ? [...release.parts].reverse() : release.parts
      const checked = await verifyRelease(attested, { ...release, parts }, ELAPSED_MS)
      expect(checked.parts.map((p) => p.logged.index)).toEqual([...checked.parts.map((p) => p.logged.index)].sort((x, y) => x - y))
      const opened = await openRelease(keys, checked)
      for (const scene of scenes) expect(opened.get(scene.contract.inputs[0]?.header ?? '')?.expose()).toEqual(scene.dek)
    }
  })

  it('opens what a broker released whom the grant names', async () => {
    const brokerThumbprint = await thumbprint(publicOf(broker.jwk))
    const { attested, keys, release, scenes } = await two({ brokered: true, second: { grant: { release: brokeredBy(brokerThumbprint) } } })
    const opened = await openRelease(keys, await verifyRelease(attested, release, ELAPSED_MS))
    expect(opened.get(scenes[1].contract.inputs[0]?.header ?? '')?.expose()).toEqual(scenes[1].dek)
  })

  it('rejects the keys of one owner alone', async () => {
    const it = await two()
    for (const part of it.release.parts) expect(await refused(it, { ...it.release, parts: [part] })).toBe('GRANT_DENIED binding.releasers')
  })

  it('rejects the same part twice, beside the other and in place of it', async () => {
    const it = await two()
    const [a, b] = it.release.parts as [ReleasePart, ReleasePart]
    for (const parts of [
      [a, a],
      [a, a, b],
      [a, b, b],
    ])
      expect(await refused(it, { ...it.release, parts })).toBe('GRANT_DENIED binding.releasers')
  })

  it('rejects two different releases of one owner', async () => {
    const it = await two()
    const again = await two()
    const [a, b] = it.release.parts as [ReleasePart, ReleasePart]
    const of = { ...it.scenes[0], contract: { ...it.attested.contract, inputs: it.scenes[0].contract.inputs } }
    const another = (await makeRelease(of, it.attested, { slot: { k: 2 } })).parts[0] as ReleasePart
    expect(await refused(it, { ...it.release, parts: [a, another, b] })).toBe('GRANT_DENIED binding.releasers')
    // And one of another job altogether.
    expect(await refused(it, { ...it.release, parts: [a, again.release.parts[1] as ReleasePart] })).toMatch(
      /^(UNWRAP_FAILED|GRANT_DENIED) /,
    )
  })

  it('rejects an intent that takes the dataset of the other owner along', async () => {
    const it = await two()
    const all = it.attested.contract.inputs.map((i) => i.header)
    const of = { ...it.scenes[0], contract: { ...it.attested.contract, inputs: it.scenes[0].contract.inputs } }
    const greedy = (await makeRelease(of, it.attested, { intent: { datasets: all } })).parts[0] as ReleasePart
    const parts = [greedy, it.release.parts[1] as ReleasePart]
    expect(await refused(it, { ...it.release, parts })).toBe('UNWRAP_FAILED binding.intent-datasets')
  })

  it('rejects an intent that takes the grant of the other owner along', async () => {
    const it = await two()
    const grants = it.scenes.map((s) => s.grantDigest).sort()
    const tag = await useSlotTag(useKey, 0)
    const slots = grants.map((grant) => ({ grant, k: 0, tag }))
    const of = { ...it.scenes[0], contract: { ...it.attested.contract, inputs: it.scenes[0].contract.inputs } }
    const greedy = (await makeRelease(of, it.attested, { intent: { grants, slots }, leaf: { tags: [tag] } })).parts[0] as ReleasePart
    expect(await refused(it, { ...it.release, parts: [greedy, it.release.parts[1] as ReleasePart] })).toBe(
      'GRANT_DENIED binding.intent-grants',
    )
  })

  it('rejects a broker whom the grant does not name, and the owner where it names one', async () => {
    const other = await thumbprint(publicOf(stranger.jwk))
    const named = { second: { grant: { release: brokeredBy(other) } } }
    const unnamed = await two({ ...named, brokered: true })
    expect(await refused(unnamed, unnamed.release)).toBe('GRANT_DENIED policy.intent-signer')
    const owned = await two(named)
    expect(await refused(owned, owned.release)).toBe('GRANT_DENIED policy.intent-signer')
    const direct = await two({ brokered: true })
    expect(await refused(direct, direct.release)).toBe('GRANT_DENIED policy.intent-signer')
  })

  it('rejects recipients that one of the owners does not name', async () => {
    const it = await two({ second: { grant: { recipients: [digest('somebody')] } } })
    expect(await refused(it, it.release)).toBe('GRANT_DENIED policy.grant-recipients')
  })

  it('rejects a submitter whom one of the owners does not name', async () => {
    const it = await two({ second: { grant: { submitters: [digest('somebody')] } } })
    expect(await refused(it, it.release)).toBe('GRANT_DENIED policy.grant-submitter')
  })

  it('rejects what the policy of one owner forbids while that of the other allows it', async () => {
    const it = await two({ second: { policy: { runners: ['docker'] } } })
    expect(await refused(it, it.release)).toBe('POLICY_DENIED policy.runner')
    const witnessed = await two({ second: { policy: { witnessing: { mode: 'quorum', k: 1, keys: [witness] } } } })
    expect(await refused(witnessed, witnessed.release)).toBe('LOG_CHECKPOINT_INVALID checkpoint')
  })

  it('rejects one part that is late, though the other is in time', async () => {
    const late = await two({ part: { intent: { deadline: '2026-05-28T20:26:44Z' } } })
    expect(await refused(late, late.release)).toBe('DEADLINE freshness.deadline')
    const expired = await two({ second: { grant: { expires: '2026-05-28T20:26:44Z' } } })
    expect(await refused(expired, expired.release)).toBe('GRANT_EXPIRED freshness.grant-expiry')
  })

  it('opens nothing when one of the sealed keys is bad, and the key is spent', async () => {
    const it = await two({ part: { keys: (k) => k.map((s) => ({ ...s, ciphertext: s.ciphertext.map((b, i) => (i === 0 ? b ^ 1 : b)) })) } })
    const checked = await verifyRelease(it.attested, it.release, ELAPSED_MS)
    expect(await outcomeOf(() => openRelease(it.keys, checked))).toBe<ErrorCode>('UNWRAP_FAILED')
    expect(await outcomeOf(() => openRelease(it.keys, checked))).toBe<ErrorCode>('JOB_CONFLICT')
  })
})
