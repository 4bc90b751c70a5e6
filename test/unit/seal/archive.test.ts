import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  ARCHIVE_HEAD_SIZE,
  type ArchiveEntry,
  type ArchiveFile,
  archiveSize,
  encodeManifest,
  MAX_ARCHIVE_ENTRIES,
  openArchive,
  packArchive,
  parseManifestHead,
  readContents,
} from '../../../src/seal/index.ts'
import { concat, fromHex, toHex, u32be, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { AttestError, type ErrorCode } from '../../../src/verify/errors.ts'
import { testBytes } from '../../support/keys.ts'
import { chunked, collect, flipped } from './support.ts'

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest())
const createSha256 = () => createHash('sha256')

type Files = readonly (readonly [path: string, content: string | Uint8Array | null])[]

const bytesOf = (content: string | Uint8Array): Uint8Array => (typeof content === 'string' ? utf8(content) : content)

function entriesOf(files: Files): ArchiveEntry[] {
  return files.map(([path, content]) => {
    if (content === null) return { type: 'folder', path }
    const bytes = bytesOf(content)
    return { type: 'file', path, executable: path.endsWith('.sh'), size: bytes.length, sha256: sha256(bytes) }
  })
}

async function pack(files: Files): Promise<Uint8Array> {
  const contents = new Map(files.flatMap(([path, c]) => (c === null ? [] : [[path, bytesOf(c)] as const])))
  return collect(packArchive(entriesOf(files), { open: (f) => [contents.get(f.path) ?? new Uint8Array(0)], createHash: createSha256 }))
}

async function unpack(archive: Uint8Array, total: number = archive.length, chunk = 7): Promise<Map<string, string | null>> {
  const found = new Map<string, string | null>()
  for await (const item of readContents(await openArchive(chunked(archive, chunk), total), createSha256)) {
    found.set(item.entry.path, 'content' in item ? new TextDecoder().decode(await collect(item.content)) : null)
  }
  return found
}

async function outcome(archive: Uint8Array, total: number = archive.length): Promise<ErrorCode | 'accepted'> {
  try {
    await unpack(archive, total, 4096)
    return 'accepted'
  } catch (error) {
    if (error instanceof AttestError) return error.code
    throw error
  }
}

/** A manifest with whatever is asked for in it: nothing is checked. */
function forged(entries: readonly { kind?: string; path: string | Uint8Array; content?: string; size?: number }[], tail = ''): Uint8Array {
  const parts = entries.map(({ kind = 'f', path, content = '', size }) => {
    const [name, digest] = [bytesOf(path), sha256(utf8(content))]
    const length = Uint8Array.of(name.length >> 8, name.length & 0xff)
    const count = new Uint8Array(8)
    new DataView(count.buffer).setBigUint64(0, BigInt(size ?? utf8(content).length))
    return concat(utf8(kind), length, name, ...(kind === 'd' ? [] : [count, digest]))
  })
  const body = concat(...parts)
  const contents = entries.map(({ content = '' }) => utf8(content))
  return concat(utf8('sealgate/archive/v1\n'), u32be(entries.length), u32be(body.length), body, ...contents, utf8(tail))
}

const SAMPLE: Files = [
  ['a', null],
  ['a/empty', null],
  ['a/run.sh', '#!/bin/sh\n'],
  ['a/ä.txt', 'umlaut'],
  ['a-b', 'after the folder, though - sorts before /'],
  ['zero', ''],
]

describe('an archive', () => {
  it('gives back names, contents, folders and what is executable', async () => {
    const archive = await pack(SAMPLE)
    expect(archive.length).toBe(archiveSize(encodeManifest(entriesOf(SAMPLE)).length, entriesOf(SAMPLE)))
    const { entries, manifest } = await openArchive([archive], archive.length)
    expect(entries).toEqual(entriesOf(SAMPLE))
    expect(toHex(manifest)).toBe(toHex(encodeManifest(entries)))
    expect([...(await unpack(archive))]).toEqual(SAMPLE.map(([path, content]) => [path, content]))
    expect(entries.filter((e) => e.type === 'file' && e.executable).map((e) => e.path)).toEqual(['a/run.sh'])
  })

  it('is what the documentation says, byte for byte', async () => {
    const archive = await pack([
      ['docs', null],
      ['docs/hello.txt', 'hello\n'],
    ])
    expect(new TextDecoder().decode(archive.subarray(0, 20))).toBe('sealgate/archive/v1\n')
    expect(toHex(archive.subarray(20))).toBe(
      `00000002${'00000040'}${'64000464'}6f637366000e646f63732f68656c6c6f2e7478740000000000000006${toHex(sha256(utf8('hello\n')))}68656c6c6f0a`,
    )
  })

  it('may be empty', async () => {
    const archive = await pack([])
    expect(archive.length).toBe(ARCHIVE_HEAD_SIZE)
    expect([...(await unpack(archive))]).toEqual([])
  })

  it('skips, and checks, what a caller does not read', async () => {
    const archive = await pack(SAMPLE)
    const paths: string[] = []
    for await (const { entry } of readContents(await openArchive([archive], archive.length), createSha256)) paths.push(entry.path)
    expect(paths.length).toBe(SAMPLE.length)
    const changed = flipped(archive, archive.length - 1)
    const reading = async (): Promise<void> => {
      for await (const _ of readContents(await openArchive([changed], changed.length), createSha256));
    }
    await expect(reading()).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
  })

  it('goes on where a caller stopped in a content', async () => {
    const content = testBytes('long', 5000)
    const archive = await pack([
      ['a', content],
      ['b', 'next'],
    ])
    const seen: string[] = []
    for await (const item of readContents(await openArchive(chunked(archive, 100), archive.length), createSha256)) {
      if (!('content' in item)) continue
      for await (const part of item.content) {
        seen.push(`${item.entry.path} ${part.length > 0}`)
        break
      }
    }
    expect(seen).toEqual(['a true', 'b true'])
  })

  it('gives up its source when it is left', async () => {
    let closed = false
    const archive = await pack(SAMPLE)
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield archive
      } finally {
        closed = true
      }
    }
    for await (const _ of readContents(await openArchive(source(), archive.length), createSha256)) break
    expect(closed).toBe(true)
  })

  it('comes back from any files (property)', async () => {
    const name = fc
      .string({ unit: fc.constantFrom('a', 'b', 'c', 'é', '.', '-', ' ', '日'), minLength: 1, maxLength: 4 })
      .filter((n) => n !== '.' && n !== '..')
    const path = fc.array(name, { minLength: 1, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(path, fc.uint8Array({ maxLength: 40 })), { maxLength: 12 }), async (raw) => {
        const files = canonical(raw)
        const archive = await pack(files)
        const { entries } = await openArchive([archive], archive.length)
        expect(entries).toEqual(entriesOf(files))
        expect(await outcome(archive)).toBe('accepted')
      }),
      { numRuns: 200 },
    )
  })
})

/** Makes a sound tree of any paths: what would be file and folder at once is dropped. */
function canonical(raw: readonly (readonly [readonly string[], Uint8Array])[]): Files {
  type Tree = Map<string, Tree | Uint8Array>
  const root: Tree = new Map()
  for (const [names, content] of raw) {
    let at: Tree | Uint8Array | undefined = root
    for (const name of names.slice(0, -1)) {
      if (!(at instanceof Map)) break
      if (!at.has(name)) at.set(name, new Map())
      at = at.get(name)
    }
    const last = names.at(-1) ?? ''
    if (at instanceof Map && !at.has(last)) at.set(last, content)
  }
  const files: [string, Uint8Array | null][] = []
  const walk = (tree: Tree, prefix: string): void => {
    for (const [name, child] of [...tree].sort(([a], [b]) => Buffer.compare(utf8(a), utf8(b)))) {
      files.push([prefix + name, child instanceof Map ? null : child])
      if (child instanceof Map) walk(child, `${prefix}${name}/`)
    }
  }
  walk(root, '')
  return files
}

describe('an archive that attacks its reader', () => {
  const paths: readonly (readonly [string, string | Uint8Array])[] = [
    ['climbs out of its folder', '../evil'],
    ['climbs out further in', 'a/../../evil'],
    ['names the folder above', '..'],
    ['is absolute', '/etc/passwd'],
    ['names itself', '.'],
    ['has an empty name', 'a//b'],
    ['ends with a slash', 'a/'],
    ['is empty', ''],
    ['uses the separator of Windows', '..\\evil'],
    ['holds a zero byte', 'a\0b'],
    ['steers a terminal', 'a\u001b[2Jb'],
    ['steers a terminal in C1', 'a\u009bb'],
    ['is not in normalisation form C', 'e\u0301'],
    ['is no UTF-8', Uint8Array.of(0x61, 0xff)],
    ['is an overlong slash', Uint8Array.of(0x61, 0xc0, 0xaf)],
    ['is half a surrogate pair', fromHex('eda080')],
    ['has a name too long for a file system', 'n'.repeat(256)],
    ['is too long', 'long/'.repeat(819) + 'x'.repeat(200)],
    ['is too deep', `${'d/'.repeat(64)}x`],
  ]
  it.each(paths)('is refused when a path %s', async (_, path) => {
    expect(await outcome(forged([{ path }]))).toBe('ARCHIVE_INVALID')
    expect(await outcome(forged([{ path, kind: 'd' }]))).toBe('ARCHIVE_INVALID')
  })

  const orders: readonly (readonly [string, Parameters<typeof forged>[0]])[] = [
    ['the same file twice', [{ path: 'a' }, { path: 'a' }]],
    ['a file and a folder of one name', [{ path: 'a' }, { path: 'a', kind: 'd' }]],
    ['a file below a file', [{ path: 'a' }, { path: 'a/b' }]],
    ['a file without its folder', [{ path: 'a/b' }]],
    ['a file in a folder that was closed', [{ path: 'a', kind: 'd' }, { path: 'b' }, { path: 'a/c' }]],
    ['files out of order', [{ path: 'b' }, { path: 'a' }]],
    ['order of code units instead of bytes', [{ path: '\u{1f600}' }, { path: '\uffee' }]],
    ['names that differ in case alone', [{ path: 'README' }, { path: 'readme' }]],
    ['folders that differ in case alone', [{ path: 'A', kind: 'd' }, { path: 'A/x' }, { path: 'a', kind: 'd' }]],
    ['an unknown kind', [{ path: 'a', kind: 'l' }]],
    ['a device', [{ path: 'a', kind: 'c' }]],
  ]
  it.each(orders)('is refused for %s', async (_, entries) => {
    expect(await outcome(forged(entries))).toBe('ARCHIVE_INVALID')
  })

  it('is refused when bytes follow, are missing, or sizes lie', async () => {
    expect(await outcome(forged([{ path: 'a', content: 'x' }], 'y'))).toBe('ARCHIVE_INVALID')
    expect(await outcome(forged([{ path: 'a', content: 'x', size: 2 }]))).toBe('ARCHIVE_INVALID')
    expect(await outcome(forged([{ path: 'a', content: 'x', size: 0 }]))).toBe('ARCHIVE_INVALID')
    expect(await outcome(forged([{ path: 'a', content: '', size: 2 ** 63 }]))).toBe('ARCHIVE_INVALID')
    const sound = await pack(SAMPLE)
    expect(await outcome(concat(sound, Uint8Array.of(0)), sound.length)).toBe('ARCHIVE_INVALID')
    expect(await outcome(sound, sound.length + 1)).toBe('ARCHIVE_INVALID')
  })

  it('is refused before memory is taken for what it announces', async () => {
    const head = (entries: number, size: number): Uint8Array => concat(utf8('sealgate/archive/v1\n'), u32be(entries), u32be(size))
    expect(await outcome(head(MAX_ARCHIVE_ENTRIES + 1, 100))).toBe('LIMIT_EXCEEDED')
    expect(await outcome(head(1, 2 ** 32 - 1))).toBe('LIMIT_EXCEEDED')
    expect(await outcome(head(1, 2 ** 28))).toBe('ARCHIVE_INVALID')
    expect(await outcome(head(MAX_ARCHIVE_ENTRIES, 0))).toBe('ARCHIVE_INVALID')
  })

  it('is refused at every changed byte and every truncation', async () => {
    const sound = await pack(SAMPLE)
    for (let at = 0; at < sound.length; at++) {
      const changed = await outcome(flipped(sound, at, 1 << (at % 8)))
      // What is executable, and a name, may be changed to another sound one: the seal around the archive is what tells.
      if (changed === 'accepted') expect(at).toBeLessThan(encodeManifest(entriesOf(SAMPLE)).length)
      else expect(['ARCHIVE_INVALID', 'LIMIT_EXCEEDED']).toContain(changed)
      expect(await outcome(sound.subarray(0, at), sound.length)).toBe('ARCHIVE_INVALID')
      expect(await outcome(sound.subarray(0, at))).toBe('ARCHIVE_INVALID')
    }
  })

  it('fails only in the named ways, whatever the bytes (property)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (bytes, headed) => {
        const input = headed ? concat(utf8('sealgate/archive/v1\n'), u32be(bytes[0] ?? 0), u32be(bytes.length), bytes) : bytes
        expect(['accepted', 'ARCHIVE_INVALID', 'LIMIT_EXCEEDED']).toContain(await outcome(input))
      }),
      { numRuns: 500 },
    )
    expect(() => parseManifestHead(new Uint8Array(3))).toThrow(AttestError)
  })
})

describe('an archive is not written', () => {
  const file = (path: string): ArchiveFile => ({ type: 'file', path, executable: false, size: 1, sha256: sha256(utf8('x')) })

  it('of files that changed between the passes', async () => {
    for (const now of ['y', '', 'xx']) {
      const packing = collect(packArchive([file('a')], { open: () => [utf8(now)], createHash: createSha256 }))
      await expect(packing).rejects.toMatchObject({ code: 'FILE_UNREADABLE', message: expect.stringContaining('a changed') })
    }
  })

  it('with a path that a reader would refuse', () => {
    for (const path of ['../a', 'a/b', 'e\u0301', '\ud800']) expect(() => encodeManifest([file(path)])).toThrow(AttestError)
    expect(() => encodeManifest([file('b'), file('a')])).toThrow(AttestError)
  })

  it('of more bytes than a number can count', () => {
    const huge = { ...file('a'), size: Number.MAX_SAFE_INTEGER }
    expect(() => archiveSize(100, [huge])).toThrow(AttestError)
  })
})

it('reads 100,000 entries in time that grows with their number', async () => {
  const files: Files = Array.from({ length: 100_000 }, (_, i) => [`f${String(i).padStart(6, '0')}`, ''])
  const archive = await pack(files)
  expect((await openArchive(chunked(archive, 65536), archive.length)).entries.length).toBe(100_000)
})
