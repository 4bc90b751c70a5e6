import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { Client } from '../../../../src/client/client.ts'
import { refuseErased } from '../../../../src/client/dataset/erase-dataset.ts'
import { eraseAtGateway, eraseHere, loadOwner, type Owner, openDataset, sealDataset } from '../../../../src/client/index.ts'
import { random } from '../../../../src/client/owner.ts'
import { ownerKeys } from '../../../../src/client/releaser-keys.ts'
import { createDatasetHeader } from '../../../../src/seal/index.ts'
import { toBase64Url, toHex } from '../../../../src/verify/bytes/bytes.ts'
import { ERASURE_TYP, parseErasureOrder } from '../../../../src/verify/documents/erasure.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { verifyFlattenedJws } from '../../../../src/verify/formats/jws.ts'
import { buildEvent } from '../../../support/event-builder.ts'
import { ownerThumbprint, policyBytes, owner as sampleOwner, T0 } from '../../../support/job-documents.ts'
import { testKey } from '../../../support/keys.ts'
import { sampleTrust } from '../../../support/receipt-builder.ts'
import { freshOwner, LEGAL, temporaryFolder } from '../support.ts'

const folder = temporaryFolder()
const root = toBase64Url(new Uint8Array(32))
let owner: Owner
let dek: Uint8Array
let dataset: string
let header: Uint8Array

beforeEach(async () => {
  owner = { ...(await freshOwner(folder)), grantKey: sampleOwner.jwk, grantThumbprint: ownerThumbprint }
  const made = await createDatasetHeader({ content: 'file', plaintextSize: 10, owner: ownerThumbprint, legal: LEGAL, random })
  dek = made.dek.expose().slice()
  dataset = made.digest
  header = made.bytes
  await owner.keyring.putDataset({ digest: dataset, name: 'data.csv', header, root }, made.dek)
})

const keyPath = (): string => join(owner.path, 'keyring', `dataset-${dataset}.json`)
const request = (changes: object = {}) => ({ owner, dataset, stopJobs: false, reason: null, policy: policyBytes, now: T0, ...changes })
const orderOf = async (jws: Uint8Array) => parseErasureOrder((await verifyFlattenedJws(jws, ERASURE_TYP, 'order')).payload)

/** A gateway that erases what it is told to, and answers with this receipt. */
function gatewayThatAnswers(receipt: Uint8Array, waiting: readonly number[] = []): Client & { readonly asked: Uint8Array[] } {
  const asked: Uint8Array[] = []
  const left = [...waiting]
  return {
    asked,
    eraseDataset: (jws: Uint8Array) => {
      expect(existsSync(keyPath())).toBe(false)
      asked.push(jws)
      const jobs = left.shift() ?? 0
      return Promise.resolve({ logIndex: jobs === 0 ? 3 : null, waitingJobs: jobs })
    },
    eventReceipt: () => Promise.resolve(receipt),
  } as unknown as Client & { readonly asked: Uint8Array[] }
}

describe('the erasure of a dataset in its owner’s folder', () => {
  it('leaves no spelling of the key, wrapped or not, in any file', async () => {
    const { wrapped } = JSON.parse(readFileSync(keyPath(), 'utf8')) as { wrapped: { ciphertext: string; enc: string } }
    const needles = [wrapped.ciphertext, wrapped.enc, toHex(dek), toBase64Url(dek), Buffer.from(dek).toString('base64')].map((text) =>
      Buffer.from(text),
    )
    const found = (): number =>
      readdirSync(owner.path, { recursive: true, withFileTypes: true }).filter(
        (e) => e.isFile() && [...needles, Buffer.from(dek)].some((needle) => readFileSync(join(e.parentPath, e.name)).includes(needle)),
      ).length
    expect(found()).toBe(1)
    await eraseHere(request())
    expect(found()).toBe(0)
  })

  it('overwrites the file before it removes it', async () => {
    const before = readFileSync(keyPath())
    const copy = `${keyPath()}.link`
    const { linkSync } = await import('node:fs')
    linkSync(keyPath(), copy)
    await eraseHere(request())
    expect(readFileSync(copy)).toEqual(Buffer.alloc(before.length))
  })

  it('is remembered: no key, no intent, no list entry, whatever becomes of the file that says so', async () => {
    await eraseHere(request())
    const refused = { code: 'DATASET_ERASED' }
    writeFileSync(join(owner.path, 'keyring', `erased-${dataset}.json`), '')
    await expect(owner.keyring.dataset(dataset)).rejects.toMatchObject(refused)
    await expect(owner.keyring.datasetKey(dataset)).rejects.toMatchObject(refused)
    await expect(refuseErased(ownerKeys(owner), [dataset])).rejects.toMatchObject(refused)
    expect(await owner.keyring.datasets()).toEqual([])
    expect(await owner.keyring.erasures()).toEqual([dataset])
  })

  it('is refused for a dataset that was never here', async () => {
    await expect(eraseHere(request({ dataset: toBase64Url(random(32)) }))).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('is asked for again with the same order, unless more is asked for', async () => {
    const first = await eraseHere(request({ reason: 'Art. 17' }))
    expect((await eraseHere(request({ now: T0 + 60 }))).jws).toEqual(first.jws)
    const stronger = await eraseHere(request({ stopJobs: true }))
    expect(await orderOf(stronger.jws)).toMatchObject({ dataset, stopJobs: true })
    expect((await eraseHere(request())).jws).toEqual(stronger.jws)
    expect(await orderOf((await eraseHere(request({ policy: null }))).jws)).toMatchObject({ policy: null })
  })
})

describe('a crash or a full disk', () => {
  const full = new AttestError('DISK_FULL', 'no space')

  it('before the order is kept costs nothing: the key is there and can be used', async () => {
    vi.spyOn(owner.keyring, 'putErasure').mockRejectedValueOnce(full)
    await expect(eraseHere(request())).rejects.toBe(full)
    expect((await owner.keyring.datasetKey(dataset)).expose()).toEqual(dek)
  })

  it('after it, and before the key is destroyed, leaves a key that nobody uses and an erasure that goes on', async () => {
    vi.spyOn(owner.keyring, 'destroyDataset').mockRejectedValueOnce(full)
    await expect(eraseHere(request())).rejects.toBe(full)
    expect(existsSync(keyPath())).toBe(true)
    const again = { ...(await loadOwner(owner.path)), grantKey: sampleOwner.jwk }
    await expect(again.keyring.datasetKey(dataset)).rejects.toMatchObject({ code: 'DATASET_ERASED' })
    const kept = await again.keyring.erasure(dataset)
    expect((await eraseHere(request({ owner: again, now: T0 + 60 }))).jws).toEqual(kept?.jws)
    expect(existsSync(keyPath())).toBe(false)
  })

  it('after the key is destroyed leaves what the gateway needs', async () => {
    const { jws } = await eraseHere(request())
    const client = gatewayThatAnswers((await buildEvent('erasure', { header })).bytes)
    const again = await loadOwner(owner.path)
    const kept = await again.keyring.erasure(dataset)
    if (kept === null) throw new Error('the order is gone')
    await eraseAtGateway(client, again, sampleTrust, kept)
    expect(client.asked).toEqual([jws])
  })
})

describe('the erasure at the gateway', () => {
  it('waits for jobs, and keeps the receipt that it verified', async () => {
    const { bytes } = await buildEvent('erasure', { header })
    const waited: number[] = []
    const client = gatewayThatAnswers(bytes, [2, 1])
    const erased = await eraseAtGateway(client, owner, sampleTrust, await eraseHere(request()), { onWaiting: (n) => waited.push(n) })
    expect(waited).toEqual([2, 1])
    expect(erased).toMatchObject({ dataset, logIndex: 3, summary: { type: 'erasure', dataset } })
    expect(new Uint8Array(readFileSync(erased.path))).toEqual(bytes)
  })

  it.each([
    ['another gateway signed', { signers: [testKey('mallory')] }, 'SIGNER_UNKNOWN'],
    ['was not logged as an erasure', { leaf: { type: 'lost' as const } }, 'RECEIPT_INCONSISTENT'],
    ['another owner ordered', { owner: testKey('mallory') }, 'RECEIPT_INCONSISTENT'],
  ])('is not done with a receipt that %s', async (_, plan, code) => {
    const erasure = await eraseHere(request())
    const client = gatewayThatAnswers((await buildEvent('erasure', { header, ...plan })).bytes)
    await expect(eraseAtGateway(client, owner, sampleTrust, erasure)).rejects.toMatchObject({ code })
    expect(existsSync(join(owner.path, 'receipts'))).toBe(false)
  })

  it('is not done with the receipt of something else', async () => {
    const erasure = await eraseHere(request())
    const other = { ...erasure, digest: toBase64Url(random(32)) }
    const refused = { code: 'RECEIPT_INCONSISTENT' }
    await expect(
      eraseAtGateway(gatewayThatAnswers((await buildEvent('erasure', { header })).bytes), owner, sampleTrust, other),
    ).rejects.toMatchObject(refused)
    await expect(
      eraseAtGateway(gatewayThatAnswers((await buildEvent('revocation', { header })).bytes), owner, sampleTrust, erasure),
    ).rejects.toMatchObject(refused)
  })
})

it('a gateway that claims the erasure and serves the ciphertext serves noise', async () => {
  const alice = await freshOwner(folder)
  const plaintext = join(folder, 'plain.csv')
  writeFileSync(plaintext, 'a,b\n1,2\n')
  const served = join(folder, 'served.sealed')
  const sealed = await sealDataset({ owner: alice, input: plaintext, output: served, legal: LEGAL })
  await eraseHere({ owner: alice, dataset: sealed.dataset, stopJobs: false, reason: null, policy: null, now: T0 })
  const open = (): Promise<unknown> => openDataset({ owner: alice, input: served, output: join(folder, 'again.csv') })
  await expect(open()).rejects.toMatchObject({ code: 'DATASET_ERASED' })
  rmSync(join(alice.path, 'keyring', `erased-${sealed.dataset}.json`))
  await expect(open()).rejects.toMatchObject({ code: 'NOT_FOUND' })
  expect(existsSync(join(folder, 'again.csv'))).toBe(false)
})
