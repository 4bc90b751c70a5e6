import { describe, expect, it } from 'vitest'
import { cosign, signCheckpoint } from '../../../../src/seal/note.ts'
import { toBase64Url, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { commitmentOf, encodeLeaf, type Leaf } from '../../../../src/verify/documents/leaf.ts'
import {
  encodeVerifierKey,
  entryFromJson,
  entryToJson,
  inclusionProof,
  type LoggedEntry,
  leafHash,
  NOTE_ED25519,
  rootAt,
  verifyEntry,
} from '../../../../src/verify/tlog/index.ts'
import { defined } from '../../../support/defined.ts'
import { noteSigner, testBytes } from '../../../support/keys.ts'
import { storeTree } from '../../../support/log.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const ORIGIN = 'log.example/test'
const log = noteSigner(ORIGIN)
const policy = {
  log: { origin: ORIGIN, key: await encodeVerifierKey({ name: ORIGIN, type: NOTE_ED25519, publicKey: log.publicKey }) },
  witnessing: { mode: 'none' },
} as const

const openings = Array.from({ length: 11 }, (_, i) => utf8(`signed document ${i}`))
const salts = openings.map((_, i) => testBytes(`salt ${i}`, 32))
const leaves = await Promise.all(openings.map(async (o, i) => encodeLeaf(await leafOf(defined(salts[i]), o))))
const tree = await storeTree(await Promise.all(leaves.map(leafHash)))

async function leafOf(salt: Uint8Array, opening: Uint8Array): Promise<Leaf> {
  return { v: 1, type: 'onboard', commitment: await commitmentOf(salt, opening), tags: [], ends: [], deadline: null }
}

async function entryAt(index: number, size = leaves.length): Promise<LoggedEntry & { opening: Uint8Array }> {
  const checkpoint = { origin: ORIGIN, size, root: await rootAt(size, tree.read) }
  return {
    leaf: defined(leaves[index]),
    salt: defined(salts[index]),
    opening: defined(openings[index]),
    index,
    proof: await inclusionProof(index, size, tree.read),
    checkpoint: await cosign(await signCheckpoint(checkpoint, log), log, 1_780_000_000),
  }
}

describe('logged entry', () => {
  it('is verified: opening, leaf, inclusion, checkpoint', async () => {
    const entry = await verifyEntry(await entryAt(4), policy)
    expect(entry.leafHash).toBe(toBase64Url(await leafHash(defined(leaves[4]))))
    expect(entry.index).toBe(4)
    expect(entry.checkpoint.size).toBe(11)
    expect(entry.checkpoint.time).toBe(1_780_000_000)
    expect(entry.leaf.type).toBe('onboard')
  })

  it('survives its JSON form', async () => {
    const { opening, ...entry } = await entryAt(4)
    expect(entryFromJson(entryToJson(entry))).toEqual(entry)
    expect(await outcomeOf(() => verifyEntry({ ...entryFromJson(entryToJson(entry)), opening }, policy))).toBe('accepted')
  })

  it('rejects no proof, the proof of another entry and the proof of another tree', async () => {
    const good = await entryAt(4)
    for (const proof of [[], (await entryAt(5)).proof, (await entryAt(4, 7)).proof]) {
      expect(await outcomeOf(() => verifyEntry({ ...good, proof }, policy))).toBe('LOG_PROOF_INVALID')
    }
  })

  it('rejects another document, another salt and a salt of another length', async () => {
    const good = await entryAt(4)
    const changes = [{ opening: defined(openings[5]) }, { salt: defined(salts[5]) }, { salt: good.salt.slice(1) }]
    for (const change of changes) expect(await outcomeOf(() => verifyEntry({ ...good, ...change }, policy))).toBe('LOG_PROOF_INVALID')
  })

  it('rejects a leaf that was never logged, though it commits to the document', async () => {
    const good = await entryAt(4)
    const leaf = encodeLeaf({ ...(await leafOf(good.salt, good.opening)), type: 'release' })
    expect(await outcomeOf(() => verifyEntry({ ...good, leaf }, policy))).toBe('LOG_PROOF_INVALID')
  })

  it('rejects a leaf in a second spelling', async () => {
    const good = await entryAt(4)
    const leaf = utf8(JSON.stringify(JSON.parse(new TextDecoder().decode(good.leaf)), null, 1))
    expect(await outcomeOf(() => verifyEntry({ ...good, leaf }, policy))).toBe('JSON_NOT_CANONICAL')
  })

  it('rejects the checkpoint of another log', async () => {
    const key = await encodeVerifierKey({ name: ORIGIN, type: NOTE_ED25519, publicKey: noteSigner('other').publicKey })
    const other = { ...policy, log: { origin: ORIGIN, key } }
    expect(await outcomeOf(async () => verifyEntry(await entryAt(4), other))).toBe('LOG_CHECKPOINT_INVALID')
  })

  it('rejects an older checkpoint that does not hold the entry yet', async () => {
    const good = await entryAt(9)
    const { checkpoint } = await entryAt(4, 8)
    expect(await outcomeOf(() => verifyEntry({ ...good, checkpoint }, policy))).toBe('LOG_PROOF_INVALID')
  })

  it('rejects every changed bit of the salt', async () => {
    const good = await entryAt(0)
    for (let bit = 0; bit < 256; bit++) {
      const salt = good.salt.map((b, i) => (i === bit >> 3 ? b ^ (1 << (bit & 7)) : b))
      expect(await outcomeOf(() => verifyEntry({ ...good, salt }, policy))).toBe('LOG_PROOF_INVALID')
    }
  })
})
