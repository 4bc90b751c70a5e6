import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signCheckpoint } from '../../src/seal/note.ts'
import { utf8 } from '../../src/verify/bytes/bytes.ts'
import { consistencyProof, encodeAddCheckpoint, leafHash, rootAt } from '../../src/verify/tlog/index.ts'
import { encodeEmptyState, WITNESS_FILES } from '../../src/witness/index.ts'
import { cosignerKeyOf, logKeyOf, noteSigner, testKey } from '../support/keys.ts'
import { type StoredTree, storeTree } from '../support/log.ts'
import { Service } from '../support/processes.ts'
import { freePort } from '../support/proxies.ts'
import { post } from '../support/witness.ts'

const KILLS = 12
const SIZE = 4096
const ORIGIN = 'log.example/crash'
const signer = noteSigner(ORIGIN)
const NAME = 'w1.example'

let folder: string
let witness: Service
let address: string
let trees: readonly [StoredTree, StoredTree]

beforeAll(async () => {
  const treeOf = async (label: string): Promise<StoredTree> =>
    storeTree(await Promise.all(Array.from({ length: SIZE }, (_, i) => leafHash(utf8(`${i < 5 ? '' : label} ${i}`)))))
  trees = [await treeOf('honest'), await treeOf('forked')]
  folder = mkdtempSync(join(tmpdir(), 'sealgate-witness-crash-'))
  address = `127.0.0.1:${await freePort()}`
  const write = (file: string, data: string | Uint8Array): void => writeFileSync(join(folder, file), data, { mode: 0o600 })
  write(WITNESS_FILES.key, JSON.stringify({ ...testKey(NAME).jwk, name: NAME }))
  write(WITNESS_FILES.config, JSON.stringify({ v: 1, listen: address, logs: [{ origin: ORIGIN, key: await logKeyOf(signer) }] }))
  write(WITNESS_FILES.state, encodeEmptyState(await cosignerKeyOf(noteSigner(NAME))))
  witness = new Service(['witness', 'start', folder, '--log-level', 'warn'], join(folder, 'log'))
  await witness.start()
})
afterAll(async () => {
  await witness?.stop('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

async function ask(which: 0 | 1, oldSize: number, size: number): Promise<{ readonly status: number; readonly text: string } | null> {
  const { read } = trees[which]
  const note = await signCheckpoint({ origin: ORIGIN, size, root: await rootAt(size, read) }, signer)
  const body = encodeAddCheckpoint({ oldSize, proof: await consistencyProof(oldSize, size, read), note })
  return post(address, body).catch(() => null)
}

describe(`a witness that is killed ${KILLS} times while two histories ask for cosignatures`, () => {
  it('cosigns one history only, and forgets nothing that it answered', async () => {
    /** What each history was cosigned at. */
    const cosigned: readonly [Set<number>, Set<number>] = [new Set(), new Set()]
    let [known, largest] = [0, 0]
    const work = async (until: () => boolean): Promise<void> => {
      while (!until()) {
        const which = Math.random() < 0.7 ? 0 : 1
        const size = Math.min(SIZE, known + 1 + Math.floor(Math.random() * 3))
        const answer = await ask(which, known, size)
        if (answer === null) await delay(5)
        else if (answer.status === 200) {
          cosigned[which].add(size)
          largest = Math.max(largest, size)
          known = Math.max(known, size)
        } else if (answer.status === 409) known = Number(answer.text)
        else expect(answer.status).toBe(422)
      }
    }
    for (let kill = 0; kill < KILLS; kill++) {
      const after = Math.floor(Math.random() * 150)
      let isOver = false
      const workers = [work(() => isOver), work(() => isOver), work(() => isOver)]
      await delay(after)
      await witness.stop('SIGKILL')
      isOver = true
      await Promise.all(workers)
      await witness.start()
      const answer = await ask(0, 0, SIZE)
      // It may remember one that it could not tell of any more, never less than it told.
      expect(answer?.status === 409 ? Number(answer.text) : 0, `after kill ${kill}, ${after} ms`).toBeGreaterThanOrEqual(largest)
    }
    const beyond = cosigned.map((sizes) => [...sizes].filter((size) => size > 5).length)
    expect(Math.min(...beyond), 'histories part after five leaves').toBe(0)
    expect(Math.max(...beyond)).toBeGreaterThan(0)
  })
})
