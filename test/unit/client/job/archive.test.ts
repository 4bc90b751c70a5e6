import { resolve, sep } from 'node:path'
import fc from 'fast-check'
import { pack } from 'tar-stream'
import { describe, expect, it } from 'vitest'
import { type ArchiveEntry, isSafePath, parseManifest, readArchive, readSmall } from '../../../../src/client/job/archive.ts'
import { AttestError } from '../../../../src/verify/errors.ts'

async function* chunks(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield part
}

async function read(bytes: Uint8Array): Promise<readonly { name: string; text: string }[]> {
  const found = []
  for await (const entry of readArchive(chunks(bytes)))
    found.push({ name: entry.name, text: new TextDecoder().decode(await readSmall(entry)) })
  return found
}

async function tar(add: (archive: ReturnType<typeof pack>) => void): Promise<Uint8Array> {
  const archive = pack()
  add(archive)
  archive.finalize()
  const parts: Uint8Array[] = []
  for await (const part of archive) parts.push(part as Uint8Array)
  return Buffer.concat(parts)
}

describe('paths in results', () => {
  it.each(['stdout', 'stderr', 'out/a.csv', 'out/deep/er/x', 'out/Ünïcode'])('takes %s', (path) => {
    expect(isSafePath(path)).toBe(true)
  })

  it.each([
    '',
    '/etc/passwd',
    '../x',
    'out/../../x',
    'out/..',
    'out/.',
    'out//x',
    'out/',
    'out',
    'other/x',
    'out/.hidden',
    'out/a\\b',
    'out/C:x',
    'out/nul\u0000l',
    'out/line\nbreak',
    'out/trailing.',
    'out/trailing ',
    'out/\ud800',
    `out/${'a'.repeat(256)}`,
    `out/${'a/'.repeat(16)}x`,
  ])('rejects %j', (path) => {
    expect(isSafePath(path)).toBe(false)
  })

  it('takes no path that leaves its folder, whatever it looks like', () => {
    const part = fc.constantFrom('..', '.', 'out', '/', '\\', 'a', '', 'C:', '\0', '..\\')
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), fc.constantFrom('/', '\\', ''), (parts, glue) => {
        const path = parts.join(glue)
        if (isSafePath(path)) expect(resolve('/base', path).startsWith(`/base${sep}`)).toBe(true)
      }),
    )
  })
})

describe('result archive', () => {
  it('gives the files in order', async () => {
    const bytes = await tar((t) => {
      t.entry({ name: 'manifest.json' }, '{}')
      t.entry({ name: 'out/a' }, 'A')
    })
    expect(await read(bytes)).toEqual([
      { name: 'manifest.json', text: '{}' },
      { name: 'out/a', text: 'A' },
    ])
  })

  it.each(['symlink', 'link', 'directory', 'fifo', 'character-device'] as const)('rejects a %s', async (type) => {
    const bytes = await tar((t) =>
      t.entry({ name: 'out/x', type, ...(type === 'symlink' || type === 'link' ? { linkname: '/etc/passwd' } : {}) }),
    )
    await expect(read(bytes)).rejects.toEqual(expect.objectContaining({ code: 'RECEIPT_INCONSISTENT' }))
  })

  it('rejects an archive that ends early, and bytes that are none', async () => {
    const bytes = await tar((t) => t.entry({ name: 'out/a' }, 'A'.repeat(5000)))
    await expect(read(bytes.subarray(0, 2000))).rejects.toEqual(expect.objectContaining({ code: 'RECEIPT_INCONSISTENT' }))
    await expect(read(new Uint8Array(1024).fill(7))).rejects.toEqual(expect.objectContaining({ code: 'RECEIPT_INCONSISTENT' }))
  })

  it('passes the error of its source on', async () => {
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(512)
      throw new AttestError('SEGMENT_INVALID', 'changed')
    }
    const all = async (): Promise<ArchiveEntry[]> => {
      const found: ArchiveEntry[] = []
      for await (const entry of readArchive(failing())) found.push(entry)
      return found
    }
    await expect(all()).rejects.toEqual(expect.objectContaining({ code: 'SEGMENT_INVALID' }))
  })

  it('fails only with an AttestError, whatever the bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2048 }), async (bytes) => {
        await read(bytes).catch((error: unknown) => expect(error).toBeInstanceOf(AttestError))
      }),
      { numRuns: 200 },
    )
  })
})

describe('manifest', () => {
  const b64 = 'A'.repeat(43)
  const output = { path: 'out/a', salt: b64, sha256: b64, size: 1 }
  const encode = (outputs: readonly object[]): Uint8Array =>
    new TextEncoder().encode(JSON.stringify({ job: b64, outcome: 'succeeded', outputs, v: 1 }))

  it('reads what the agent writes', () => {
    expect(parseManifest(encode([output])).outputs).toEqual([output])
  })

  it.each([
    ['a path that leaves the folder', [{ ...output, path: '../x' }]],
    ['the same path twice', [output, output]],
    ['a member that it does not know', [{ ...output, mode: 511 }]],
    ['a short salt', [{ ...output, salt: 'AA' }]],
  ])('rejects %s', (_, outputs) => {
    expect(() => parseManifest(encode(outputs))).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^(DOCUMENT_INVALID|JSON_NOT_CANONICAL)$/) }),
    )
  })
})
