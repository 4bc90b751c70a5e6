import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BlobFolder, type DiskCalls } from '../../../../src/gateway/store/blob-folder.ts'
import { testBytes } from '../../../support/keys.ts'

const MiB = 1024 * 1024
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-blobs-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Disk calls that tell their order and fail when told to. */
function scripted(fail: { rename?: 'before' | 'after'; sync?: string } = {}): DiskCalls & { readonly calls: string[] } {
  const calls: string[] = []
  return {
    calls,
    async rename(from, to) {
      calls.push('rename')
      if (fail.rename === 'before') throw new Error('the disk failed before the rename')
      await rename(from, to)
      if (fail.rename === 'after') throw new Error('the disk failed after the rename')
    },
    async sync(handle) {
      calls.push('sync')
      if (fail.sync !== undefined) throw Object.assign(new Error('no space'), { code: fail.sync })
      await handle.sync()
    },
  }
}

async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const part = (id: string): Uint8Array => new Uint8Array(readFileSync(join(folder, 'uploads', `${id}.part`)))

describe('append', () => {
  it.each([1, 7, 16 * 1024, 3 * MiB])('writes what comes in chunks of %i bytes', async (size) => {
    const bytes = testBytes('content', size === 1 ? 5000 : 2 * MiB + 17)
    const blobs = await BlobFolder.open(folder)
    const acknowledged: number[] = []
    expect(await blobs.append('u', 0, chunksOf(bytes, size), async (offset) => void acknowledged.push(offset))).toBe(bytes.length)
    expect(Buffer.compare(part('u'), bytes)).toBe(0)
    expect(acknowledged).toEqual([bytes.length])
  })

  it('acknowledges on the way, each time after the bytes are on the disk', async () => {
    const disk = scripted()
    const blobs = await BlobFolder.open(folder, disk)
    disk.calls.length = 0
    const block = testBytes('block', MiB)
    async function* many(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 130; i++) yield block
    }
    const acknowledged: number[] = []
    await blobs.append('u', 0, many(), async (offset) => {
      disk.calls.push(`told ${offset / MiB}`)
      acknowledged.push(offset)
    })
    expect(disk.calls).toEqual(['sync', 'sync', 'told 64', 'sync', 'told 128', 'sync', 'told 130'])
  })

  it('drops what lay beyond the offset', async () => {
    const blobs = await BlobFolder.open(folder)
    await blobs.append('u', 0, chunksOf(testBytes('a', 1000), 100), async () => {})
    await blobs.append('u', 400, chunksOf(testBytes('b', 10), 100), async () => {})
    expect(part('u')).toEqual(new Uint8Array([...testBytes('a', 1000).subarray(0, 400), ...testBytes('b', 10)]))
  })

  it('keeps and acknowledges what came before its source failed', async () => {
    async function* cut(): AsyncGenerator<Uint8Array> {
      yield testBytes('a', 1000)
      throw new Error('the connection was cut')
    }
    const blobs = await BlobFolder.open(folder)
    const acknowledged: number[] = []
    await expect(blobs.append('u', 0, cut(), async (offset) => void acknowledged.push(offset))).rejects.toThrow('cut')
    expect(acknowledged).toEqual([1000])
  })

  it.each(['ENOSPC', 'EDQUOT'])('acknowledges nothing when the disk says %s', async (code) => {
    const fail: { sync?: string } = {}
    const blobs = await BlobFolder.open(folder, scripted(fail))
    fail.sync = code
    const acknowledged: number[] = []
    const attempt = blobs.append('u', 0, chunksOf(testBytes('a', 1000), 100), async (offset) => void acknowledged.push(offset))
    await expect(attempt).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect(acknowledged).toEqual([])
  })
})

describe('promote', () => {
  it.each(['before', 'after'] as const)('can be repeated when the disk failed %s the rename', async (when) => {
    const bytes = testBytes('a', 1000)
    const failing = await BlobFolder.open(folder, scripted({ rename: when }))
    await failing.append('u', 0, chunksOf(bytes, 100), async () => {})
    await expect(failing.promote('u', 'blob')).rejects.toThrow(`failed ${when}`)
    const blobs = await BlobFolder.open(folder)
    const path = (await blobs.locate('u', 'blob')) ?? ''
    expect(new Uint8Array(readFileSync(path))).toEqual(bytes)
    await blobs.promote('u', 'blob')
    expect(new Uint8Array(readFileSync(join(folder, 'blobs/blob')))).toEqual(bytes)
    expect(await blobs.listUploads()).toEqual([])
  })

  it('syncs the bytes before the name, and the names after', async () => {
    const disk = scripted()
    const blobs = await BlobFolder.open(folder, disk)
    await blobs.append('u', 0, chunksOf(testBytes('a', 10), 10), async () => {})
    disk.calls.length = 0
    await blobs.promote('u', 'blob')
    expect(disk.calls).toEqual(['sync', 'rename', 'sync', 'sync'])
  })
})

it.each(['../escape', '', 'a/b', '.', 'x'.repeat(65)])('never follows the name %j', async (name) => {
  const blobs = await BlobFolder.open(folder)
  await expect(blobs.removeUpload(name)).rejects.toMatchObject({ code: 'INTERNAL' })
  expect(() => blobs.read(name, 0, 1)).toThrow()
  expect(readdirSync(folder).sort()).toEqual(['blobs', 'uploads'])
})
