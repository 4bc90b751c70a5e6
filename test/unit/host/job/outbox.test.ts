import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type DurableFiles, openDurableFiles } from '../../../../src/host/job/durable-files.ts'
import { Outbox, type PendingOutcome } from '../../../../src/host/job/outbox.ts'

const JOB = 'AAECAwQFBgcICQoLDA0ODw'
const OTHER = '_____________________w'
const outcome: PendingOutcome = {
  jobId: JOB,
  receipt: new TextEncoder().encode('{"payload":"e30","signatures":[]}'),
  results: { header: Uint8Array.of(1, 2, 3), root: 'A'.repeat(43), sizeBytes: 12 },
}

let folder: string
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'outbox-')), 'state')
})
afterEach(() => rm(join(folder, '..'), { recursive: true, force: true }))

async function reopen(): Promise<Outbox> {
  return Outbox.open(await openDurableFiles(folder))
}

/** Crashes at the n-th write or removal: before it happened, or right after it. */
function crashing(files: DurableFiles, at: number, when: 'before' | 'after'): DurableFiles {
  let count = 0
  const step = async (act: () => Promise<void>): Promise<void> => {
    const now = count++ === at
    if (now && when === 'before') throw new Error('crash')
    await act()
    if (now) throw new Error('crash')
  }
  return { ...files, write: (name, bytes) => step(() => files.write(name, bytes)), remove: (name) => step(() => files.remove(name)) }
}

describe('outbox', () => {
  it('keeps an outcome until it is acknowledged', async () => {
    const first = await reopen()
    await first.begin(JOB)
    await writeFile(first.resultsPath(JOB), 'sealed bytes')
    await first.end(outcome)
    const second = await reopen()
    expect(second.pending).toEqual([outcome])
    expect(second.lost).toEqual([])
    expect(second.knows(JOB)).toBe(true)
    expect(await readFile(second.resultsPath(JOB), 'utf8')).toBe('sealed bytes')
    await second.acknowledged(JOB)
    expect(second.pending).toEqual([])
    expect(await readdir(folder)).toEqual([])
    expect((await reopen()).knows(JOB)).toBe(false)
  })

  it('reports a job whose end was never written as lost, and does not take it up again', async () => {
    await (await reopen()).begin(JOB)
    const again = await reopen()
    expect(again.lost).toEqual([JOB])
    expect(again.knows(JOB)).toBe(true)
    expect(again.knows(OTHER)).toBe(false)
    await again.acknowledged(JOB)
    expect((await reopen()).lost).toEqual([])
  })

  it('does not forget a job that is running when the gateway acknowledges too early', async () => {
    const outbox = await reopen()
    await outbox.begin(JOB)
    await outbox.acknowledged(JOB)
    expect((await reopen()).lost).toEqual([JOB])
  })

  it('never loses track of a job, wherever a crash falls', async () => {
    for (const when of ['before', 'after'] as const) {
      for (let at = 0; at < 6; at++) {
        await rm(folder, { recursive: true, force: true })
        const outbox = await Outbox.open(crashing(await openDurableFiles(folder), at, when))
        const done: string[] = []
        try {
          await outbox.begin(JOB)
          done.push('begun')
          await writeFile(outbox.resultsPath(JOB), 'sealed')
          await outbox.end(outcome)
          done.push('ended')
          await outbox.acknowledged(JOB)
          done.push('acknowledged')
        } catch {
          // The crash.
        }
        const after = await reopen()
        const state = after.pending.length > 0 ? 'pending' : after.lost.length > 0 ? 'lost' : 'forgotten'
        if (done.includes('acknowledged')) expect(state).toBe('forgotten')
        else if (done.includes('ended')) expect(['pending', 'forgotten']).toContain(state)
        else if (done.includes('begun')) expect(['lost', 'pending']).toContain(state)
        else expect(['lost', 'forgotten']).toContain(state)
        // An outcome never stands without its results, nor results without their outcome.
        const files = await readdir(folder)
        expect(files.some((n) => n.startsWith('results-'))).toBe(state === 'pending')
      }
    }
  })

  it('is for its owner alone', async () => {
    const outbox = await reopen()
    await outbox.begin(JOB)
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
    for (const name of await readdir(folder)) expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600)
  })

  it('removes what an interrupted write left, and refuses a damaged outcome', async () => {
    await reopen()
    await writeFile(join(folder, `outcome-${JOB}.json.tmp`), '{"half')
    await reopen()
    expect(await readdir(folder)).toEqual([])
    await writeFile(join(folder, `outcome-${JOB}.json`), '{"half')
    await expect(reopen()).rejects.toMatchObject({ code: 'JSON_MALFORMED' })
  })
})
