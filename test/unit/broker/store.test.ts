import { copyFileSync, cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { acceptEntrustment, BrokerKeys, type BrokerStore, destroyOld, rotate } from '../../../src/broker/index.ts'
import { type EntrustableGrant, entrust, type Owner } from '../../../src/client/index.ts'
import { ReleaseRecord } from '../../../src/client/release-record.ts'
import { toBase64Url, toHex } from '../../../src/verify/bytes/bytes.ts'
import { T0 } from '../../support/job-documents.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { freshOwner, temporaryFolder } from '../client/support.ts'
import { freshBroker, keepDataset, keepGrant, type TestBroker } from './support.ts'

const folder = temporaryFolder()
let alice: Owner
let broker: TestBroker
let data: readonly Awaited<ReturnType<typeof keepDataset>>[]
let grant: EntrustableGrant
let useKey: Uint8Array

beforeAll(async () => {
  alice = await freshOwner(folder)
})
beforeEach(async () => {
  broker = await freshBroker(folder)
  data = [await keepDataset(alice), await keepDataset(alice)]
  grant = await keepGrant(
    alice,
    broker.file.thumbprint,
    data.map((d) => d.digest),
  )
  useKey = (await alice.keyring.grant(grant.grantId)).useKey.expose()
  const jws = await entrust(alice, broker.file, grant, [], T0)
  await acceptEntrustment({ store: broker.store, broker: broker.file.thumbprint, owners: [alice.grantThumbprint], now: T0 }, jws)
})

const at = (name: string): string => join(broker.folder, 'store', name)
const rowOf = (i: number): string => `dataset-${data[i]?.digest ?? ''}.json`

async function expectAllOpen(store: BrokerStore): Promise<void> {
  for (const { digest, dek } of data) expect((await store.datasetKey(digest))?.expose()).toEqual(dek)
  expect((await store.useKey(grant.grantId))?.expose()).toEqual(useKey)
  expect(await store.intentKey()).toEqual(broker.intentKey)
  expect((await store.kemKey()).publicKey).toEqual(broker.file.kem)
}

describe('a store', () => {
  it('holds no key in clear, in no spelling', async () => {
    const secrets = [
      useKey,
      ...data.map((d) => d.dek),
      Buffer.from(broker.intentKey.d, 'base64url'),
      (await broker.store.kemKey()).privateKey.expose(),
    ]
    const texts = [at(''), join(broker.folder, 'keks')].flatMap((f) => readdirSync(f).map((name) => readFileSync(join(f, name), 'utf8')))
    expect(texts.length).toBeGreaterThan(6)
    for (const key of secrets) {
      for (const spelling of [toHex(key), toBase64Url(key), Buffer.from(key).toString('base64')]) {
        expect(texts.some((t) => t.includes(spelling))).toBe(false)
      }
    }
  })

  it('opens no key in the row of another dataset, nor in that of a grant', async () => {
    renameSync(at(rowOf(0)), at(rowOf(1)))
    expect(await outcomeOf(() => broker.store.datasetKey(data[1]?.digest ?? ''))).toBe('UNWRAP_FAILED')
    expect(await broker.store.datasetKey(data[0]?.digest ?? '')).toBeNull()
    copyFileSync(at(rowOf(1)), at(`grant-${grant.grantId}.json`))
    expect(await outcomeOf(() => broker.store.useKey(grant.grantId))).toBe('KEYSTORE_CORRUPT')
  })

  it("hands out none of the broker's own keys in the place of a dataset's", async () => {
    for (const own of ['own-intent-key.json', 'own-kem-key.json']) {
      copyFileSync(at(own), at(rowOf(0)))
      expect(await outcomeOf(() => broker.store.datasetKey(data[0]?.digest ?? ''))).toBe('KEYSTORE_CORRUPT')
    }
    copyFileSync(at('own-kem-key.json'), at('own-intent-key.json'))
    expect(await outcomeOf(() => broker.store.intentKey())).toBe('KEYSTORE_CORRUPT')
  })

  it('opens no row whose header, grant or public key was exchanged', async () => {
    const row = (name: string): Record<string, unknown> => JSON.parse(readFileSync(at(name), 'utf8')) as Record<string, unknown>
    const spare = await keepDataset(alice)
    writeFileSync(at(rowOf(0)), JSON.stringify({ ...row(rowOf(0)), header: toBase64Url(spare.header) }))
    expect(await outcomeOf(() => broker.store.datasetKey(data[0]?.digest ?? ''))).not.toBe('accepted')
    const other = await freshBroker(folder)
    const theirs = JSON.parse(readFileSync(join(other.folder, 'store', 'own-intent-key.json'), 'utf8')) as { publicKey: unknown }
    writeFileSync(at('own-intent-key.json'), JSON.stringify({ ...row('own-intent-key.json'), publicKey: theirs.publicKey }))
    expect(await outcomeOf(() => broker.store.intentKey())).toBe('UNWRAP_FAILED')
  })

  it('that is damaged says so', async () => {
    for (const name of ['epochs.json', rowOf(0)]) {
      const text = readFileSync(at(name))
      writeFileSync(at(name), text.subarray(0, text.length - 1))
      expect(await outcomeOf(() => broker.store.datasetKey(data[0]?.digest ?? ''))).toBe('KEYSTORE_CORRUPT')
      writeFileSync(at(name), text)
    }
    rmSync(at('epochs.json'))
    expect(await outcomeOf(() => broker.store.intentKey())).toBe('KEYSTORE_CORRUPT')
  })

  it.each(['', '../../etc/passwd', 'a'.repeat(44), `${'a'.repeat(42)}/`])('takes "%s" for no id', async (id) => {
    const { store } = broker
    for (const ask of [() => store.datasetKey(id), () => store.useKey(id), () => store.isRevoked(id), () => store.ledger(id)]) {
      expect(await outcomeOf(ask)).toBe('USAGE')
    }
  })

  it('is not made over another', async () => {
    expect(await outcomeOf(async () => broker.store.begin(broker.intentKey, await broker.store.kemKey()))).toBe('ALREADY_EXISTS')
  })
})

describe('use slots', () => {
  it('go up only, however many spend them at once', async () => {
    await Promise.all(Array.from({ length: 64 }, (_, i) => broker.store.spendSlots(grant.grantId, ((i * 37) % 64) + 1)))
    expect((await broker.reopen().ledger(grant.grantId))?.nextSlot).toBe(64)
    await broker.store.spendSlots(grant.grantId, 5)
    expect((await broker.reopen().ledger(grant.grantId))?.nextSlot).toBe(64)
  })

  it.each(['before', 'after'] as const)('that the disk loses (%s) are the old or the new ones, and go on', async (when) => {
    for (const call of [1, 2, 3]) {
      const was = (await broker.reopen().ledger(grant.grantId))?.nextSlot ?? 0
      broker.disk.arm(call, when)
      await expect(broker.store.spendSlots(grant.grantId, was + 1)).rejects.toThrow()
      broker.disk.disarm()
      const isStored = call === 3 || (call === 2 && when === 'after')
      expect((await broker.reopen().ledger(grant.grantId))?.nextSlot).toBe(isStored ? was + 1 : was)
      await broker.store.spendSlots(grant.grantId, was + 2)
      expect((await broker.reopen().ledger(grant.grantId))?.nextSlot).toBe(was + 2)
    }
  })
})

describe('a rotation', () => {
  it('wraps everything anew, and nothing under the old key opens once that is destroyed', async () => {
    const copy = join(folder, `copy-${broker.file.thumbprint}`)
    cpSync(join(broker.folder, 'store'), join(copy, 'store'), { recursive: true })
    expect(await rotate(broker.store)).toEqual({ epoch: 2, rewrapped: 5, resumed: false })
    await expectAllOpen(broker.reopen())
    await expectAllOpen(broker.reopen(copy))
    const destroyed = await destroyOld(broker.store)
    expect(destroyed).toMatchObject([{ epoch: 1, destruction: { kind: 'done' } }])
    await expectAllOpen(broker.store)
    await expectAllOpen(broker.reopen())
    const old = broker.reopen(copy)
    for (const { digest } of data) expect(await outcomeOf(() => old.datasetKey(digest))).toBe('KEK_DESTROYED')
    expect(await outcomeOf(() => old.useKey(grant.grantId))).toBe('KEK_DESTROYED')
    expect(await outcomeOf(() => old.intentKey())).toBe('KEK_DESTROYED')
    // Nor does an old row that is put back into the new store.
    copyFileSync(join(copy, 'store', rowOf(0)), at(rowOf(0)))
    expect(await outcomeOf(() => broker.reopen().datasetKey(data[0]?.digest ?? ''))).toBe('KEK_DESTROYED')
  })

  it('is noticed by a broker that runs: it opens what was wrapped anew, and nothing under the old key', async () => {
    const running = await BrokerKeys.open(broker.reopen(), new ReleaseRecord(join(broker.folder, 'releases')))
    expect((await running.datasetKey(data[0]?.digest ?? ''))?.expose()).toEqual(data[0]?.dek)
    const oldRow = readFileSync(at(rowOf(0)))
    await rotate(broker.store)
    await destroyOld(broker.store)
    expect((await running.datasetKey(data[0]?.digest ?? ''))?.expose()).toEqual(data[0]?.dek)
    writeFileSync(at(rowOf(0)), oldRow)
    expect(await outcomeOf(() => running.datasetKey(data[0]?.digest ?? ''))).toBe('KEK_DESTROYED')
  })

  it.each(['before', 'after'] as const)(
    'killed %s any write leaves a store that opens everything, and goes on where it stopped',
    async (when) => {
      let stopped = 0
      for (let call = 1; call < 100; call++) {
        broker.disk.arm(call, when)
        const failed = await rotate(broker.store).then(
          () => false,
          () => true,
        )
        broker.disk.disarm()
        await expectAllOpen(broker.reopen())
        if (failed) {
          stopped++
          const before = (await broker.reopen().keks.current()).epoch
          const { resumed, epoch } = await rotate(broker.reopen())
          if (resumed) expect(epoch).toBe(before)
          await expectAllOpen(broker.reopen())
          await destroyOld(broker.reopen())
          await expectAllOpen(broker.reopen())
          continue
        }
        expect(stopped).toBe(18)
        return
      }
      throw new Error('it never came to an end')
    },
  )

  it.each(['before', 'after'] as const)('whose old key was destroyed %s the disk failed is ended by doing it again', async (when) => {
    for (const call of [1, 2, 3]) {
      await rotate(broker.store)
      broker.disk.arm(call, when)
      await expect(destroyOld(broker.store)).rejects.toThrow()
      broker.disk.disarm()
      await expectAllOpen(broker.reopen())
      await destroyOld(broker.reopen())
      expect((await broker.reopen().keks.epochs()).keks).toHaveLength(1)
      await expectAllOpen(broker.reopen())
    }
  })

  it('destroys no key that a row still needs, nor with a row that does not open', async () => {
    const oldRow = readFileSync(at(rowOf(0)))
    await rotate(broker.store)
    const newRow = readFileSync(at(rowOf(0)))
    writeFileSync(at(rowOf(0)), oldRow)
    expect(await outcomeOf(() => destroyOld(broker.store))).toBe('KEYSTORE_CORRUPT')
    writeFileSync(at(rowOf(0)), newRow)
    copyFileSync(at(rowOf(1)), at(rowOf(0)))
    expect(await outcomeOf(() => destroyOld(broker.store))).toBe('UNWRAP_FAILED')
    writeFileSync(at(rowOf(0)), newRow)
    expect((await broker.store.keks.epochs()).keks).toHaveLength(2)
    await destroyOld(broker.store)
  })
})

describe('a broker as a releaser', () => {
  it('has the keys, the slots and the word of the owner', async () => {
    const releases = new ReleaseRecord(join(broker.folder, 'releases'))
    const keys = await BrokerKeys.open(broker.store, releases)
    expect([keys.thumbprint, keys.intentKey]).toEqual([broker.file.thumbprint, broker.intentKey])
    const held = await keys.useKey(grant.grantId)
    expect([held?.nextSlot, held?.useKey.expose()]).toEqual([0, useKey])
    await keys.spendSlots(grant.grantId, 1)
    expect((await keys.useKey(grant.grantId))?.nextSlot).toBe(1)
    const unknown = toBase64Url(new Uint8Array(32))
    expect([await keys.useKey(unknown), await keys.datasetKey(unknown), await keys.isRevoked(unknown)]).toEqual([null, null, false])
    await keys.recordRelease({ commitment: unknown, job: unknown, slots: [{ grant: grant.grantId, k: 0 }] })
    expect(await releases.commitments()).toEqual(new Set([unknown]))
  })

  it('has no use key of a grant that was revoked, whatever else is there', async () => {
    const keys = await BrokerKeys.open(broker.store, new ReleaseRecord(join(broker.folder, 'releases')))
    writeFileSync(at(`revoked-${grant.grantId}.json`), '')
    expect([await keys.isRevoked(grant.grantId), await keys.useKey(grant.grantId)]).toEqual([true, null])
  })
})
