import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, toHex, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import {
  consistencyNodes,
  consistencyProof,
  encodeEntryBundle,
  encodeHashTile,
  encodeTilePath,
  inclusionNodes,
  inclusionProof,
  leafHash,
  parseEntryBundle,
  parseHashTile,
  parseTilePath,
  readEntryBundle,
  rootAt,
  type Tile,
  type TileSource,
  tileNodeReader,
  tileOfNode,
  tilesOfNodes,
  verifyInclusion,
} from '../../../../src/verify/tlog/index.ts'
import { defined } from '../../../support/defined.ts'
import { storeTree } from '../../../support/log.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { tileServer } from '../../../support/tiles.ts'
import { referenceRoot } from './support.ts'

const leavesOf = (size: number): Uint8Array[] => Array.from({ length: size }, (_, i) => utf8(`leaf ${i}`))
const MAX_INDEX = 2 ** 45 - 2

const anyTile: fc.Arbitrary<Tile> = fc.oneof(
  fc.record({
    kind: fc.constant('hashes' as const),
    level: fc.integer({ min: 0, max: 63 }),
    index: fc.maxSafeNat().map((n) => n % (MAX_INDEX + 1)),
    width: fc.integer({ min: 1, max: 256 }),
  }),
  fc.record({
    kind: fc.constant('entries' as const),
    index: fc.nat({ max: 2_000_000 }),
    width: fc.integer({ min: 1, max: 256 }),
  }),
)

describe('paths of tiles', () => {
  it.each<[Tile, string]>([
    [{ kind: 'hashes', level: 0, index: 0, width: 256 }, 'tile/0/000'],
    [{ kind: 'hashes', level: 0, index: 1234067, width: 256 }, 'tile/0/x001/x234/067'],
    [{ kind: 'hashes', level: 1, index: 999, width: 17 }, 'tile/1/999.p/17'],
    [{ kind: 'hashes', level: 63, index: 1000, width: 255 }, 'tile/63/x001/000.p/255'],
    [{ kind: 'entries', index: 273, width: 112 }, 'tile/entries/273.p/112'],
    [{ kind: 'entries', index: MAX_INDEX, width: 256 }, 'tile/entries/x035/x184/x372/x088/830'],
  ])('%o is %s', (tile, path) => {
    expect(encodeTilePath(tile)).toBe(path)
    expect(parseTilePath(path)).toEqual(tile)
  })

  it('come back from what was written, whatever the tile', () => {
    fc.assert(
      fc.property(anyTile, (tile) => {
        expect(parseTilePath(encodeTilePath(tile))).toEqual(tile)
      }),
    )
  })

  it.each([
    '',
    '/tile/0/000',
    'tile/0/000/',
    'tile/00/000',
    'tile/64/000',
    'tile/-1/000',
    'tile/0/0',
    'tile/0/0000',
    'tile/0/x000/001',
    'tile/0/001/002',
    'tile/0/x001',
    'tile/0/X001/002',
    'tile/0/000.p/0',
    'tile/0/000.p/256',
    'tile/0/000.p/01',
    'tile/0/000.p/',
    'tile/0/000.P/1',
    'tile/0/../000',
    'tile/0/%30%30%30',
    'tile/entries/000?x=1',
    'tile/entry/000',
    'tile/0/000\n',
    'tile/0/٠٠٠',
    `tile/0/${'x001/'.repeat(9)}000`,
    'tile/0/x035/x184/x372/x088/831',
    'checkpoint',
  ])('have one spelling: %j is refused', async (path) => {
    expect(await outcomeOf(() => parseTilePath(path))).toBe('TILE_MALFORMED')
  })

  it('yield a tile or TILE_MALFORMED, whatever the text, and only in the spelling that is written', async () => {
    const near = fc.tuple(anyTile, fc.nat(80), fc.string({ maxLength: 2 })).map(([tile, at, text]) => {
      const path = encodeTilePath(tile)
      return path.slice(0, at) + text + path.slice(at + 1)
    })
    await fc.assert(
      fc.asyncProperty(fc.oneof(near, fc.string({ maxLength: 80 })), async (path) => {
        const outcome = await outcomeOf(() => parseTilePath(path))
        if (outcome === 'accepted') expect(encodeTilePath(parseTilePath(path))).toBe(path)
        else expect(outcome).toBe('TILE_MALFORMED')
      }),
    )
  })

  it.each<[string, Tile]>([
    ['no hashes', { kind: 'hashes', level: 0, index: 0, width: 0 }],
    ['too many hashes', { kind: 'hashes', level: 0, index: 0, width: 257 }],
    ['a level beyond the highest', { kind: 'hashes', level: 64, index: 0, width: 1 }],
    ['a negative index', { kind: 'entries', index: -1, width: 1 }],
    ['entries beyond 2^53', { kind: 'entries', index: MAX_INDEX + 1, width: 1 }],
    ['a broken index', { kind: 'entries', index: 0.5, width: 1 }],
  ])('are not written for %s', async (_, tile) => {
    expect(await outcomeOf(() => encodeTilePath(tile))).toBe('TILE_MALFORMED')
  })
})

describe('hash tiles', () => {
  const hash = fc.uint8Array({ minLength: 32, maxLength: 32 })

  it('come back from what was written', () => {
    fc.assert(
      fc.property(fc.array(hash, { minLength: 1, maxLength: 256 }), (hashes) => {
        expect(parseHashTile(encodeHashTile(hashes), hashes.length).map(toHex)).toEqual(hashes.map(toHex))
      }),
      { numRuns: 30 },
    )
  })

  it('have exactly the size of their width', async () => {
    for (const [size, width] of [
      [0, 0],
      [31, 1],
      [33, 1],
      [64, 1],
      [32, 2],
      [8192, 255],
      [8224, 257],
    ] as const)
      expect(await outcomeOf(() => parseHashTile(new Uint8Array(size), width))).toBe('TILE_MALFORMED')
    expect(await outcomeOf(() => encodeHashTile([]))).toBe('TILE_MALFORMED')
    expect(await outcomeOf(() => encodeHashTile([new Uint8Array(31)]))).toBe('TILE_MALFORMED')
  })
})

describe('entry bundles', () => {
  const entries = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 256 })

  it('are entries behind their lengths', () => {
    expect(toHex(encodeEntryBundle([Uint8Array.of(1, 2, 3), new Uint8Array(0), new Uint8Array(258)]))).toBe(
      `00030102030000${'0102'}${'00'.repeat(258)}`,
    )
  })

  it('come back from what was written, and from nothing shorter or longer', async () => {
    await fc.assert(
      fc.asyncProperty(entries, fc.nat(), async (list, pick) => {
        const bundle = encodeEntryBundle(list)
        expect(parseEntryBundle(bundle, list.length).map(toHex)).toEqual(list.map(toHex))
        const bad = [
          () => parseEntryBundle(bundle.slice(0, pick % bundle.length), list.length),
          () => parseEntryBundle(concat(bundle, Uint8Array.of(0)), list.length),
          () => parseEntryBundle(concat(bundle, Uint8Array.of(0, 0)), list.length),
          () => parseEntryBundle(bundle, list.length - 1),
          () => parseEntryBundle(bundle, list.length + 1),
        ]
        for (const parse of bad) expect(await outcomeOf(parse)).toBe('TILE_MALFORMED')
      }),
      { numRuns: 50 },
    )
  })

  it('have one spelling: whatever bytes are read are those that would be written', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 0, max: 4 }), async (bytes, width) => {
        const outcome = await outcomeOf(() => parseEntryBundle(bytes, width))
        if (outcome === 'accepted') expect(toHex(encodeEntryBundle(parseEntryBundle(bytes, width)))).toBe(toHex(bytes))
        else expect(outcome).toBe('TILE_MALFORMED')
      }),
    )
  })

  it('take entries of 65535 bytes and no more', async () => {
    const [longest] = parseEntryBundle(encodeEntryBundle([new Uint8Array(65_535)]), 1)
    expect(longest).toHaveLength(65_535)
    expect(await outcomeOf(() => encodeEntryBundle([new Uint8Array(65_536)]))).toBe('TILE_MALFORMED')
  })
})

describe('a tree read from tiles', () => {
  it('is served by the tiles of the specification: 70,000 leaves', () => {
    const paths = (level: number, index: number): string => encodeTilePath(tileOfNode({ level, index }, 70_000))
    expect(paths(0, 69_999)).toBe('tile/0/273.p/112')
    expect(paths(7, 545)).toBe('tile/0/272')
    expect(paths(8, 0)).toBe('tile/1/000')
    expect(paths(8, 272)).toBe('tile/1/001.p/17')
    expect(paths(16, 0)).toBe('tile/2/000.p/1')
    expect(encodeTilePath(tileOfNode({ level: 8, index: 0 }, 256))).toBe('tile/1/000.p/1')
  })

  it('gives the same roots and proofs as the stored nodes, for every kind of edge', async () => {
    const leaves = leavesOf(66_000)
    const { read } = await storeTree(await Promise.all(leaves.map(leafHash)))
    const { fetch } = await tileServer(leaves)
    for (const size of [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 66_000]) {
      const tiles = tileNodeReader(size, fetch)
      expect(toHex(await rootAt(size, tiles))).toBe(toHex(await rootAt(size, read)))
      for (const at of [0, size >> 1, size - 1]) {
        expect((await inclusionProof(at, size, tiles)).map(toHex)).toEqual((await inclusionProof(at, size, read)).map(toHex))
        expect((await consistencyProof(at, size, tiles)).map(toHex)).toEqual((await consistencyProof(at, size, read)).map(toHex))
      }
    }
  }, 60_000)

  it('has the root that the recursive definition gives, for every size up to 300', async () => {
    const leaves = leavesOf(300)
    const { fetch } = await tileServer(leaves)
    for (let size = 1; size <= leaves.length; size += 7)
      expect(toHex(await rootAt(size, tileNodeReader(size, fetch)))).toBe(toHex(referenceRoot(leaves.slice(0, size))))
  })

  it('fetches exactly the tiles that the proof is said to need, each once', async () => {
    const leaves = leavesOf(1500)
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 1500 }), fc.nat(), async (size, pick) => {
        const { fetch, fetched } = await tileServer(leaves)
        const index = pick % size
        await inclusionProof(index, size, tileNodeReader(size, fetch))
        expect([...fetched].sort()).toEqual(tilesOfNodes(inclusionNodes(index, size), size).map(encodeTilePath).sort())
        fetched.length = 0
        await consistencyProof(index, size, tileNodeReader(size, fetch))
        expect([...fetched].sort()).toEqual(tilesOfNodes(consistencyNodes(index, size), size).map(encodeTilePath).sort())
        expect(new Set(fetched).size).toBe(fetched.length)
      }),
      { numRuns: 25 },
    )
  })

  it('falls back to the full tile where the partial one is gone', async () => {
    const { fetch, fetched } = await tileServer(leavesOf(600))
    const pruned: TileSource = async (path) => (path.includes('.p/') && !path.startsWith('tile/1/') ? null : fetch(path))
    const [fallen, exact] = [await rootAt(300, tileNodeReader(300, pruned)), await rootAt(300, tileNodeReader(300, fetch))]
    expect(toHex(fallen)).toBe(toHex(exact))
    expect(fetched).toContain('tile/0/001')
    expect(await readEntryBundle(1, 300, pruned)).toEqual(leavesOf(300).slice(256))
  })

  it('proves nothing with a tile in which any one hash is another', async () => {
    const leaves = leavesOf(700)
    const { fetch } = await tileServer(leaves)
    const [size, index] = [700, 300]
    const root = await rootAt(size, tileNodeReader(size, fetch))
    const hash = await leafHash(defined(leaves[index]))
    for (const victim of tilesOfNodes(inclusionNodes(index, size), size)) {
      for (const at of [0, victim.width >> 1, victim.width - 1]) {
        const lying: TileSource = async (path) => {
          const bytes = await fetch(path)
          if (bytes === null || path !== encodeTilePath(victim)) return bytes
          return bytes.map((byte, i) => (i === at * 32 ? byte ^ 1 : byte))
        }
        const proof = await inclusionProof(index, size, tileNodeReader(size, lying))
        const genuine = await inclusionProof(index, size, tileNodeReader(size, fetch))
        // Some hashes of a tile belong to no node of this proof, among them the leaf itself.
        const changed = proof.some((h, i) => toHex(h) !== toHex(defined(genuine[i])))
        expect(await outcomeOf(() => verifyInclusion({ leafHash: hash, index, size, root, proof }))).toBe(
          changed ? 'LOG_PROOF_INVALID' : 'accepted',
        )
      }
    }
  })

  it('reports tiles that are not served, cut or too long', async () => {
    const { fetch } = await tileServer(leavesOf(300))
    const read = (change: (bytes: Uint8Array) => Uint8Array | null) => (): Promise<Uint8Array> =>
      rootAt(
        300,
        tileNodeReader(300, async (path) => change((await fetch(path)) ?? new Uint8Array(0))),
      )
    expect(await outcomeOf(read(() => null))).toBe('NOT_FOUND')
    expect(await outcomeOf(read((bytes) => bytes.slice(1)))).toBe('TILE_MALFORMED')
    expect(await outcomeOf(read((bytes) => concat(bytes, bytes)))).toBe('TILE_MALFORMED')
    expect(await outcomeOf(() => readEntryBundle(2, 300, fetch))).toBe('NOT_FOUND')
    expect(await outcomeOf(() => tileOfNode({ level: 2, index: 75 }, 300))).toBe('NOT_FOUND')
  })
})
