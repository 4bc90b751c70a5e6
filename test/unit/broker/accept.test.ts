import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { acceptEntrustment, revokeAtBroker, withdrawDataset, withdrawGrant } from '../../../src/broker/index.ts'
import { type EntrustableGrant, entrust, type Owner, revokeGrant } from '../../../src/client/index.ts'
import { issueFlattenedJws, wrapEntrusted } from '../../../src/seal/index.ts'
import { Secret } from '../../../src/seal/secret.ts'
import { toBase64Url } from '../../../src/verify/bytes/bytes.ts'
import { ENTRUSTMENT_TYP, type Entrustment, encodeEntrustment, parseEntrustment } from '../../../src/verify/documents/entrustment.ts'
import { GRANT_TYP } from '../../../src/verify/documents/grant.ts'
import { verifyFlattenedJws } from '../../../src/verify/formats/jws.ts'
import { T0 } from '../../support/job-documents.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { freshOwner, temporaryFolder } from '../client/support.ts'
import { freshBroker, keepDataset, keepGrant, type TestBroker } from './support.ts'

const folder = temporaryFolder()
let broker: TestBroker
let alice: Owner
let mallory: Owner
let data: readonly Awaited<ReturnType<typeof keepDataset>>[]
let grant: EntrustableGrant

beforeAll(async () => {
  alice = await freshOwner(folder)
  mallory = await freshOwner(folder)
})
beforeEach(async () => {
  broker = await freshBroker(folder)
  data = [await keepDataset(alice), await keepDataset(alice)]
  grant = await keepGrant(alice, broker.file.thumbprint, digests())
})

const digests = (): readonly string[] => data.map((d) => d.digest)
const sent = (datasets: readonly string[] = [], own = grant, owner = alice): Promise<Uint8Array> =>
  entrust(owner, broker.file, own, datasets, T0)
const accept = (
  jws: Uint8Array,
  changes: { now?: number; owners?: readonly string[]; to?: TestBroker } = {},
): ReturnType<typeof acceptEntrustment> => {
  const to = changes.to ?? broker
  const owners = changes.owners ?? [alice.grantThumbprint, mallory.grantThumbprint]
  return acceptEntrustment({ store: to.store, broker: to.file.thumbprint, owners, now: changes.now ?? T0 }, jws)
}
/** An entrustment of ours with one thing changed, signed anew. */
async function forged(change: (e: Entrustment) => Partial<Entrustment>, signer = alice): Promise<Uint8Array> {
  const entrustment = parseEntrustment((await verifyFlattenedJws(await sent(), ENTRUSTMENT_TYP, 'entrustment')).payload)
  return issueFlattenedJws(encodeEntrustment({ ...entrustment, ...change(entrustment) }), ENTRUSTMENT_TYP, signer.grantKey)
}
async function isEmpty(): Promise<boolean> {
  return (await broker.store.grants()).length + (await broker.store.datasets()).length === 0
}

describe('an entrustment', () => {
  it('puts the keys into the store, where they open as they were', async () => {
    const accepted = await accept(await sent())
    expect(accepted).toMatchObject({ digest: grant.grantId, owner: alice.grantThumbprint, entrusted: grant.grant.datasets })
    const there = broker.reopen()
    for (const { digest, dek } of data) expect((await there.datasetKey(digest))?.expose()).toEqual(dek)
    expect((await there.useKey(grant.grantId))?.expose()).toEqual((await alice.keyring.grant(grant.grantId)).useKey.expose())
  })

  it('may come in parts, and twice', async () => {
    await accept(await sent(digests().slice(0, 1)))
    expect(await broker.store.datasets()).toEqual(digests().slice(0, 1))
    await broker.store.spendSlots(grant.grantId, 2)
    await accept(await sent(digests().slice(1)))
    await accept(await sent())
    expect([...(await broker.store.datasets())].sort()).toEqual([...digests()].sort())
    expect((await broker.store.ledger(grant.grantId))?.nextSlot).toBe(2)
  })

  it('of an owner whom the trust file does not name is refused', async () => {
    expect(await outcomeOf(async () => accept(await sent(), { owners: [mallory.grantThumbprint] }))).toBe('SIGNER_UNKNOWN')
    expect(await isEmpty()).toBe(true)
  })

  it('to another broker is refused there, also when it is redirected', async () => {
    const other = await freshBroker(folder)
    expect(await outcomeOf(async () => accept(await sent(), { to: other }))).toBe('UNWRAP_FAILED')
    const redirected = await forged(() => ({ broker: other.file.thumbprint }))
    expect(await outcomeOf(() => accept(redirected, { to: other }))).toBe('UNWRAP_FAILED')
  })

  it('under a grant that names another broker, or none, is refused on both sides', async () => {
    const other = await freshBroker(folder)
    for (const release of [other.file.thumbprint, null]) {
      const elsewhere = await keepGrant(alice, release, digests())
      expect(await outcomeOf(() => sent([], elsewhere))).toBe('GRANT_DENIED')
      const jws = await forged((e) => ({ grant: { ...e.grant, jws: toBase64Url(elsewhere.jws) } }))
      expect(await outcomeOf(() => accept(jws))).toBe('GRANT_DENIED')
    }
    expect(await isEmpty()).toBe(true)
  })

  it('of a grant that somebody else signed is refused', async () => {
    const { payload } = await verifyFlattenedJws(grant.jws, GRANT_TYP, 'grant')
    const theirs = await issueFlattenedJws(payload, GRANT_TYP, mallory.grantKey)
    expect(await outcomeOf(async () => accept(await forged((e) => ({ grant: { ...e.grant, jws: toBase64Url(theirs) } }))))).toBe(
      'GRANT_DENIED',
    )
    expect(await outcomeOf(async () => accept(await forged(() => ({}), mallory)))).toBe('GRANT_DENIED')
    expect(await isEmpty()).toBe(true)
  })

  it('of data of another owner, or that the grant does not name, is refused', async () => {
    const theirs = await keepDataset(mallory)
    const spare = await keepDataset(alice)
    for (const { header, digest } of [theirs, spare]) {
      const bound = { broker: broker.file.thumbprint, owner: alice.grantThumbprint, grant: grant.grantId, dataset: digest }
      const key = await wrapEntrusted(broker.file.kem, bound, new Secret(new Uint8Array(32)))
      expect(await outcomeOf(async () => accept(await forged(() => ({ datasets: [{ header: toBase64Url(header), key }] }))))).toBe(
        'GRANT_DENIED',
      )
    }
    expect(await outcomeOf(() => sent([spare.digest]))).toBe('GRANT_DENIED')
  })

  it('whose keys were exchanged does not open', async () => {
    const swapped = await forged(({ datasets: [a, b] }) =>
      a === undefined || b === undefined
        ? {}
        : {
            datasets: [
              { ...a, key: b.key },
              { ...b, key: a.key },
            ],
          },
    )
    expect(await outcomeOf(() => accept(swapped))).toBe('UNWRAP_FAILED')
    const used = await forged(({ grant: g, datasets: [a] }) => (a === undefined ? {} : { grant: { ...g, useKey: a.key } }))
    expect(await outcomeOf(() => accept(used))).toBe('UNWRAP_FAILED')
    expect(await isEmpty()).toBe(true)
  })

  it('of keys that header or grant do not commit to is refused', async () => {
    const bound = { broker: broker.file.thumbprint, owner: alice.grantThumbprint, grant: grant.grantId }
    const wrong = (dataset: string | null): ReturnType<typeof wrapEntrusted> =>
      wrapEntrusted(broker.file.kem, { ...bound, dataset }, new Secret(new Uint8Array(32)))
    const key = await wrong(grant.grant.datasets[1] ?? '')
    const dek = await forged(({ datasets: [a, b] }) => (a === undefined || b === undefined ? {} : { datasets: [a, { ...b, key }] }))
    expect(await outcomeOf(() => accept(dek))).toBe('KEY_COMMITMENT_MISMATCH')
    const useKey = await wrong(null)
    expect(await outcomeOf(async () => accept(await forged((e) => ({ grant: { ...e.grant, useKey } }))))).toBe('KEY_COMMITMENT_MISMATCH')
    expect(await isEmpty()).toBe(true)
  })

  it('of a grant that has ended is refused; one that has not begun is kept', async () => {
    const [begin, end] = [grant.grant.notBefore, grant.grant.expires].map((t) => Date.parse(t) / 1000) as [number, number]
    expect(await outcomeOf(async () => accept(await sent(), { now: end }))).toBe('GRANT_EXPIRED')
    expect(await outcomeOf(async () => accept(await sent(), { now: begin - 1000 }))).toBe('accepted')
  })

  it('that was changed anywhere is refused', async () => {
    const jws = await sent()
    for (let i = 0; i < jws.length; i += 97) {
      const changed = jws.slice()
      changed[i] = (changed[i] ?? 0) ^ 1
      expect(await outcomeOf(() => accept(changed)), `byte ${i}`).not.toBe('accepted')
    }
    expect(await isEmpty()).toBe(true)
  })

  it('that is cut short by the disk leaves no grant without its data, and goes on when it is accepted again', async () => {
    const jws = await sent()
    for (let call = 1; call < 40; call++) {
      for (const when of ['before', 'after'] as const) {
        broker.disk.arm(call, when)
        const failed = await accept(jws).then(
          () => false,
          () => true,
        )
        broker.disk.disarm()
        if ((await broker.store.grants()).length > 0) {
          for (const digest of digests()) expect(await broker.store.datasetKey(digest)).not.toBeNull()
        }
        if (!failed) {
          expect(call).toBeGreaterThan(3)
          return
        }
      }
    }
    throw new Error('it never came to an end')
  })
})

describe('a revocation', () => {
  beforeEach(async () => {
    await accept(await sent())
  })

  it('by the owner destroys the keys, and the grant is not accepted again', async () => {
    const jws = await revokeGrant(alice, grant.grantId, false, T0)
    const old = await forged(() => ({}))
    expect([...(await revokeAtBroker(broker.store, jws)).datasets].sort()).toEqual([...digests()].sort())
    expect(await isEmpty()).toBe(true)
    expect(await broker.reopen().isRevoked(grant.grantId)).toBe(true)
    expect(await outcomeOf(() => accept(old))).toBe('GRANT_DENIED')
    expect(await outcomeOf(() => revokeAtBroker(broker.store, jws))).toBe('accepted')
    expect(await outcomeOf(() => sent([], { ...grant, revoked: true }))).toBe('GRANT_DENIED')
  })

  it('leaves the data that another grant needs', async () => {
    const second = await keepGrant(alice, broker.file.thumbprint, digests().slice(0, 1))
    await accept(await sent([], second))
    const { datasets } = await revokeAtBroker(broker.store, await revokeGrant(alice, grant.grantId, false, T0))
    expect(datasets).toEqual(digests().slice(1))
    expect(await broker.store.datasets()).toEqual(digests().slice(0, 1))
  })

  it('by another owner, or of a grant that was never here, is refused', async () => {
    expect(await outcomeOf(async () => revokeAtBroker(broker.store, await revokeGrant(mallory, grant.grantId, false, T0)))).toBe(
      'GRANT_DENIED',
    )
    const unknown = await keepGrant(alice, broker.file.thumbprint, digests())
    expect(await outcomeOf(async () => revokeAtBroker(broker.store, await revokeGrant(alice, unknown.grantId, false, T0)))).toBe(
      'NOT_FOUND',
    )
    expect(await isEmpty()).toBe(false)
  })

  it.each(['before', 'after'] as const)(
    'that the disk cuts short (%s) is never half in force: no use key without the word',
    async (when) => {
      const jws = await revokeGrant(alice, grant.grantId, false, T0)
      for (let call = 1; call < 20; call++) {
        broker.disk.arm(call, when)
        const failed = await revokeAtBroker(broker.store, jws).then(
          () => false,
          () => true,
        )
        broker.disk.disarm()
        const there = broker.reopen()
        const isHeld = (await there.useKey(grant.grantId)) !== null
        if (!isHeld) expect(await there.isRevoked(grant.grantId)).toBe(true)
        if (!failed) {
          expect([isHeld, await isEmpty()]).toEqual([false, true])
          return
        }
      }
      throw new Error('it never came to an end')
    },
  )
})

describe('a withdrawal', () => {
  beforeEach(async () => {
    await accept(await sent())
  })

  it('destroys keys without the owner; they may be entrusted again, and slots do not go back', async () => {
    await broker.store.spendSlots(grant.grantId, 3)
    await withdrawGrant(broker.store, grant.grantId)
    expect(await isEmpty()).toBe(true)
    expect(await outcomeOf(() => withdrawGrant(broker.store, grant.grantId))).toBe('NOT_FOUND')
    await accept(await sent())
    expect((await broker.store.ledger(grant.grantId))?.nextSlot).toBe(3)
  })

  it('of a dataset leaves the rest', async () => {
    const [first = '', second = ''] = digests()
    await withdrawDataset(broker.store, first)
    expect(await broker.store.datasets()).toEqual([second])
    expect(await outcomeOf(() => withdrawDataset(broker.store, first))).toBe('NOT_FOUND')
  })
})
