import { createReadStream, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { inspectSealed, type Owner, sealDataset } from '../../../../src/client/index.ts'
import { openStream, readSealedFile } from '../../../../src/seal/index.ts'
import { testBytes } from '../../../support/keys.ts'
import { freshOwner, LEGAL, temporaryFolder } from '../support.ts'

const folder = temporaryFolder()
const path = (name: string): string => join(folder, name)
const withCode = (code: string): object => expect.objectContaining({ code })
let owner: Owner

beforeAll(async () => {
  owner = await freshOwner(folder)
})

async function plaintextOf(sealed: string, dataset: string): Promise<Buffer> {
  const file = await readSealedFile(createReadStream(sealed))
  const dek = await owner.keyring.datasetKey(dataset)
  const parts: Uint8Array[] = []
  for await (const part of openStream(file.stream, { header: file.headerBytes, dek })) parts.push(part)
  return Buffer.concat(parts)
}

describe('seal a dataset', () => {
  it.each([1, 1000, 1024 * 1024, 3 * 1024 * 1024 + 17])('gives back %i bytes to the owner', async (size) => {
    const data = testBytes('data', size)
    writeFileSync(path('in'), data)
    const sealed = await sealDataset({ owner, input: path('in'), output: path(`sealed-${size}`), legal: LEGAL })
    expect((await plaintextOf(path(`sealed-${size}`), sealed.dataset)).equals(data)).toBe(true)
    expect(statSync(path(`sealed-${size}`)).size).toBe(sealed.sizeBytes)
    expect((await owner.keyring.dataset(sealed.dataset)).root).toBe(sealed.root)
    expect((await inspectSealed(path(`sealed-${size}`))).dataset).toBe(sealed.dataset)
  })

  it('shows nothing of the plaintext', async () => {
    writeFileSync(path('canary'), 'CANARY-7f3a'.repeat(100))
    await sealDataset({ owner, input: path('canary'), output: path('canary.sealed'), legal: LEGAL })
    expect(readFileSync(path('canary.sealed')).includes('CANARY')).toBe(false)
  })

  it('rejects an empty file, a device, a missing file and an output that exists', async () => {
    writeFileSync(path('empty'), '')
    const seal = (input: string, output: string): Promise<unknown> =>
      sealDataset({ owner, input: resolve(folder, input), output: path(output), legal: LEGAL })
    await expect(seal('empty', 'o1')).rejects.toEqual(withCode('FILE_UNREADABLE'))
    await expect(seal('/dev/null', 'o2')).rejects.toEqual(withCode('FILE_UNREADABLE'))
    await expect(seal('missing', 'o3')).rejects.toEqual(withCode('FILE_UNREADABLE'))
    await expect(seal('canary', 'canary.sealed')).rejects.toEqual(withCode('ALREADY_EXISTS'))
    expect(readdirSync(folder).filter((n) => n.startsWith('o1') || n.includes('.part'))).toEqual([])
  })

  it('says that a file is too large for the disk before it writes anything', async () => {
    writeFileSync(path('huge'), '')
    truncateSync(path('huge'), 15 * 1024 ** 4)
    await expect(sealDataset({ owner, input: path('huge'), output: path('huge.sealed'), legal: LEGAL })).rejects.toEqual(
      withCode('DISK_FULL'),
    )
  })

  it('leaves nothing behind when it is cancelled', async () => {
    mkdirSync(path('cancelled'))
    writeFileSync(path('large'), new Uint8Array(40 * 1024 * 1024))
    const abort = new AbortController()
    const kept = (await owner.keyring.datasets()).length
    const sealing = sealDataset({
      owner,
      input: path('large'),
      output: path('cancelled/out'),
      legal: LEGAL,
      signal: abort.signal,
      onProgress: () => abort.abort(),
    })
    await expect(sealing).rejects.toEqual(withCode('CANCELLED'))
    expect(readdirSync(path('cancelled'))).toEqual([])
    expect((await owner.keyring.datasets()).length).toBe(kept)
  })

  it('takes a part of a sealed file, and a file that is none, for what they are', async () => {
    truncateSync(path('canary.sealed'), 900)
    await expect(inspectSealed(path('canary.sealed'))).rejects.toEqual(withCode('STREAM_TRUNCATED'))
    await expect(inspectSealed(path('canary'))).rejects.toEqual(withCode('HEADER_INVALID'))
  })
})
