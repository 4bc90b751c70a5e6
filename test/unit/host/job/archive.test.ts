import { createHash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { extract } from 'tar-stream'
import { describe, expect, it } from 'vitest'
import { type ArchiveFile, archiveSize, packArchive } from '../../../../src/host/job/archive.ts'

function file(path: string, content: Uint8Array): ArchiveFile {
  return { path, size: content.length, read: () => [content] }
}

async function bytesOf(files: readonly ArchiveFile[]): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of packArchive(files)) parts.push(chunk)
  return Buffer.concat(parts)
}

async function unpack(bytes: Buffer): Promise<{ name: string; content: Buffer }[]> {
  const out: { name: string; content: Buffer }[] = []
  const tar = extract()
  tar.end(bytes)
  for await (const entry of tar) {
    const parts: Buffer[] = []
    for await (const chunk of entry as AsyncIterable<Buffer>) parts.push(chunk)
    out.push({ name: entry.header.name, content: Buffer.concat(parts) })
  }
  return out
}

describe('result archive', () => {
  it('is the same for the same files, whenever it is written', async () => {
    const files = [file('manifest.json', Buffer.from('{}')), file('out/a.csv', Buffer.from('1,2\n')), file('stdout', Buffer.alloc(0))]
    const bytes = await bytesOf(files)
    expect(createHash('sha256').update(bytes).digest('hex')).toBe('ea2ec33c5a9e6630c547cb35e47d998336aedd0a8f858fc1e6b8012b7734a213')
    expect(await bytesOf(files)).toEqual(bytes)
  })

  it('has the announced size and gives every file back, whatever the names', async () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }).filter((n) => !/[\0/\\]|^\.+$/.test(n) && n.isWellFormed())
    await fc.assert(
      fc.asyncProperty(fc.array(fc.record({ name, content: fc.uint8Array({ maxLength: 2000 }) }), { maxLength: 5 }), async (list) => {
        const files = list.map((f) => file(`out/${f.name}`, f.content))
        const bytes = await bytesOf(files)
        expect(bytes.length).toBe(await archiveSize(files))
        const back = await unpack(bytes)
        expect(back.map((f) => f.content)).toEqual(list.map((f) => Buffer.from(f.content)))
        expect(back.map((f) => f.name)).toEqual(files.map((f) => f.path))
      }),
      { numRuns: 50 },
    )
  })

  it('streams large files with back-pressure', async () => {
    const chunk = randomBytes(1024 * 1024)
    let live = 0
    let most = 0
    const files = [
      {
        path: 'out/big',
        size: 64 * chunk.length,
        *read() {
          for (let i = 0; i < 64; i++) {
            live++
            most = Math.max(most, live)
            yield chunk
          }
        },
      },
    ]
    let size = 0
    for await (const part of packArchive(files)) {
      size += part.length
      if (part.length > 512) live--
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(size).toBe(await archiveSize(files))
    expect(most).toBeLessThan(20)
  })

  it('fails when a file is not as long as announced', async () => {
    await expect(bytesOf([{ path: 'a', size: 3, read: () => [Buffer.from('ab')] }])).rejects.toThrow()
  })

  it('can be left in the middle', async () => {
    for await (const _ of packArchive([file('a', randomBytes(100_000)), file('b', randomBytes(100_000))])) break
  })
})
