import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Owner } from '../../../src/client/index.ts'
import { random } from '../../../src/client/owner.ts'
import { createDatasetHeader, type KeyedHeader, Secret } from '../../../src/seal/index.ts'
import { toBase64Url, toHex } from '../../../src/verify/bytes/bytes.ts'
import type { DatasetHeader } from '../../../src/verify/documents/header.ts'
import { freshOwner, LEGAL, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const withCode = (code: string): object => expect.objectContaining({ code })
const root = toBase64Url(new Uint8Array(32))
let owner: Owner

async function keep(): Promise<KeyedHeader<DatasetHeader>> {
  const made = await createDatasetHeader({ content: 'file', plaintextSize: 10, owner: owner.grantThumbprint, legal: LEGAL, random })
  await owner.keyring.putDataset({ digest: made.digest, name: 'a.csv', header: made.bytes, root }, made.dek)
  return made
}

beforeAll(async () => {
  owner = await freshOwner(folder)
})

describe('keyring', () => {
  it('gives back what was put in', async () => {
    const { bytes, digest, dek } = await keep()
    expect(await owner.keyring.dataset(digest)).toEqual({ digest, name: 'a.csv', header: bytes, root })
    expect((await owner.keyring.datasetKey(digest)).expose()).toEqual(dek.expose())
    expect((await owner.keyring.datasets()).map((d) => d.digest)).toContain(digest)
  })

  it('holds no key in clear, in no spelling', async () => {
    const { dek } = await keep()
    const useKey = new Secret(random(32))
    await owner.keyring.putGrant(toBase64Url(random(32)), useKey, 1)
    const texts = readdirSync(join(owner.path, 'keyring')).map((name) => readFileSync(join(owner.path, 'keyring', name), 'utf8'))
    for (const key of [dek.expose(), useKey.expose()]) {
      for (const spelling of [toHex(key), toBase64Url(key), Buffer.from(key).toString('base64')]) {
        expect(texts.some((t) => t.includes(spelling))).toBe(false)
      }
    }
  })

  it('opens for its owner only', async () => {
    const { digest } = await keep()
    const other = await freshOwner(folder)
    const text = readFileSync(join(owner.path, 'keyring', `dataset-${digest}.json`))
    await other.keyring.putGrant(toBase64Url(random(32)), new Secret(random(32)), 3)
    writeFileSync(join(other.path, 'keyring', `dataset-${digest}.json`), text)
    await expect(other.keyring.datasetKey(digest)).rejects.toEqual(withCode('UNWRAP_FAILED'))
  })

  it('rejects the key of one grant under the name of another', async () => {
    const [a, b] = [toBase64Url(random(32)), toBase64Url(random(32))]
    await owner.keyring.putGrant(a, new Secret(random(32)), 3)
    renameSync(join(owner.path, 'keyring', `grant-${a}.json`), join(owner.path, 'keyring', `grant-${b}.json`))
    await expect(owner.keyring.grant(b)).rejects.toEqual(withCode('UNWRAP_FAILED'))
  })

  it('counts slots upwards only', async () => {
    const grant = toBase64Url(random(32))
    await owner.keyring.putGrant(grant, new Secret(random(32)), 3)
    await owner.keyring.spendSlots(grant, 3)
    await owner.keyring.spendSlots(grant, 1)
    expect((await owner.keyring.grant(grant)).nextSlot).toBe(3)
  })

  it('remembers for ever that a grant was revoked, whatever becomes of the content of the file', async () => {
    const grant = toBase64Url(random(32))
    expect(await owner.keyring.isRevoked(grant)).toBe(false)
    await owner.keyring.putRevocation(grant, random(200))
    await owner.keyring.putRevocation(grant, random(200))
    expect(await owner.keyring.isRevoked(grant)).toBe(true)
    writeFileSync(join(owner.path, 'keyring', `revoked-${grant}.json`), '')
    expect(await owner.keyring.isRevoked(grant)).toBe(true)
    await owner.keyring.putRevocation(grant, random(200))
    expect(await owner.keyring.grants()).not.toContain(grant)
  })

  it.each(['', '../../etc/passwd', 'a'.repeat(44), `${'a'.repeat(42)}/`])('takes "%s" for no id', async (id) => {
    await expect(owner.keyring.dataset(id)).rejects.toEqual(withCode('USAGE'))
    await expect(owner.keyring.grant(id)).rejects.toEqual(withCode('USAGE'))
    await expect(owner.keyring.isRevoked(id)).rejects.toEqual(withCode('USAGE'))
  })

  it('says which key is missing', async () => {
    await expect(owner.keyring.datasetKey(toBase64Url(random(32)))).rejects.toEqual(withCode('NOT_FOUND'))
  })
})
