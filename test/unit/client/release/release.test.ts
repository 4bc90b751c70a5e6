import { join } from 'node:path'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Client, LogMemory, makeFolder, type Owner, ownerKeys, type SealedKeyMessage, Slots } from '../../../../src/client/index.ts'
import { random } from '../../../../src/client/owner.ts'
import { logIntent, type ReleasePlan, releaseKeys } from '../../../../src/client/release/release.ts'
import { createDatasetHeader, generateKemKey, type KemKey, type NoteSigner, Secret, unwrapRelease } from '../../../../src/seal/index.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { INTENT_TYP, parseIntent, type ReleaseIntent } from '../../../../src/verify/documents/intent.ts'
import { DEFAULT_HPKE_SUITE, hpkeKeyDigest } from '../../../../src/verify/documents/keys.ts'
import { commitmentOf, type Leaf } from '../../../../src/verify/documents/leaf.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { verifyFlattenedJws } from '../../../../src/verify/formats/jws.ts'
import type { LoggedEntry } from '../../../../src/verify/tlog/index.ts'
import {
  digestOf,
  ORIGIN,
  policyBytes,
  sampleContract,
  sampleGrant,
  samplePolicy,
  log as signer,
  T0,
} from '../../../support/job-documents.ts'
import { noteSigner, testBytes } from '../../../support/keys.ts'
import { TestLog } from '../../../support/log.ts'
import { freshOwner, LEGAL, temporaryFolder } from '../support.ts'

const folder = temporaryFolder()
let owner: Owner
let enclaveKey: KemKey
let plan: ReleasePlan
let dataset: { digest: string; dek: Uint8Array }
let useKey: Uint8Array
let released: { leafHash: string; keys: readonly SealedKeyMessage[] } | null
let runs = 0

/** What the gateway does with an intent. */
type Logging = (intent: ReleaseIntent, jws: Uint8Array, salt: Uint8Array) => Promise<LoggedEntry>

interface Twist {
  readonly leaf?: Partial<Leaf>
  readonly signer?: NoteSigner
  readonly time?: number
}

/** Appends to a log of its own and proves it, except for what `twist` says. */
function logging(twist: Twist = {}): Logging {
  return async (intent, jws, salt) => {
    const log = new TestLog(twist.signer ?? signer)
    await log.fill(3)
    const leaf = {
      type: 'release',
      tags: intent.slots.map((s) => s.tag).sort(),
      ends: [],
      deadline: intent.deadline,
      ...twist.leaf,
    } as const
    const index = await log.append(leaf, salt, jws)
    return log.prove(index, salt, await log.checkpoint(twist.time ?? T0))
  }
}

/** The checkpoint that the job's evidence was asked for with. */
async function checkpointBefore(by: NoteSigner, size: number, time: number): Promise<string> {
  const log = new TestLog(by)
  await log.fill(size)
  return log.checkpoint(time)
}

/** Of a log with so many entries. */
async function checkpointOf(size: number, time: number): Promise<string> {
  const log = new TestLog(signer)
  await log.fill(size)
  return log.checkpoint(time)
}

function clientThat(logs: Logging): Client {
  return {
    logIntent: async (_: string, jws: Uint8Array, salt: Uint8Array) => {
      const { payload } = await verifyFlattenedJws(jws, INTENT_TYP, 'intent')
      return logs(parseIntent(payload), jws, salt)
    },
    releaseKeys: (_: string, leafHash: string, keys: readonly SealedKeyMessage[]) => {
      released = { leafHash, keys }
      return Promise.resolve()
    },
    consistencyProof: () => Promise.reject(new Error('not asked for')),
  } as unknown as Client
}

beforeAll(async () => {
  owner = await freshOwner(folder)
  enclaveKey = await generateKemKey(DEFAULT_HPKE_SUITE, random)
})

beforeEach(async () => {
  const made = await createDatasetHeader({ content: 'file', plaintextSize: 10, owner: owner.grantThumbprint, legal: LEGAL, random })
  await owner.keyring.putDataset({ digest: made.digest, name: 'a', header: made.bytes, root: toBase64Url(testBytes('root', 32)) }, made.dek)
  dataset = { digest: made.digest, dek: made.dek.expose().slice() }
  useKey = random(32)
  const grantId = toBase64Url(random(32))
  await owner.keyring.putGrant(grantId, new Secret(useKey.slice()), 3)
  const grant = { digest: grantId, grant: await sampleGrant(made.bytes, policyBytes, { uses: 2 }), signer: owner.grantThumbprint }
  const enclave: ReleasePlan['enclave'] = {
    kem: enclaveKey.publicKey,
    kemDigest: await hpkeKeyDigest(enclaveKey.publicKey),
    bindingDigest: toBase64Url(testBytes('binding', 32)),
    evidenceDigest: toBase64Url(testBytes('evidence', 32)),
  }
  const contract = await sampleContract(made.bytes, policyBytes)
  const own = join(folder, `memory-${runs++}`)
  await makeFolder(own)
  released = null
  plan = {
    client: clientThat(logging()),
    keys: ownerKeys(owner),
    slots: new Slots(ownerKeys(owner)),
    memory: new LogMemory(own),
    contract,
    jobDigest: await digestOf(testBytes('contract', 10)),
    share: { releaser: { mode: 'direct', thumbprint: owner.grantThumbprint }, grants: [grant], datasets: [dataset.digest] },
    policies: [samplePolicy()],
    enclave,
    nonceCheckpoint: await checkpointBefore(signer, 3, T0 - 10),
    now: () => T0 + 10,
  }
})

const withCode = (code: string): object => expect.objectContaining({ code })

describe('release', () => {
  it('seals the key only to the enclave, bound to the logged intent', async () => {
    const logged = await logIntent(plan)
    await releaseKeys(plan, logged)
    expect(released?.leafHash).toBe(logged.entry.leafHash)
    const [sealed] = released?.keys ?? []
    if (sealed === undefined) throw new Error('no key')
    const context = { intent: logged.intent, leafHash: logged.entry.leafHash, dataset: dataset.digest }
    const wrapped = { suite: DEFAULT_HPKE_SUITE, enc: sealed.enc, ciphertext: sealed.ciphertext }
    const opened = await unwrapRelease(enclaveKey, context, wrapped)
    expect(opened.dek.expose()).toEqual(dataset.dek)
    expect(opened.useKeys.get(plan.share.grants[0]?.digest ?? '')?.expose()).toEqual(useKey)
  })

  it('uses one slot after the other, and remembers it', async () => {
    expect((await logIntent(plan)).intent.slots[0]?.k).toBe(0)
    // Another log each time, so another memory.
    await makeFolder(join(folder, `next-${runs}`))
    const next = { ...plan, memory: new LogMemory(join(folder, `next-${runs}`)) }
    expect((await logIntent({ ...next, client: clientThat(logging()) })).intent.slots[0]?.k).toBe(1)
    await expect(logIntent(next)).rejects.toEqual(withCode('GRANT_USED'))
  })

  it('records each release before anybody hears of it, so that the owner knows it again in the log', async () => {
    const heard: string[] = []
    const listening: Logging = async (intent, jws, salt) => {
      const commitment = await commitmentOf(salt, jws)
      if ((await owner.releases.commitments()).has(commitment)) heard.push(commitment)
      if (intent.slots[0]?.k === 0) throw new AttestError('GRANT_USED', 'the tag is in the log')
      return logging()(intent, jws, salt)
    }
    const { entry } = await logIntent({ ...plan, client: clientThat(listening) })
    expect(heard).toHaveLength(2)
    expect(entry.leaf.commitment).toBe(heard[1])
  })

  it('asks for no release that it cannot record', async () => {
    const recordRelease = (): Promise<void> => Promise.reject(new AttestError('DISK_FULL', 'no space left'))
    const unasked: Logging = () => Promise.reject(new Error('nobody should hear of it'))
    await expect(logIntent({ ...plan, keys: { ...plan.keys, recordRelease }, client: clientThat(unasked) })).rejects.toEqual(
      withCode('DISK_FULL'),
    )
  })

  it('asks for no release under a grant that was revoked while the job waited, whatever the gateway says of it', async () => {
    await owner.keyring.putRevocation(plan.share.grants[0]?.digest ?? '', random(200))
    const before = (await owner.releases.commitments()).size
    const unasked: Logging = () => Promise.reject(new Error('nobody should hear of it'))
    await expect(logIntent({ ...plan, client: clientThat(unasked) })).rejects.toEqual(withCode('GRANT_DENIED'))
    expect((await owner.releases.commitments()).size).toBe(before)
  })

  it('seals no key under a grant that was revoked after the intent was logged', async () => {
    const logged = await logIntent(plan)
    await owner.keyring.putRevocation(plan.share.grants[0]?.digest ?? '', random(200))
    await expect(releaseKeys(plan, logged)).rejects.toEqual(withCode('GRANT_DENIED'))
    expect(released).toBeNull()
  })

  it('neither asks for a release nor seals a key under a grant that its owner holds, until that ends', async () => {
    const grantId = plan.share.grants[0]?.digest ?? ''
    const logged = await logIntent(plan)
    await owner.keyring.putHold(grantId, { sequence: 1, held: true }, random(200))
    await expect(logIntent(plan)).rejects.toEqual(withCode('GRANT_HELD'))
    await expect(releaseKeys(plan, logged)).rejects.toEqual(withCode('GRANT_HELD'))
    expect(released).toBeNull()
    await owner.keyring.putHold(grantId, { sequence: 2, held: false }, random(200))
    await releaseKeys(plan, logged)
    expect(released).not.toBeNull()
  })

  it('hands over no key when the grant is revoked while it is being sealed', async () => {
    const logged = await logIntent(plan)
    const grantId = plan.share.grants[0]?.digest ?? ''
    // Another process of the owner, between the first look and the message.
    const datasetKey = async (id: string): Promise<Secret> => {
      await owner.keyring.putRevocation(grantId, random(200))
      return owner.keyring.datasetKey(id)
    }
    await expect(releaseKeys({ ...plan, keys: { ...plan.keys, datasetKey } }, logged)).rejects.toEqual(withCode('GRANT_DENIED'))
    expect(released).toBeNull()
  })

  it('takes the next slot when another client of the owner has used one', async () => {
    const honest = logging()
    const used: Logging = async (intent, jws, salt) => {
      if (intent.slots[0]?.k === 0) throw new AttestError('GRANT_USED', 'the tag is in the log')
      return honest(intent, jws, salt)
    }
    expect((await logIntent({ ...plan, client: clientThat(used) })).intent.slots[0]?.k).toBe(1)
    const all: Logging = () => Promise.reject(new AttestError('GRANT_USED', 'the tag is in the log'))
    await expect(logIntent({ ...plan, client: clientThat(all) })).rejects.toEqual(withCode('GRANT_USED'))
  })

  const TWISTS: readonly (readonly [string, Twist, string])[] = [
    ['an entry in a log that another key signs', { signer: noteSigner(ORIGIN, 'thief') }, 'LOG_CHECKPOINT_INVALID'],
    ['a checkpoint that is too old', { time: T0 - 3600 }, 'LOG_STALE'],
    ['a checkpoint from the future', { time: T0 + 7200 }, 'LOG_STALE'],
    ['a leaf without the use tags', { leaf: { tags: [] } }, 'LOG_PROOF_INVALID'],
    ['a leaf of another type', { leaf: { type: 'onboard' } }, 'LOG_PROOF_INVALID'],
    ['a leaf with a later deadline', { leaf: { deadline: '2030-01-01T00:00:00Z' } }, 'LOG_PROOF_INVALID'],
    ['a leaf that pretends to end something', { leaf: { ends: [toBase64Url(testBytes('x', 32))] } }, 'LOG_PROOF_INVALID'],
  ]
  it.each(TWISTS)('refuses %s', async (_, twist, code) => {
    await expect(logIntent({ ...plan, client: clientThat(logging(twist)) })).rejects.toEqual(withCode(code))
  })

  it('refuses evidence over a checkpoint that is too old, or younger than the release', async () => {
    for (const nonceCheckpoint of [await checkpointOf(2, T0 - 3600), await checkpointOf(2, T0 + 60), await checkpointOf(4, T0)]) {
      await expect(logIntent({ ...plan, nonceCheckpoint })).rejects.toEqual(withCode('LOG_STALE'))
    }
  })

  it('refuses an entry about another intent, under another salt, or with a proof of something else', async () => {
    const honest = logging()
    const changes: readonly Logging[] = [
      (intent, _, salt) => honest(intent, testBytes('other', 100), salt),
      (intent, jws) => honest(intent, jws, testBytes('other salt', 32)),
      async (intent, jws, salt) => ({ ...(await honest(intent, jws, salt)), index: 0 }),
      async (intent, jws, salt) => ({ ...(await honest(intent, jws, salt)), proof: [] }),
    ]
    for (const change of changes) {
      await expect(logIntent({ ...plan, client: clientThat(change) })).rejects.toEqual(withCode('LOG_PROOF_INVALID'))
    }
  })

  it('refuses evidence that was asked for too long ago, after the release, or with the checkpoint of another log', async () => {
    const cases = [
      [await checkpointBefore(signer, 3, T0 - 3600), 'LOG_STALE'],
      [await checkpointBefore(signer, 3, T0 + 60), 'LOG_STALE'],
      [await checkpointBefore(signer, 4, T0 - 10), 'LOG_STALE'],
      [await checkpointBefore(noteSigner(ORIGIN, 'thief'), 3, T0 - 10), 'LOG_CHECKPOINT_INVALID'],
    ] as const
    for (const [nonceCheckpoint, code] of cases) {
      await expect(logIntent({ ...plan, nonceCheckpoint })).rejects.toEqual(withCode(code))
    }
  })

  it('refuses a log that shows another history than before', async () => {
    const other = new TestLog(signer)
    await other.append({ type: 'onboard', tags: [], ends: [], deadline: null }, testBytes('a', 32), testBytes('b', 32))
    await other.fill(3)
    const { log } = samplePolicy()
    await plan.memory.accept(log, await other.checkpoint(T0), 'current', () => Promise.resolve([]))
    await expect(logIntent(plan)).rejects.toEqual(withCode('LOG_PROOF_INVALID'))
  })
})
