import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { numberedItems, readItems } from '../../../src/cli/items.ts'

const folder = mkdtempSync(join(tmpdir(), 'items-'))
const path = join(folder, 'items.json')
afterAll(() => rmSync(folder, { recursive: true }))

describe('items of a file', () => {
  it('are strings and lists of strings', async () => {
    writeFileSync(path, '["a", ["b", "c"]]')
    expect(await readItems(path)).toEqual([['a'], ['b', 'c']])
  })

  it.each(['', '{}', '[]', '[1]', '[[]]', '["a", ["a"]]', '[null]', JSON.stringify(Array.from({ length: 1001 }, (_, i) => String(i)))])(
    'are refused when it holds %.20s',
    async (text) => {
      writeFileSync(path, text)
      await expect(readItems(path)).rejects.toEqual(expect.objectContaining({ code: 'USAGE' }))
    },
  )

  it('are refused when it cannot be read', async () => {
    await expect(readItems(join(folder, 'none'))).rejects.toEqual(expect.objectContaining({ code: 'FILE_UNREADABLE' }))
  })
})

it('numbered items are all different', () => {
  expect(numberedItems(3)).toEqual([['0'], ['1'], ['2']])
  expect(() => numberedItems(0)).toThrow('1 to 1000')
})
