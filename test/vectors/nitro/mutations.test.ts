import { afterAll, describe, expect, it } from 'vitest'
import { concat, fromHex } from '../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { decodeCbor } from '../../../src/verify/formats/cbor.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { cbor, entries, type Writable } from '../../support/cbor-writer.ts'
import { nitroDocument, pcrValue } from '../../support/nitro.ts'
import { readManifest, readVector, vectorsFolder } from '../../support/vectors.ts'

interface Base {
  readonly id: string
  readonly evidence_files: { readonly document: string }
  readonly verify_at: string
  readonly expected: { readonly parsed: { readonly nonce: string } }
}

interface Recipes {
  readonly id: string
  readonly base: string
  readonly recipes: readonly { readonly op: string; readonly expected?: string }[]
}

interface Asked {
  readonly document: Uint8Array
  readonly at: Date
  readonly nonce?: Uint8Array
}

const folder = vectorsFolder('nitro')
const cache = createVerifyCache()

function look({ document, at, nonce }: Asked): Promise<EvidenceVerdict> {
  return verifyEvidence(document, {
    collateral: [],
    trustAnchors: [],
    at,
    allowUnknown: [],
    cache,
    ...(nonce === undefined ? {} : { nonce }),
  })
}

describe.skipIf(folder === null)('changes to a real Nitro document', () => {
  const all = folder === null ? [] : readManifest<readonly (Base | Recipes)[]>(folder)
  const list = all.find((c): c is Recipes => 'recipes' in c)
  const base = all.find((c): c is Base => c.id === list?.base && 'verify_at' in c)
  if (list === undefined || base === undefined) return
  const document = readVector(folder ?? '', base.evidence_files.document)
  const at = new Date(base.verify_at)
  const decode = (bytes: Uint8Array): unknown => decodeCbor(bytes, 'x', { maxSize: bytes.length, indefiniteMaps: true })
  const [head, unprotected, payload, signature] = decode(document) as [Uint8Array, Writable, Uint8Array, Uint8Array]
  const members = decode(payload) as Map<string, Writable>
  const bundle = members.get('cabundle') as readonly Uint8Array[]
  const rebuilt = (changed: Uint8Array): Uint8Array => cbor([head, unprotected, changed, signature])
  const withMember = (name: string, value: Writable): Uint8Array => rebuilt(cbor(new Map([...members, [name, value]])))
  const flipped = (bytes: Uint8Array, bit: number): Uint8Array => bytes.map((b, i) => (i === bit >> 3 ? b ^ (1 << (bit & 7)) : b))
  const nonce = fromHex(base.expected.parsed.nonce)
  let refused = 0
  let flips = 0
  afterAll(() =>
    console.log(`Nitro: ${refused} of ${list.recipes.length} recipes refused, the tagged one accepted; ${flips} single-bit flips refused`),
  )

  const changes: Readonly<Record<string, () => Asked | Promise<Asked>>> = {
    'flip one bit in payload': () => ({ document: rebuilt(flipped(payload, 8 * 200)), at }),
    'flip one bit in signature': () => ({ document: cbor([head, unprotected, payload, flipped(signature, 9)]), at }),
    'replace protected header {1:-35} by {1:-7}': () => ({
      document: cbor([cbor(new Map([[1, -7]])), unprotected, payload, signature]),
      at,
    }),
    'put alg in the unprotected header': () => ({ document: cbor([cbor(new Map()), new Map([[1, -35]]), payload, signature]), at }),
    'reverse cabundle': () => ({ document: withMember('cabundle', [...bundle].reverse()), at }),
    'replace cabundle[0] by a self-made root and re-sign': async () => ({
      document: (await nitroDocument()).document,
      at: new Date('2026-06-15T12:00:00Z'),
    }),
    'drop cabundle[1]': () => ({
      document: withMember(
        'cabundle',
        bundle.filter((_, i) => i !== 1),
      ),
      at,
    }),
    'verify_at = leaf notAfter + 1 s': () => ({ document, at: new Date(at.getTime() + 4 * 3600_000) }),
    'append one byte after the COSE array': () => ({ document: concat(document, Uint8Array.of(0)), at }),
    'duplicate a map key (pcrs twice) in the payload': () => ({
      document: rebuilt(concat(Uint8Array.of(0xa0 + members.size + 1), entries(members), cbor('pcrs'), cbor(members.get('pcrs') ?? null))),
      at,
    }),
    'PCR of 32 bytes while digest=SHA384': () => ({ document: withMember('pcrs', new Map([[0, pcrValue(0).slice(0, 32)]])), at }),
    'wrap in CBOR tag 18': () => ({ document: concat(Uint8Array.of(0xd2), document), at }),
    'expected nonce differs / nonce absent when one was asked for': () => ({ document, at, nonce: flipped(nonce, 0) }),
  }

  it('the document as it is, is accepted with its nonce', async () => {
    expect(await look({ document, at, nonce })).toMatchObject({ decision: 'accept' })
  })

  it.each(list.recipes)('$op', async ({ op, expected }) => {
    const make = changes[op]
    if (make === undefined) throw new Error('no such change here')
    const verdict = await look(await make())
    expect(verdict.decision).toBe(expected === undefined ? 'reject' : 'accept')
    if (verdict.decision === 'reject') refused++
  })

  it('every flipped bit of every 64th byte is refused, and every truncation', async () => {
    for (let i = 0; i < document.length; i += 64) {
      for (let bit = 0; bit < 8; bit++, flips++)
        expect((await look({ document: flipped(document, 8 * i + bit), at })).decision).toBe('reject')
    }
    for (let size = 1; size < document.length; size += 7) {
      expect(await look({ document: document.slice(0, size), at })).toMatchObject({
        decision: 'reject',
        error: { code: 'EVIDENCE_TRUNCATED' },
      })
    }
  })
})
