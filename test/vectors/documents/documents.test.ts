import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { fromBase64Url, fromUtf8, toBase64Url, toHex, u32be, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { crypto } from '../../../src/verify/crypto/node.ts'
import { parseTrustFile } from '../../../src/verify/documents/trust.ts'
import { encodeCanonical, type Json, parseCanonical } from '../../../src/verify/formats/canonical-json.ts'
import { verifyFlattenedJws, verifyGeneralJws } from '../../../src/verify/formats/jws.ts'
import { succeed, verifyReceiptFile, verifySuccession } from '../../../src/verify/receipt/index.ts'
import { verifyCheckpoint, verifyConsistency, verifyInclusion } from '../../../src/verify/tlog/index.ts'
import { generate, type Vector } from './generate.ts'

const here = new URL('./', import.meta.url)
const pages = new URL('../../../docs/formats/', import.meta.url)
const generated = await generate()

interface Case {
  readonly id: string
  readonly source: string
  readonly kind: 'synthetic'
  readonly expect: { readonly [name: string]: unknown }
}

const caseOf = ({ id, page, expect: wanted }: Vector): Case => ({ id, source: `docs/formats/${page}`, kind: 'synthetic', expect: wanted })

/** `UPDATE_VECTORS=1 npx vitest run --project vectors test/vectors/documents` writes them anew. */
if (process.env.UPDATE_VECTORS === '1') {
  for (const vector of generated) {
    const folder = new URL(`${vector.id}/`, here)
    mkdirSync(folder, { recursive: true })
    writeFileSync(new URL('case.json', folder), `${JSON.stringify(caseOf(vector), null, 2)}\n`)
    for (const [name, bytes] of Object.entries(vector.files)) writeFileSync(new URL(name, folder), bytes)
  }
}

const read = (id: string, name: string): Uint8Array => new Uint8Array(readFileSync(new URL(`${id}/${name}`, here)))
const loadCase = (id: string): Case => JSON.parse(fromUtf8(read(id, 'case.json'))) as Case
const folders = readdirSync(here, { withFileTypes: true })
  .filter((e) => e.isDirectory())
  .map((e) => e.name)
  .sort()

it('there is a folder for every vector, and no other', () => {
  expect(folders).toEqual(generated.map((v) => v.id))
})

describe.each(generated)('$id', (vector) => {
  it('is what the generator makes, byte for byte', () => {
    expect(loadCase(vector.id)).toEqual(caseOf(vector))
    expect(readdirSync(new URL(`${vector.id}/`, here)).sort()).toEqual(['case.json', ...Object.keys(vector.files)].sort())
    for (const [name, bytes] of Object.entries(vector.files)) expect(toHex(read(vector.id, name)), name).toBe(toHex(bytes))
  })

  it('stands in its page with the values that it has here', () => {
    const page = new URL(vector.page, pages)
    expect(existsSync(page), vector.page).toBe(true)
    const text = readFileSync(page, 'utf8')
    expect(text).toContain(vector.id)
    for (const value of Object.values(vector.expect)) if (typeof value === 'string') expect(text).toContain(value)
  })

  it('holds nothing but canonical JSON', () => {
    for (const name of Object.keys(vector.files).filter((n) => n.endsWith('.json'))) parseCanonical(read(vector.id, name), 1 << 24)
  })
})

/** The committed files alone, as a reader in another language would use them. */
describe('the files', () => {
  const withFile = (name: string): string[] => folders.filter((f) => existsSync(new URL(`${f}/${name}`, here)))
  const strings = (id: string): Record<string, string> => loadCase(id).expect as Record<string, string>

  it.each(withFile('payload.golden.json'))('%s have the digest of their payload', async (id) => {
    expect(toBase64Url(await crypto.digest('SHA-256', read(id, 'payload.golden.json')))).toBe(strings(id).digest)
  })

  it.each(withFile('payload.golden.json').filter((id) => withFile('jws.golden.json').includes(id)))(
    '%s verify as signed documents',
    async (id) => {
      const { typ, digest, signer } = strings(id)
      const verified = await verifyFlattenedJws(read(id, 'jws.golden.json'), typ ?? '', id)
      expect(verified.payload).toEqual(read(id, 'payload.golden.json'))
      expect(verified.digest).toBe(digest)
      expect(verified.signers.map((s) => s.thumbprint)).toEqual([signer])
    },
  )

  it('030-device-nonce follows from the binding, whatever devices it names', async () => {
    const { devices, ...rest } = parseCanonical(read('030-device-nonce', 'binding.golden.json'), 1 << 16, 'binding') as { devices: Json[] }
    const bare = createHash('sha256')
      .update(encodeCanonical({ ...rest, devices: [] }))
      .digest()
    const nonces = devices.map((_, i) => createHash('sha256').update('sealgate/gpu/v1').update(bare).update(u32be(i)).digest('base64url'))
    expect(strings('030-device-nonce')).toEqual({ nonce0: nonces[0], nonce1: nonces[1] })
  })

  it('027-receipt verifies with both signatures over 026-statement', async () => {
    const { typ, signers } = loadCase('027-receipt').expect as { typ: string; signers: string[] }
    const verified = await verifyGeneralJws(read('027-receipt', 'jws.golden.json'), typ, 'receipt')
    expect(verified.payload).toEqual(read('026-statement', 'payload.golden.json'))
    expect(verified.signers.map((s) => s.thumbprint)).toEqual(signers)
  })

  it('022-checkpoint and 023-witnessed-checkpoint verify at their times', async () => {
    const log = loadCase('022-checkpoint').expect as { key: string; origin: string; size: number; root: string; time: number }
    const trust = { origin: log.origin, key: log.key, witnessing: { mode: 'none' } } as const
    const checkpoint = await verifyCheckpoint(fromUtf8(read('022-checkpoint', 'note.txt')), trust)
    expect(checkpoint).toEqual({ provenBy: null, origin: log.origin, size: log.size, root: fromBase64Url(log.root), time: log.time })
    const { witnesses, k, time } = loadCase('023-witnessed-checkpoint').expect as { witnesses: string[]; k: number; time: number }
    const quorum = { ...trust, witnessing: { mode: 'quorum', k, keys: witnesses } } as const
    expect((await verifyCheckpoint(fromUtf8(read('023-witnessed-checkpoint', 'note.txt')), quorum)).time).toBe(time)
  })

  it('024-inclusion and 025-consistency verify', async () => {
    const inclusion = loadCase('024-inclusion').expect as { leafHash: string; index: number; size: number; root: string; proof: string[] }
    const { index, size } = inclusion
    await verifyInclusion({
      leafHash: fromBase64Url(inclusion.leafHash),
      index,
      size,
      root: fromBase64Url(inclusion.root),
      proof: inclusion.proof.map(fromBase64Url),
    })
    const c = loadCase('025-consistency').expect as { oldSize: number; oldRoot: string; newSize: number; newRoot: string; proof: string[] }
    await verifyConsistency({
      ...c,
      oldRoot: fromBase64Url(c.oldRoot),
      newRoot: fromBase64Url(c.newRoot),
      proof: c.proof.map(fromBase64Url),
    })
  })

  it('050-succession turns the trust file of 028b into that of 050b, under which 029b-receipt-file-ml-dsa is refused: it has no witnesses', async () => {
    const verified = await verifySuccession(read('050-succession', 'succession.golden.json'))
    const trust = parseTrustFile(read('050b-trust-file-retired', 'trust.golden.json'))
    expect(succeed(parseTrustFile(read('028b-trust-file-ml-dsa', 'trust.golden.json')), verified)).toEqual(trust)
    const verdict = await verifyReceiptFile(read('029b-receipt-file-ml-dsa', 'receipt.golden.json'), { trust })
    expect(verdict).toMatchObject({ decision: 'reject', error: { code: 'KEY_RETIRED' } })
  })

  it('029-receipt-file is accepted under its trust file, for ever', async () => {
    const trust = parseTrustFile(read('029-receipt-file', 'trust.golden.json'))
    const verdict = await verifyReceiptFile(read('029-receipt-file', 'receipt.golden.json'), { trust })
    expect(verdict).toMatchObject({ decision: 'accept', claims: { simulated: true, releasedAt: strings('029-receipt-file').releasedAt } })
  })

  it.each(withFile('event.golden.json'))('%s is accepted under the trust file of 028, for ever', async (id) => {
    const trust = parseTrustFile(read('028-trust-file', 'trust.golden.json'))
    expect(await verifyReceiptFile(read(id, 'event.golden.json'), { trust })).toMatchObject({ decision: 'accept' })
  })

  it('027b-receipt-ml-dsa verifies with its third signature over the same statement', async () => {
    const { typ, signers, mlDsa } = loadCase('027b-receipt-ml-dsa').expect as { typ: string; signers: string[]; mlDsa: string }
    const verified = await verifyGeneralJws(read('027b-receipt-ml-dsa', 'jws.golden.json'), typ, 'receipt')
    expect(verified.payload).toEqual(read('026-statement', 'payload.golden.json'))
    expect(verified.signers.map((s) => s.thumbprint)).toEqual(signers)
    expect(verified.mlDsa?.thumbprint).toBe(mlDsa)
  })

  it('029b-receipt-file-ml-dsa is accepted under both trust files, 029-receipt-file under the one without the key alone', async () => {
    const [bare, demanding] = ['028-trust-file', '028b-trust-file-ml-dsa'].map((id) => parseTrustFile(read(id, 'trust.golden.json')))
    const judge = async (id: string, trust = bare) => verifyReceiptFile(read(id, 'receipt.golden.json'), { trust: trust ?? null })
    const { mlDsa: signer } = strings('029b-receipt-file-ml-dsa')
    const claimed = (trusted: boolean) => ({ decision: 'accept', claims: { mlDsa: { signer, trusted } } })
    expect(await judge('029b-receipt-file-ml-dsa', demanding)).toMatchObject(claimed(true))
    expect(await judge('029b-receipt-file-ml-dsa', bare)).toMatchObject(claimed(false))
    expect(await judge('029-receipt-file', demanding)).toMatchObject({ decision: 'reject', error: { code: 'RECEIPT_INCONSISTENT' } })
  })

  it('tell other languages the same hash of the same bytes', async () => {
    const { sha256 } = strings('001-canonical-json')
    expect(toHex(await crypto.digest('SHA-256', read('001-canonical-json', 'value.golden.json')))).toBe(sha256)
    expect(utf8(fromUtf8(read('001-canonical-json', 'value.golden.json')))).toEqual(read('001-canonical-json', 'value.golden.json'))
  })
})
