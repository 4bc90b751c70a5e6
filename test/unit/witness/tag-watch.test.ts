import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { signCheckpoint } from '../../../src/seal/note.ts'
import { toBase64Url, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { encodeLeaf } from '../../../src/verify/documents/leaf.ts'
import {
  type Checkpoint,
  consistencyProof,
  encodeAddCheckpoint,
  encodeEntryBundle,
  encodeTilePath,
  leafHash,
  rootAt,
  rootOfLeafHashes,
} from '../../../src/verify/tlog/index.ts'
import type { FetchEntries } from '../../../src/witness/entries.ts'
import { startWitness } from '../../../src/witness/index.ts'
import { TagWatch } from '../../../src/witness/tag-watch.ts'
import { logKeyOf, noteSigner, testBytes } from '../../support/keys.ts'
import { storeTree } from '../../support/log.ts'
import { post, TestWitness, type WitnessAnswer } from '../../support/witness.ts'

const PREFIX = 'https://log.example/sealgate'
const tag = (label: string): string => toBase64Url(testBytes(`tag ${label}`, 32))
const leafOf = (i: number, tags: readonly string[]): Uint8Array =>
  encodeLeaf({
    v: 1,
    type: 'release',
    commitment: toBase64Url(testBytes(`leaf ${i}`, 32)),
    tags,
    ends: [],
    deadline: '2026-06-15T12:00:00Z',
  })
const leaves = Array.from({ length: 600 }, (_, i) => leafOf(i, i % 3 === 0 ? [tag(`${i}`)] : []))

async function checkpointOf(list: readonly Uint8Array[]): Promise<Checkpoint> {
  return { origin: 'log.example', size: list.length, root: await rootOfLeafHashes(await Promise.all(list.map(leafHash))) }
}

/** A log that serves exactly the tree of `list`, and what was asked of it. */
function serve(list: readonly Uint8Array[], asked: string[] = []): FetchEntries {
  const resources = new Map<string, Uint8Array>()
  for (let index = 0; index * 256 < list.length; index++) {
    const entries = list.slice(index * 256, (index + 1) * 256)
    resources.set(`${PREFIX}/${encodeTilePath({ kind: 'entries', index, width: entries.length })}`, encodeEntryBundle(entries))
  }
  return async (url) => {
    asked.push(url.slice(PREFIX.length + 1))
    return resources.get(url) ?? null
  }
}

/** A watch whose log may change its mind. */
function watching(first: FetchEntries): { readonly watch: TagWatch; readonly set: (next: FetchEntries) => void } {
  let fetch = first
  const set = (next: FetchEntries): void => {
    fetch = next
  }
  return { watch: new TagWatch(PREFIX, (url) => fetch(url)), set }
}

describe('a watch on the tags of a log', () => {
  it('reads the leaves of each new tree once, and finds that they fit', async () => {
    const asked: string[] = []
    const { watch, set } = watching(serve(leaves.slice(0, 10), asked))
    expect(await watch.read(await checkpointOf(leaves.slice(0, 10)))).toEqual({ kind: 'fits' })
    expect(await watch.read(await checkpointOf(leaves.slice(0, 10)))).toEqual({ kind: 'fits' })
    set(serve(leaves, asked))
    expect(await watch.read(await checkpointOf(leaves))).toEqual({ kind: 'fits' })
    expect(asked).toEqual(['tile/entries/000.p/10', 'tile/entries/000', 'tile/entries/001', 'tile/entries/002.p/88'])
  })

  it('takes the full bundle where the partial one has gone', async () => {
    const { watch } = watching(serve(leaves.slice(0, 256)))
    expect(await watch.read(await checkpointOf(leaves.slice(0, 200)))).toEqual({ kind: 'fits' })
  })

  it.each([
    ['in one tree', 0],
    ['between an old tree and a new one', 300],
  ])('does not let a tag stand twice, %s', async (_what, seen) => {
    const twice = [...leaves.slice(0, 400), leafOf(400, [tag('6')])]
    const { watch, set } = watching(serve(leaves.slice(0, seen)))
    if (seen > 0) expect(await watch.read(await checkpointOf(leaves.slice(0, seen)))).toEqual({ kind: 'fits' })
    set(serve(twice))
    const reading = await watch.read(await checkpointOf(twice))
    expect(reading).toEqual({ kind: 'repeats', why: 'entry 400 uses the slot of entry 6 a second time' })
    expect(await watch.read(await checkpointOf(twice))).toEqual(reading)
  })

  it('believes no leaves that are not those of the checkpoint: the second use cannot be hidden from it', async () => {
    const twice = [...leaves.slice(0, 400), leafOf(400, [tag('6')])]
    const hidden = [...leaves.slice(0, 400), leafOf(400, [])]
    const { watch, set } = watching(serve(hidden))
    expect(await watch.read(await checkpointOf(twice))).toMatchObject({ kind: 'unread' })
    set(serve(twice))
    expect(await watch.read(await checkpointOf(twice))).toMatchObject({ kind: 'repeats' })
  })

  it.each<[string, FetchEntries]>([
    ['is not reached', () => Promise.reject(new Error('refused'))],
    ['hands out nothing', () => Promise.resolve(null)],
    ['hands out noise', () => Promise.resolve(utf8('noise'))],
    ['hands out too few', (url) => Promise.resolve(url === '' ? null : encodeEntryBundle(leaves.slice(0, 3)))],
    ['hands out leaves of another kind', () => Promise.resolve(encodeEntryBundle(Array.from({ length: 10 }, () => utf8('{}'))))],
  ])('waits for a log that %s, and goes on when it can be read', async (_what, broken) => {
    const { watch, set } = watching(broken)
    const checkpoint = await checkpointOf(leaves.slice(0, 10))
    expect(await watch.read(checkpoint)).toMatchObject({ kind: 'unread' })
    set(serve(leaves.slice(0, 10)))
    expect(await watch.read(checkpoint)).toEqual({ kind: 'fits' })
  })

  it('reads a smaller tree from its beginning', async () => {
    const { watch, set } = watching(serve(leaves.slice(0, 20)))
    await watch.read(await checkpointOf(leaves.slice(0, 20)))
    set(serve(leaves.slice(0, 10)))
    expect(await watch.read(await checkpointOf(leaves.slice(0, 10)))).toEqual({ kind: 'fits' })
  })
})

describe('a witness that reads the leaves of a log', () => {
  it('cosigns a tree whose leaves fit, none in which a slot is used twice, and none that it cannot read', async () => {
    const signer = noteSigner('log.example')
    const now = (): number => 1_780_000_000_000
    const witness = await TestWitness.make('w1.example', [{ origin: 'log.example', key: await logKeyOf(signer), tiles: PREFIX }], now)
    let fetch: FetchEntries = () => Promise.reject(new Error('not there yet'))
    const logger = pino({ level: 'silent' })
    const running = await startWitness({ folder: witness.folder, now, logger, fetch: (url) => fetch(url) })
    const ask = async (oldSize: number, list: readonly Uint8Array[]): Promise<WitnessAnswer> => {
      const { read } = await storeTree(await Promise.all(list.map(leafHash)))
      const note = await signCheckpoint({ origin: 'log.example', size: list.length, root: await rootAt(list.length, read) }, signer)
      return post(running.address, encodeAddCheckpoint({ oldSize, proof: await consistencyProof(oldSize, list.length, read), note }))
    }
    expect(await ask(0, leaves.slice(0, 10))).toMatchObject({ status: 503 })
    fetch = serve(leaves.slice(0, 10))
    expect(await ask(0, leaves.slice(0, 10))).toMatchObject({ status: 200 })
    const twice = [...leaves.slice(0, 10), leafOf(10, [tag('3')])]
    fetch = serve(twice)
    expect(await ask(10, twice)).toMatchObject({ status: 403, text: 'entry 10 uses the slot of entry 3 a second time\n' })
    expect(await ask(0, twice)).toMatchObject({ status: 409, text: '10\n' })
    await running.close()
    await witness.end()
  })
})
