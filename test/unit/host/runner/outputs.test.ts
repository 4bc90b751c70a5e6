import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { collectOutputs, OutputTally } from '../../../../src/host/runner/outputs.ts'
import { AttestError } from '../../../../src/verify/errors.ts'

const refused = (message: string | RegExp) => expect.objectContaining({ code: 'JOB_FAILED', message: expect.stringMatching(message) })
const tooLarge = expect.objectContaining({ code: 'LIMIT_EXCEEDED' })

describe('OutputTally', () => {
  it('takes plain names, eight folders deep', () => {
    const tally = new OutputTally(10)
    for (const path of ['a', 'A_1.csv', '1/2/3/4/5/6/7/8/f']) tally.file(path, 1)
  })

  it.each(['', '.', '..', '../a', 'a/../b', '/a', 'a//b', 'a/', '.a', '-a', 'a b', 'a\\b', 'a\nb', 'a\0', 'é', 'x'.repeat(129)])(
    'refuses the name %j',
    (path) => {
      expect(() => new OutputTally(10).file(path, 1)).toThrow(refused('a file name that is not allowed'))
    },
  )

  it('refuses nine folders, the same file twice, and what does not fit', () => {
    const tally = new OutputTally(10)
    expect(() => tally.file('1/2/3/4/5/6/7/8/9/f', 1)).toThrow(refused('a folder more than 8 deep'))
    tally.file('a', 6)
    expect(() => tally.file('a', 1)).toThrow(refused('the same file twice'))
    expect(() => tally.file('b', 5)).toThrow(tooLarge)
    const many = new OutputTally(10)
    for (let i = 0; i < 1022; i++) many.file(`f${i}`, 0)
    expect(() => many.file('last', 0)).toThrow(tooLarge)
    expect(() => new OutputTally(10).file('a', Number.NaN)).toThrow(tooLarge)
  })

  it('accepts or throws an AttestError, whatever the path, and never accepts a climbing one', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('.', '/', 'a', '\\', '\0') })), (path) => {
        try {
          new OutputTally(10).file(path, 1)
          expect(path.split('/').every((s) => /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(s))).toBe(true)
        } catch (error) {
          if (!(error instanceof AttestError)) throw error
        }
      }),
    )
  })
})

describe('collectOutputs', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'outputs-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const collect = () => collectOutputs(folder, 1000)

  it('takes files of folders, sorted, and leaves out empty folders', async () => {
    mkdirSync(join(folder, 'b/c'), { recursive: true })
    mkdirSync(join(folder, 'empty'))
    writeFileSync(join(folder, 'b/c/x'), 'xyz')
    writeFileSync(join(folder, 'a'), '')
    const outputs = await collect()
    expect(outputs.map(({ path, size }) => [path, size])).toEqual([
      ['a', 0],
      ['b/c/x', 3],
    ])
    for (const [output, want] of [
      [outputs[0], ''],
      [outputs[1], 'xyz'],
      [outputs[1], 'xyz'],
    ] as const) {
      let text = ''
      for await (const chunk of output?.read() ?? []) text += Buffer.from(chunk).toString()
      expect(text).toBe(want)
    }
  })

  it('refuses symbolic links, links to folders, hard links, FIFOs and sockets', async () => {
    const cases: [string, (path: string) => void][] = [
      ['file', (path) => symlinkSync('/etc/passwd', path)],
      ['folder', (path) => symlinkSync('/etc', path)],
      ['dangling', (path) => symlinkSync('/nothing', path)],
      ['fifo', (path) => void execFileSync('/bin/sh', ['-c', 'mkfifo "$0"', path])],
    ]
    for (const [name, make] of cases) {
      make(join(folder, name))
      await expect(collect(), name).rejects.toEqual(refused('something that is not a regular'))
      rmSync(join(folder, name))
    }
    const server = createServer().listen(join(folder, 'socket'))
    await expect(collect()).rejects.toEqual(refused('something that is not a regular'))
    server.close()
    rmSync(join(folder, 'socket'), { force: true })
    writeFileSync(join(folder, 'a'), 'x')
    linkSync(join(folder, 'a'), join(folder, 'b'))
    await expect(collect()).rejects.toEqual(refused('a file with several names'))
  })

  it('refuses sparse files by the size that they show, and too many entries', async () => {
    writeFileSync(join(folder, 'a'), '')
    truncateSync(join(folder, 'a'), 2 ** 40)
    await expect(collect()).rejects.toEqual(tooLarge)
    rmSync(join(folder, 'a'))
    for (let i = 0; i < 4100; i++) mkdirSync(join(folder, `d${i}`))
    await expect(collect()).rejects.toEqual(tooLarge)
  })

  it('notices an output that changes after it was taken', async () => {
    writeFileSync(join(folder, 'a'), 'x')
    const [output] = await collect()
    rmSync(join(folder, 'a'))
    symlinkSync('/etc/passwd', join(folder, 'a'))
    const read = async () => {
      for await (const _ of output?.read() ?? []) throw new Error('something was read')
    }
    await expect(read()).rejects.toBeInstanceOf(AttestError)
    rmSync(join(folder, 'a'))
    writeFileSync(join(folder, 'a'), 'other')
    await expect(read()).rejects.toBeInstanceOf(AttestError)
  })
})
