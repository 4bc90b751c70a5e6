import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fileError, PRIVATE, readBytes, refuseExisting, replaceFile, withTemporary, writeNew } from '../../../src/client/files.ts'
import { temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const path = (name: string): string => join(folder, name)
const withCode = (code: string): object => expect.objectContaining({ code })

describe('files', () => {
  it('writes private files that only their owner can read', async () => {
    await writeNew(path('key'), 'secret', PRIVATE)
    expect(statSync(path('key')).mode & 0o777).toBe(0o600)
  })

  it('overwrites nothing', async () => {
    writeFileSync(path('there'), 'old')
    await expect(writeNew(path('there'), 'new', PRIVATE)).rejects.toEqual(withCode('ALREADY_EXISTS'))
    await expect(refuseExisting(folder, ['not-there', 'there'])).rejects.toEqual(withCode('ALREADY_EXISTS'))
    expect(readFileSync(path('there'), 'utf8')).toBe('old')
  })

  it('replaces a file in one step and leaves nothing else', async () => {
    mkdirSync(path('state'))
    await replaceFile(join(folder, 'state', 'a'), 'one', PRIVATE)
    await replaceFile(join(folder, 'state', 'a'), 'two', PRIVATE)
    expect(readFileSync(path('state/a'), 'utf8')).toBe('two')
    expect(readdirSync(path('state'))).toEqual(['a'])
  })

  it('removes a temporary file when its work fails', async () => {
    mkdirSync(path('work'))
    const work = withTemporary(path('work/result'), async (temporary) => {
      writeFileSync(temporary, 'half')
      throw new Error('stopped')
    })
    await expect(work).rejects.toThrow('stopped')
    expect(readdirSync(path('work'))).toEqual([])
  })

  it('names what is wrong with a path', async () => {
    await expect(readBytes(path('missing'), 10)).rejects.toEqual(withCode('FILE_UNREADABLE'))
    await expect(readBytes(folder, 10_000_000)).rejects.toEqual(withCode('FILE_UNREADABLE'))
    await expect(readBytes(path('there'), 2)).rejects.toEqual(withCode('LIMIT_EXCEEDED'))
    await expect(writeNew(path('no/such/folder'), 'x', PRIVATE)).rejects.toEqual(withCode('FILE_UNREADABLE'))
  })

  it('tells a full disk from other trouble, and leaves foreign errors alone', () => {
    const error = (code: string): Error => Object.assign(new Error(code), { code })
    expect(fileError(error('ENOSPC'), 'f')).toEqual(withCode('DISK_FULL'))
    expect(fileError(error('EACCES'), 'f')).toEqual(withCode('FILE_UNREADABLE'))
    const other = new TypeError('defect')
    expect(fileError(other, 'f')).toBe(other)
  })
})
