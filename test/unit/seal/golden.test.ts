import { createHash, hkdfSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  createDatasetHeader,
  encodeFileHead,
  openArchive,
  openResultKey,
  openStream,
  parseKemKey,
  type ReleaseContext,
  readContents,
  readSealedFile,
  rootOf,
  Secret,
  sealStream,
  unwrapFromKeyring,
  unwrapRelease,
  type Wrapped,
} from '../../../src/seal/index.ts'
import { concat, fromBase64Url, fromHex, toBase64Url, toHex, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { type DatasetHeader, parseHeader } from '../../../src/verify/documents/header.ts'
import type { HpkeSuiteName } from '../../../src/verify/documents/keys.ts'
import { archiveOf } from '../../support/archive.ts'
import { collect } from './support.ts'

interface WrappedJson {
  readonly suite: HpkeSuiteName
  readonly enc: string
  readonly ciphertext: string
}
interface Golden {
  readonly datasets: readonly {
    readonly id: string
    readonly plaintextSize: number
    readonly dek: string
    readonly header: string
    readonly blobId: string
    readonly root: string
    readonly fileSize: number
    readonly fileSha256: string
    readonly file?: string
  }[]
  readonly archive: {
    readonly files: readonly { readonly path: string; readonly text: string | null }[]
    readonly archive: string
    readonly blobId: string
    readonly fileSha256: string
    readonly file: string
  }
  readonly result: { readonly file: string; readonly keys: readonly string[]; readonly dek: string; readonly plaintext: string }
  readonly releases: readonly {
    readonly key: string
    readonly context: ReleaseContext
    readonly wrapped: WrappedJson
    readonly dek: string
    readonly useKeys: { readonly [grant: string]: string }
  }[]
  readonly keyring: { readonly key: string; readonly header: string; readonly wrapped: WrappedJson; readonly dek: string }
}

const golden = JSON.parse(readFileSync('test/vectors/dataset/golden.json', 'utf8')) as Golden
const page = readFileSync('docs/formats/dataset.md', 'utf8')
const suites = readFileSync('docs/formats/suites.md', 'utf8')
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()
const unwire = ({ suite, enc, ciphertext }: WrappedJson): Wrapped => ({
  suite,
  enc: fromBase64Url(enc),
  ciphertext: fromBase64Url(ciphertext),
})

function counting(): (size: number) => Uint8Array {
  let next = 0
  return (size) => Uint8Array.from({ length: size }, () => next++ & 0xff)
}

describe.each(golden.datasets)('golden dataset $id', (want) => {
  const plaintext = Uint8Array.from({ length: want.plaintextSize }, (_, i) => i % 251)

  it('is sealed as recorded', async () => {
    const random = counting()
    const { owner, legal } = parseHeader(utf8(want.header)) as DatasetHeader
    const { bytes, digest, dek } = await createDatasetHeader({ content: 'file', plaintextSize: want.plaintextSize, owner, legal, random })
    const stream = await collect(sealStream([plaintext], { header: bytes, dek, random }))
    const file = concat(encodeFileHead(bytes), stream)
    expect([new TextDecoder().decode(bytes), digest, toHex(dek.expose())]).toEqual([want.header, want.blobId, want.dek])
    expect([file.length, toHex(sha256(file))]).toEqual([want.fileSize, want.fileSha256])
    if (want.file !== undefined) expect(toHex(file)).toBe(want.file)
    expect(toBase64Url((await rootOf([stream])).root)).toBe(want.root)
    expect(Buffer.compare(await collect(openStream([stream], { header: bytes, dek })), plaintext)).toBe(0)
  })

  it('stands in the documentation', () => {
    for (const value of [want.blobId, want.root, want.fileSha256]) expect(page).toContain(value)
  })
})

describe('the golden archive', () => {
  const { files, archive, blobId, fileSha256, file } = golden.archive

  it('is packed as recorded, and stands in the documentation', async () => {
    const packed = await archiveOf(Object.fromEntries(files.map(({ path, text }) => [path, text])))
    expect(toHex(packed)).toBe(archive)
    expect(page.replace(/[ \n]/g, '')).toContain(archive)
    for (const value of [blobId, fileSha256]) expect(page).toContain(value)
  })

  it('comes out of its dataset', async () => {
    const random = counting()
    const { header, headerBytes, stream } = await readSealedFile([fromHex(file)])
    expect(header).toMatchObject({ kind: 'dataset', content: 'archive' })
    expect(sha256(headerBytes).toString('base64url')).toBe(blobId)
    expect(toHex(sha256(fromHex(file)))).toBe(fileSha256)
    random(48)
    const opened = openStream(stream, { header: headerBytes, dek: new Secret(random(32)) })
    const found: [string, string | null][] = []
    for await (const item of readContents(await openArchive(opened, header.plaintextSize), () => createHash('sha256'))) {
      found.push([item.entry.path, 'content' in item ? new TextDecoder().decode(await collect(item.content)) : null])
    }
    expect(found).toEqual(files.map(({ path, text }) => [path, text]))
  })
})

describe('golden wrapped keys', () => {
  it('open a result for each of its recipients', async () => {
    for (const key of golden.result.keys) {
      const { header, headerBytes, stream } = await readSealedFile([fromHex(golden.result.file)])
      if (header.kind !== 'result') throw new Error('not a result')
      const dek = await openResultKey(header, parseKemKey(utf8(key)))
      expect(toHex(dek.expose())).toBe(golden.result.dek)
      expect(new TextDecoder().decode(await collect(openStream(stream, { header: headerBytes, dek })))).toBe(golden.result.plaintext)
    }
  })

  it.each(golden.releases)('open a release ($wrapped.suite)', async ({ key, context, wrapped, dek, useKeys }) => {
    const keys = await unwrapRelease(parseKemKey(utf8(key)), context, unwire(wrapped))
    expect(toHex(keys.dek.expose())).toBe(dek)
    expect(Object.fromEntries([...keys.useKeys].map(([grant, k]) => [grant, toHex(k.expose())]))).toEqual(useKeys)
  })

  it("open the owner's own copy", async () => {
    const { key, header, wrapped, dek } = golden.keyring
    expect(toHex((await unwrapFromKeyring(parseKemKey(utf8(key)), utf8(header), unwire(wrapped))).expose())).toBe(dek)
  })
})

describe('the documentation', () => {
  it('derives the values it shows for the small dataset', () => {
    const small = golden.datasets.find((d) => d.id === 'small')
    if (small === undefined) throw new Error('no small dataset')
    const header = parseHeader(utf8(small.header))
    const [dek, digest] = [fromHex(small.dek), sha256(utf8(small.header))]
    const stream = fromHex(small.file ?? '').subarray(4 + utf8(small.header).length)
    const segmentKey = Buffer.from(hkdfSync('sha256', dek, stream.subarray(1, 33), digest, 32))
    const commitment = Buffer.from(hkdfSync('sha256', dek, fromBase64Url(header.salt), 'sealgate/commit/v1', 32))
    expect(commitment.toString('base64url')).toBe(header.keyCommitment)
    for (const value of [
      small.header,
      small.file?.slice(0, 8),
      digest.toString('hex'),
      commitment.toString('hex'),
      segmentKey.toString('hex'),
      toHex(stream),
    ]) {
      expect(page).toContain(value)
    }
  })

  it('shows the associated data that the wrapped keys are bound to', () => {
    const [release] = golden.releases
    const h = (text: string): string => sha256(utf8(text)).toString('hex')
    const { intent, leafHash, dataset } = release?.context ?? ({} as ReleaseContext)
    const { binding, grants, job, mode, policies, slots } = intent
    const aad = JSON.stringify({ binding, dataset, grants, job, leafHash, mode, policies, slots })
    expect(suites).toContain(aad)
    expect(suites).toContain(h(aad))
    for (const key of golden.result.keys) {
      const { suite, publicKey } = parseKemKey(utf8(key)).publicKey
      const recipient = sha256(utf8(JSON.stringify({ publicKey, suite }))).toString('base64url')
      const resultAad = JSON.stringify({ job, recipient })
      expect(suites).toContain(resultAad)
      expect(suites).toContain(h(resultAad))
    }
    expect(suites).toContain(sha256(utf8(golden.keyring.header)).toString('hex'))
  })
})
