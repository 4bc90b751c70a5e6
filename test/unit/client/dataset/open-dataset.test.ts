import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Owner, openDataset, sealDataset } from '../../../../src/client/index.ts'
import { createDatasetHeader, encodeFileHead, rootOf, type Secret, sealStream } from '../../../../src/seal/index.ts'
import { concat, toBase64Url, u32be, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { testBytes } from '../../../support/keys.ts'
import { freshOwner, LEGAL, temporaryFolder } from '../support.ts'

const folder = temporaryFolder()
const path = (...names: string[]): string => join(folder, ...names)
const withCode = (code: string): object => expect.objectContaining({ code })
const MiB = 1024 * 1024
let owner: Owner
/** Bytes that do not repeat in step with segments, made at once. */
const largeBytes = (size: number): Buffer => Buffer.alloc(size, testBytes('pattern', 9973))

beforeAll(async () => {
  owner = await freshOwner(folder)
})

let sealings = 0
async function sealed(input: string): Promise<string> {
  const output = path(`sealed-${++sealings}`)
  await sealDataset({ owner, input, output, legal: LEGAL })
  return output
}

async function open(input: string, output: string): Promise<unknown> {
  return openDataset({ owner, input, output }).then(
    () => 'opened',
    (error: unknown) => (error as { code?: string }).code ?? error,
  )
}

/** What lies in a folder: paths, contents, and what is executable. */
function treeOf(root: string): Record<string, string | null> {
  const found: Record<string, string | null> = {}
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const at = join(entry.parentPath, entry.name)
    const runs = entry.isFile() && (statSync(at).mode & 0o100) !== 0 ? ' *' : ''
    found[at.slice(root.length + 1) + runs] = entry.isFile() ? readFileSync(at).toString('base64') : null
  }
  return found
}

function sampleFolder(): string {
  const root = mkdtempSync(path('tree-'))
  mkdirSync(join(root, 'scans/empty'), { recursive: true })
  writeFileSync(join(root, 'scans/ä b.bin'), largeBytes(3 * MiB))
  writeFileSync(join(root, 'scans.txt'), 'sorts before scans/ by bytes')
  writeFileSync(join(root, 'zero'), '')
  writeFileSync(join(root, 'run.sh'), '#!/bin/sh\n')
  chmodSync(join(root, 'run.sh'), 0o755)
  return root
}

describe('open a dataset', () => {
  // Below and above the size at which two threads share the work.
  it.each([1, MiB, 3 * MiB + 17, 16 * MiB, 40 * MiB + 5])('gives back a file of %i bytes', async (size) => {
    const data = largeBytes(size)
    writeFileSync(path('in'), data)
    const input = await sealed(path('in'))
    expect(await openDataset({ owner, input, output: path(`out-${size}`) })).toMatchObject({
      content: 'file',
      files: 1,
      plaintextSize: size,
    })
    expect(readFileSync(path(`out-${size}`)).equals(data)).toBe(true)
    expect(statSync(path(`out-${size}`)).mode & 0o777).toBe(0o600)
  })

  it('gives back a folder: files, empty files and folders, what is executable', async () => {
    const root = sampleFolder()
    const input = await sealed(root)
    expect(await openDataset({ owner, input, output: path('tree-out') })).toMatchObject({ content: 'archive', files: 4 })
    expect(treeOf(path('tree-out'))).toEqual(treeOf(root))
  })

  it('seals a folder to the same plaintext every time, and tells nothing of it', async () => {
    const root = sampleFolder()
    const [first, second] = [readFileSync(await sealed(root)), readFileSync(await sealed(root))]
    expect(first.length).toBe(second.length)
    expect(first.equals(second)).toBe(false)
    for (const canary of ['scans', 'run.sh', '#!/bin/sh']) expect(first.includes(canary)).toBe(false)
  })

  it('overwrites nothing', async () => {
    const input = await sealed(sampleFolder())
    writeFileSync(path('there'), 'mine')
    mkdirSync(path('there-too'))
    expect(await open(input, path('there'))).toBe('ALREADY_EXISTS')
    expect(await open(input, path('there-too'))).toBe('ALREADY_EXISTS')
    expect(readFileSync(path('there'), 'utf8')).toBe('mine')
  })

  it('is for the owner alone', async () => {
    const stranger = await freshOwner(folder)
    const input = await sealed(sampleFolder())
    await expect(openDataset({ owner: stranger, input, output: path('stolen') })).rejects.toEqual(withCode('NOT_FOUND'))
  })

  it('leaves nothing behind when it is cancelled', async () => {
    for (const input of [await sealed(sampleFolder()), await sealedLarge()]) {
      const abort = new AbortController()
      const into = mkdtempSync(path('cancelled-'))
      const request = { owner, input, output: join(into, 'out'), signal: abort.signal, onProgress: () => abort.abort() }
      await expect(openDataset(request)).rejects.toEqual(withCode('CANCELLED'))
      expect(readdirSync(into)).toEqual([])
    }
  })
})

async function sealedLarge(): Promise<string> {
  writeFileSync(path('large'), largeBytes(40 * MiB))
  return sealed(path('large'))
}

describe('a sealed file that was changed', () => {
  it.each([
    ['in the first segment', 2 * 1024, 'SEGMENT_INVALID'],
    ['in a later segment', 2.5 * MiB, 'SEGMENT_INVALID'],
    ['in its last byte', -1, 'SEGMENT_INVALID'],
    ['in its header', 40, 'HEADER_INVALID NOT_FOUND'],
  ] as const)('%s leaves no plaintext on disk', async (_, at, codes) => {
    for (const input of [await sealed(sampleFolder()), await sealedLarge()]) {
      const bytes = readFileSync(input)
      const place = at < 0 ? bytes.length + at : at
      bytes[place] = (bytes[place] ?? 0) ^ 1
      writeFileSync(input, bytes)
      const into = mkdtempSync(path('changed-'))
      expect(codes).toContain(await open(input, join(into, 'out')))
      expect(readdirSync(into)).toEqual([])
    }
  })

  it('is refused when segments are moved, repeated, or taken from another sealing of the same file', async () => {
    const [input, other] = [await sealedLarge(), await sealedLarge()]
    const [bytes, foreign] = [readFileSync(input), readFileSync(other)]
    const head = 4 + bytes.readUInt32BE(0)
    const segment = (of: Buffer, i: number): Buffer => of.subarray(head + i * MiB, head + (i + 1) * MiB)
    const put = async (changes: readonly [number, Buffer][]): Promise<unknown> => {
      const changed = Buffer.from(bytes)
      for (const [i, piece] of changes) piece.copy(changed, head + i * MiB)
      writeFileSync(input, changed)
      const into = mkdtempSync(path('moved-'))
      const outcome = await open(input, join(into, 'out'))
      expect(readdirSync(into)).toEqual(outcome === 'opened' ? ['out'] : [])
      return outcome
    }
    expect(await put([])).toBe('opened')
    expect(
      await put([
        [3, segment(bytes, 30)],
        [30, segment(bytes, 3)],
      ]),
    ).toBe('SEGMENT_INVALID')
    expect(await put([[5, segment(bytes, 4)]])).toBe('SEGMENT_INVALID')
    expect(await put([[25, segment(foreign, 25)]])).toBe('SEGMENT_INVALID')
    expect(await put([[0, segment(foreign, 0)]])).toBe('SEGMENT_INVALID')
  })

  it('is refused when it is cut off, or goes on', async () => {
    const input = await sealedLarge()
    writeFileSync(input, Buffer.concat([readFileSync(input), Buffer.of(0)]))
    expect(await open(input, path('longer'))).toBe('STREAM_TRUNCATED')
    truncateSync(input, 17 * MiB)
    expect(await open(input, path('shorter'))).toBe('STREAM_TRUNCATED')
    expect([existsSync(path('longer')), existsSync(path('shorter'))]).toEqual([false, false])
  })

  it('is refused by its root when whoever has the key sealed other bytes under it', async () => {
    const input = await sealed(sampleFolder())
    const [again] = await forge(utf8('other'), async (header, dek) => {
      const other = await encrypt(header, dek, utf8('OTHER'))
      return other
    })
    expect(await open(again, path('resealed'))).toBe('ROOT_MISMATCH')
    expect(await open(input, path('untouched'))).toBe('opened')
  })
})

async function encrypt(header: Uint8Array, dek: Secret, plaintext: Uint8Array): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of sealStream([plaintext], { header, dek, random: (n) => testBytes(`stream ${n}`, n) })) parts.push(part)
  return concat(...parts)
}

/** A file whose key is in the keyring, with a plaintext of anybody's choice: `swap` may put another stream into it. */
async function forge(
  plaintext: Uint8Array,
  swap: (header: Uint8Array, dek: Secret) => Promise<Uint8Array> = (header, dek) => encrypt(header, dek, plaintext),
): Promise<[file: string]> {
  const random = (n: number): Uint8Array => testBytes(`forged ${sealings++} ${n}`, n)
  const content = plaintext.length === 5 ? 'file' : 'archive'
  const made = await createDatasetHeader({ content, plaintextSize: plaintext.length, owner: owner.grantThumbprint, legal: LEGAL, random })
  const root = toBase64Url((await rootOf([await encrypt(made.bytes, made.dek, plaintext)])).root)
  await owner.keyring.putDataset({ digest: made.digest, name: 'forged', header: made.bytes, root }, made.dek)
  const file = path(`forged-${sealings}`)
  writeFileSync(file, concat(encodeFileHead(made.bytes), await swap(made.bytes, made.dek)))
  return [file]
}

describe('an archive made by someone with the key', () => {
  const entry = (kind: string, name: string): Uint8Array => {
    const bytes = utf8(name)
    const digest = Buffer.from('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 'hex')
    return concat(utf8(kind), Uint8Array.of(0, bytes.length), bytes, ...(kind === 'd' ? [] : [new Uint8Array(8), new Uint8Array(digest)]))
  }
  const archive = (...entries: Uint8Array[]): Uint8Array => {
    const body = concat(...entries)
    return concat(utf8('sealgate/archive/v1\n'), u32be(entries.length), u32be(body.length), body)
  }
  it.each([
    ['climbs out', archive(entry('f', '../escaped'))],
    ['climbs out of a folder', archive(entry('d', 'a'), entry('f', 'a/../../escaped'))],
    ['is absolute', archive(entry('f', '/tmp/sealgate-escaped'))],
    ['writes a file twice', archive(entry('f', 'a'), entry('f', 'a'))],
    ['goes on after its last file', concat(archive(entry('f', 'a')), utf8('more'))],
    ['is no archive', utf8('PK\u0003\u0004 a zip file')],
  ])('leaves nothing anywhere when it %s', async (_, bytes) => {
    const [input] = await forge(bytes)
    const into = mkdtempSync(path('attacked-'))
    expect(await open(input, join(into, 'deep'))).toBe('ARCHIVE_INVALID')
    expect(readdirSync(into)).toEqual([])
    expect(existsSync('/tmp/sealgate-escaped')).toBe(false)
  })
})

describe('a folder is not sealed', () => {
  const attempt = (root: string): Promise<unknown> =>
    sealDataset({ owner, input: root, output: path(`refused-${++sealings}`), legal: LEGAL })

  it('with a link in it, which is named and not followed', async () => {
    const root = sampleFolder()
    symlinkSync('/etc/passwd', join(root, 'scans/link'))
    await expect(attempt(root)).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
      message: expect.stringContaining('scans/link is a symbolic link'),
    })
  })

  it('with a socket in it', async () => {
    const root = sampleFolder()
    const server = createServer().listen(join(root, 'socket'))
    await new Promise((resolve) => server.once('listening', resolve))
    await expect(attempt(root)).rejects.toMatchObject({ code: 'FILE_UNREADABLE', message: expect.stringContaining('is a socket') })
    server.close()
  })

  it.each([
    ['is not UTF-8', Buffer.from([0x61, 0xff])],
    ['is not in normalisation form C', Buffer.from('e\u0301')],
    ['has a control character', Buffer.from('a\nb')],
    ['has a backslash', Buffer.from('a\\b')],
  ])('when a name %s', async (_, name) => {
    const root = sampleFolder()
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), name]), 'x')
    await expect(attempt(root)).rejects.toEqual(withCode('ARCHIVE_INVALID'))
  })

  it('with names that differ in case alone', async () => {
    const root = sampleFolder()
    for (const name of ['README', 'readme']) writeFileSync(join(root, name), 'x')
    await expect(attempt(root)).rejects.toEqual(withCode('ARCHIVE_INVALID'))
  })

  it('without a file', async () => {
    const root = mkdtempSync(path('bare-'))
    mkdirSync(join(root, 'only/folders'), { recursive: true })
    await expect(attempt(root)).rejects.toEqual(withCode('FILE_UNREADABLE'))
  })

  it('when a file changes between the passes', async () => {
    const root = sampleFolder()
    const into = mkdtempSync(path('changing-'))
    const onProgress = (): void => writeFileSync(join(root, 'zero'), 'not any more')
    const sealing = sealDataset({ owner, input: root, output: join(into, 'out'), legal: LEGAL, onProgress })
    await expect(sealing).rejects.toMatchObject({ code: 'FILE_UNREADABLE', message: expect.stringContaining('zero changed') })
    expect(readdirSync(into)).toEqual([])
  })
})

it('a file that grows while it is sealed is refused', async () => {
  writeFileSync(path('growing'), largeBytes(40 * MiB))
  const onProgress = (): void => writeFileSync(path('growing'), 'x', { flag: 'a' })
  const sealing = sealDataset({ owner, input: path('growing'), output: path('grown'), legal: LEGAL, onProgress })
  await expect(sealing).rejects.toEqual(withCode('FILE_UNREADABLE'))
  expect(existsSync(path('grown'))).toBe(false)
})
