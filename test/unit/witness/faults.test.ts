import { existsSync, readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { signCheckpoint } from '../../../src/seal/note.ts'
import { utf8 } from '../../../src/verify/bytes/bytes.ts'
import { consistencyProof, encodeAddCheckpoint, leafHash, rootAt } from '../../../src/verify/tlog/index.ts'
import { type DiskCalls, WITNESS_FILES } from '../../../src/witness/index.ts'
import { systemDisk } from '../../../src/witness/state-file.ts'
import { logKeyOf, noteSigner } from '../../support/keys.ts'
import { type StoredTree, storeTree } from '../../support/log.ts'
import { TestWitness, type WitnessAnswer } from '../../support/witness.ts'

const ORIGIN = 'log.example/sealgate'
const T0 = 1_780_000_000
const signer = noteSigner(ORIGIN)
const known = { origin: ORIGIN, key: await logKeyOf(signer) }
const treeOf = async (label: string): Promise<StoredTree> =>
  storeTree(await Promise.all([0, 1, 2, 3, 4, 5].map((i) => leafHash(utf8(`${i < 3 ? '' : label} ${i}`)))))
const honest = await treeOf('honest')
const forked = await treeOf('forked')

type Call = keyof DiskCalls

/** A disk whose next call of one kind fails, as a crash or the disk itself would make it. */
class DiskFaults implements DiskCalls {
  #next: { readonly call: Call; readonly when: 'before' | 'after'; readonly code: string } | null = null

  arm(call: Call, when: 'before' | 'after', code = 'EIO'): void {
    this.#next = { call, when, code }
  }

  write = (path: string, bytes: Uint8Array): Promise<void> => this.#run('write', () => systemDisk.write(path, bytes))
  rename = (from: string, to: string): Promise<void> => this.#run('rename', () => systemDisk.rename(from, to))
  syncFolder = (folder: string): Promise<void> => this.#run('syncFolder', () => systemDisk.syncFolder(folder))

  async #run(call: Call, work: () => Promise<void>): Promise<void> {
    const fault = this.#next?.call === call ? this.#next : null
    if (fault === null) return work()
    this.#next = null
    if (fault.when === 'after') await work()
    throw Object.assign(new Error(`the disk failed ${fault.when} ${call}`), { code: fault.code })
  }
}

let witness: TestWitness
const disk = new DiskFaults()
beforeEach(async () => {
  witness = await TestWitness.start('w1.example', [known], () => T0 * 1000, disk)
  expect((await ask(0, 3)).status).toBe(200)
})
afterEach(() => witness.end())

async function ask(oldSize: number, size: number, tree: StoredTree = honest): Promise<WitnessAnswer> {
  const note = await signCheckpoint({ origin: ORIGIN, size, root: await rootAt(size, tree.read) }, signer)
  return witness.add(encodeAddCheckpoint({ oldSize, proof: await consistencyProof(oldSize, size, tree.read), note }))
}

const WAYS = (['write', 'rename', 'syncFolder'] as const).flatMap((call) =>
  (['before', 'after'] as const).map((when) => [when, call] as const),
)

describe.each(WAYS)('when the disk fails %s %s', (when, call) => {
  const isStored = call === 'syncFolder' || (call === 'rename' && when === 'after')

  it.each(['goes on', 'is restarted'])(
    'no cosignature leaves, and the witness that %s remembers the old tree or the new one',
    async (how) => {
      disk.arm(call, when)
      const answer = await ask(3, 5)
      expect(answer).toEqual({ status: 500, type: 'text/plain; charset=utf-8', text: 'internal error\n' })
      if (how === 'is restarted') await witness.restart()
      const size = isStored ? 5 : 3
      expect(await ask(0, 6)).toMatchObject({ status: 409, text: `${size}\n` })
      expect((await ask(size, 5)).status).toBe(200)
      expect((await ask(5, 6, forked)).status).toBe(422)
      expect((await ask(5, 6)).status).toBe(200)
      await witness.restart()
      expect(await ask(0, 6)).toMatchObject({ status: 409, text: '6\n' })
    },
  )

  it('a log that shows another history meanwhile gets cosignatures for one of both', async () => {
    disk.arm(call, when)
    await ask(3, 5)
    const size = isStored ? 5 : 3
    expect((await ask(size, 6, forked)).status).toBe(isStored ? 422 : 200)
    expect((await ask(isStored ? 5 : 6, 6)).status).toBe(isStored ? 200 : 409)
  })
})

describe('a full disk', () => {
  it('keeps the state whole, and the witness goes on when there is space again', async () => {
    const before = readFileSync(witness.path(WITNESS_FILES.state))
    disk.arm('write', 'before', 'ENOSPC')
    expect((await ask(3, 5)).status).toBe(500)
    expect(witness.logged.join('')).toContain('DISK_FULL')
    expect(readFileSync(witness.path(WITNESS_FILES.state))).toEqual(before)
    expect((await ask(3, 5)).status).toBe(200)
  })
})

describe('half of a write', () => {
  it('lies beside the state and is removed at the next start', async () => {
    disk.arm('rename', 'before')
    await ask(3, 5)
    const temporary = `${witness.path(WITNESS_FILES.state)}.tmp`
    expect(existsSync(temporary)).toBe(true)
    witness.write(`${WITNESS_FILES.state}.tmp`, '{"v":1')
    await witness.restart()
    expect(existsSync(temporary)).toBe(false)
    expect(await ask(0, 5)).toMatchObject({ status: 409, text: '3\n' })
  })
})
