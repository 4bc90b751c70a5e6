import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromUtf8, toBase64Url, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { encodeBinding, parseBinding } from '../../../../src/verify/documents/binding.ts'
import { encodeContract, parseContract } from '../../../../src/verify/documents/contract.ts'
import { encodeBroker, encodeEntrustment, parseBroker, parseEntrustment } from '../../../../src/verify/documents/entrustment.ts'
import { encodeEvidenceBundle, parseEvidenceBundle } from '../../../../src/verify/documents/evidence-bundle.ts'
import { encodeGrant, encodeRevocation, parseGrant, parseRevocation } from '../../../../src/verify/documents/grant.ts'
import { encodeHeader, parseHeader } from '../../../../src/verify/documents/header.ts'
import { encodeHold, parseHold } from '../../../../src/verify/documents/hold.ts'
import { encodeIntent, parseIntent } from '../../../../src/verify/documents/intent.ts'
import { encodeKeyProof, parseKeyProof } from '../../../../src/verify/documents/key-proof.ts'
import { encodeLeaf, parseLeaf } from '../../../../src/verify/documents/leaf.ts'
import { encodePolicy, parsePolicy } from '../../../../src/verify/documents/policy.ts'
import { encodeReceiptFile, parseReceiptFile } from '../../../../src/verify/documents/receipt-file.ts'
import { encodeStatement, parseStatement } from '../../../../src/verify/documents/statement.ts'
import { encodeTrustFile, parseTrustFile } from '../../../../src/verify/documents/trust.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { encodeCanonical, type Json } from '../../../../src/verify/formats/canonical-json.ts'
import { kemKey, samplePolicy } from '../../../support/job-documents.ts'
import { testBytes } from '../../../support/keys.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { buildReceipt, mlDsaTrust, sampleTrust } from '../../../support/receipt-builder.ts'

const { documents, file, bytes } = await buildReceipt()
const b64 = (label: string, size: number): string => toBase64Url(testBytes(label, size))
const leaf = encodeLeaf({
  v: 1,
  type: 'release',
  commitment: b64('c', 32),
  tags: [b64('t', 32)],
  ends: [],
  deadline: '2026-05-28T21:00:00Z',
})
const revocation = encodeRevocation({ v: 1, grant: b64('grant', 32), revokedAt: '2026-05-28T21:00:00Z', stopJobs: false })
const hold = encodeHold({
  v: 1,
  grant: b64('grant', 32),
  sequence: 2,
  held: true,
  stopJobs: false,
  basis: null,
  at: '2026-05-28T21:00:00Z',
})
const quorum = encodePolicy(samplePolicy({ witnessing: { mode: 'quorum', k: 2, keys: ['a', 'b', 'c'] } }))
const result = encodeHeader({
  v: 1,
  kind: 'result',
  suite: 'AES256-GCM-HKDF-SHA256-1MiB',
  plaintextSize: 5,
  salt: b64('salt', 32),
  keyCommitment: b64('commitment', 32),
  job: b64('job', 32),
  recipients: [{ recipient: b64('recipient', 32), suite: kemKey('r').suite, enc: b64('enc', 1120), ciphertext: b64('ct', 48) }],
})

const golden = (vector: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../../vectors/documents/${vector}/payload.golden.json`, import.meta.url)))

interface Format {
  readonly name: string
  readonly sample: Uint8Array
  readonly parse: (bytes: Uint8Array) => unknown
  readonly encode: (value: never) => Uint8Array
}

const FORMATS: readonly Format[] = [
  { name: 'contract', sample: documents.contract, parse: parseContract, encode: encodeContract },
  { name: 'grant', sample: documents.grant, parse: parseGrant, encode: encodeGrant },
  { name: 'broker', sample: golden('040-broker'), parse: parseBroker, encode: encodeBroker },
  { name: 'entrustment', sample: golden('041-entrustment'), parse: parseEntrustment, encode: encodeEntrustment },
  { name: 'revocation', sample: revocation, parse: parseRevocation, encode: encodeRevocation },
  { name: 'hold', sample: hold, parse: parseHold, encode: encodeHold },
  { name: 'policy', sample: documents.policy, parse: parsePolicy, encode: encodePolicy },
  { name: 'policy with witnesses', sample: quorum, parse: parsePolicy, encode: encodePolicy },
  { name: 'dataset header', sample: documents.header, parse: parseHeader, encode: encodeHeader },
  { name: 'result header', sample: result, parse: parseHeader, encode: encodeHeader },
  { name: 'binding', sample: documents.binding, parse: parseBinding, encode: encodeBinding },
  { name: 'key proof', sample: encodeKeyProof({ v: 1, tls: b64('tls', 32) }), parse: parseKeyProof, encode: encodeKeyProof },
  { name: 'release intent', sample: documents.intent as Uint8Array, parse: parseIntent, encode: encodeIntent },
  { name: 'leaf', sample: leaf, parse: parseLeaf, encode: encodeLeaf },
  { name: 'statement', sample: documents.statement, parse: parseStatement, encode: encodeStatement },
  { name: 'trust file', sample: encodeTrustFile(sampleTrust), parse: parseTrustFile, encode: encodeTrustFile },
  {
    name: 'evidence bundle',
    sample: encodeCanonical(file.evidence as unknown as Json),
    parse: parseEvidenceBundle,
    encode: encodeEvidenceBundle,
  },
  { name: 'receipt file', sample: bytes, parse: parseReceiptFile, encode: encodeReceiptFile },
]

type Path = readonly (string | number)[]

/** Maps whose members their author chooses. */
const FREE = new Set(['env'])

function* objects(value: Json, path: Path = []): Generator<{ path: Path; members: readonly string[] }> {
  if (value === null || typeof value !== 'object') return
  if (!Array.isArray(value)) yield { path, members: FREE.has(String(path.at(-1))) ? [] : Object.keys(value) }
  for (const [key, member] of Object.entries(value as Record<string, Json>))
    yield* objects(member, [...path, Array.isArray(value) ? Number(key) : key])
}

/** Values that no member takes, except that a checkpoint is any text until it is verified. */
function wrongFor(member: string): readonly Json[] {
  return [[[]], { zz: 1 }, -1, ...(/checkpoint/i.test(member) ? [] : ['wrong\u0007'])]
}

/** A copy with the object at `path` replaced. */
function change(value: Json, path: Path, edit: (object: Record<string, Json>) => Json): Json {
  const [head, ...rest] = path
  if (head === undefined) return edit(value as Record<string, Json>)
  if (Array.isArray(value)) return value.map((v: Json, i) => (i === head ? change(v, rest, edit) : v))
  const object = value as Record<string, Json>
  return { ...object, [head]: change(object[head] ?? null, rest, edit) }
}

describe.each(FORMATS)('$name', ({ sample, parse, encode }) => {
  const value = JSON.parse(fromUtf8(sample)) as Json
  const places = [...objects(value)]

  it('is read and written back byte for byte', () => {
    expect(encode(parse(sample) as never)).toEqual(sample)
  })

  it('has no optional member: each one left out is missed', async () => {
    for (const { path, members } of places) {
      for (const member of members) {
        const cut = change(value, path, (object) => Object.fromEntries(Object.entries(object).filter(([name]) => name !== member)))
        expect(await outcomeOf(() => parse(encodeCanonical(cut))), [...path, member].join('.')).toBe('DOCUMENT_INVALID')
      }
    }
  })

  it('has no room for a member that it does not know, at any depth', async () => {
    for (const { path } of places) {
      const more = change(value, path, (object) => ({ ...object, zz: 1 }))
      expect(await outcomeOf(() => parse(encodeCanonical(more))), path.join('.')).toBe('DOCUMENT_INVALID')
    }
  })

  it('takes no member of another type', async () => {
    for (const { path, members } of places) {
      for (const member of members) {
        for (const wrong of wrongFor(member)) {
          const bad = change(value, path, (object) => ({ ...object, [member]: wrong }))
          const at = `${[...path, member].join('.')} = ${JSON.stringify(wrong)}`
          expect(await outcomeOf(() => parse(encodeCanonical(bad))), at).toBe('DOCUMENT_INVALID')
        }
      }
    }
  })

  it('is of version 1 alone', async () => {
    const top = value as Record<string, Json>
    if (!('v' in top)) return
    for (const v of [0, 2, '1', null]) expect(await outcomeOf(() => parse(encodeCanonical({ ...top, v })))).toBe('DOCUMENT_INVALID')
  })

  it('fails only with an AttestError, whatever the bytes', () => {
    const mutated = fc.tuple(fc.nat(sample.length - 1), fc.nat(255)).map(([i, b]) => sample.map((byte, j) => (j === i ? b : byte)))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (input) => {
        try {
          parse(input)
        } catch (error) {
          expect(error).toBeInstanceOf(AttestError)
        }
      }),
      { numRuns: 200, seed: 8 },
    )
  })

  it('is not written unless it would be read', () => {
    const broken = { ...(parse(sample) as object), zz: 1 } as never
    if (sample === FORMATS.find((f) => f.name === 'evidence bundle')?.sample) return
    expect(() => encode(broken)).toThrow(AttestError)
  })
})

describe('values with one spelling', () => {
  const grant = JSON.parse(fromUtf8(documents.grant)) as Record<string, Json>
  const read = (changes: Record<string, Json>) => outcomeOf(() => parseGrant(encodeCanonical({ ...grant, ...changes })))

  it.each<[string, Record<string, Json>]>([
    ['a set out of order', { purposes: ['urn:b:x', 'urn:a:x'] }],
    ['a set with a duplicate', { purposes: ['urn:a:x', 'urn:a:x'] }],
    ['an instant with an offset', { expires: '2026-05-29T22:00:00+02:00' }],
    ['an instant with fractions', { expires: '2026-05-29T20:00:00.000Z' }],
    ['an instant that does not exist', { expires: '2026-02-30T20:00:00Z' }],
    ['a leap second', { expires: '2026-06-30T23:59:60Z' }],
    ['base64url with padding', { policy: `${'A'.repeat(43)}=` }],
    ['base64url with unused bits set', { policy: `${'A'.repeat(42)}B` }],
    ['a digest that is too short', { policy: 'AAAA' }],
    ['a relative IRI', { purposes: ['#Research'] }],
    ['an IRI with a space', { purposes: ['urn:a b'] }],
    ['text with a line break', { agreement: 'DPA\n2026' }],
    ['an empty text', { agreement: '' }],
    ['a negative count', { uses: -1 }],
    ['a count beyond its limit', { uses: 1_000_001 }],
    ['an upper-case image digest', { images: [{ runner: 'wasm', digest: `sha256:${'5E'.repeat(32)}` }] }],
    ['a variable name in lower case', { env: { path: '/' } }],
    ['more arguments than there is room for', { argv: Array.from({ length: 65 }, () => 'a') }],
    ['a release mode that is not known', { release: 'brokered:somebody' }],
  ])('refuse %s', async (_, changes) => {
    expect(await read(changes)).toBe('DOCUMENT_INVALID')
  })

  it('accept the sample itself', async () => {
    expect(await read({})).toBe('accepted')
  })
})

describe('trust files', () => {
  const read = (gateways: Json) => outcomeOf(() => parseTrustFile(encodeCanonical({ ...(trust as Record<string, Json>), gateways })))
  const trust = JSON.parse(fromUtf8(encodeTrustFile(mlDsaTrust))) as { gateways: [Record<string, Json>] }
  const [gateway] = trust.gateways
  const mlDsa = gateway.mlDsa as Record<string, Json>
  const { mlDsa: _, ...bare } = gateway

  it('name a gateway with an ML-DSA key or without, written back byte for byte', async () => {
    expect(encodeTrustFile(parseTrustFile(encodeTrustFile(mlDsaTrust)))).toEqual(encodeTrustFile(mlDsaTrust))
    expect(await read([bare])).toBe('accepted')
  })

  it.each<[string, Json]>([
    ['one gateway twice, of which the weaker entry might count', [gateway, bare]],
    ['one gateway twice, the same', [gateway, gateway]],
    ['null for an ML-DSA key', [{ ...gateway, mlDsa: null }]],
    ['another parameter set', [{ ...gateway, mlDsa: { ...mlDsa, alg: 'ML-DSA-44' } }]],
    ['another key type', [{ ...gateway, mlDsa: { ...mlDsa, kty: 'OKP' } }]],
    ['a key that is too short', [{ ...gateway, mlDsa: { ...mlDsa, pub: 'AAAA' } }]],
    ['a private key', [{ ...gateway, mlDsa: { ...mlDsa, priv: 'A'.repeat(43) } }]],
    ['an ML-DSA key alone', [mlDsa]],
  ])('refuse %s', async (_name, gateways) => {
    expect(await read(gateways)).toBe('DOCUMENT_INVALID')
  })
})

describe('policies', () => {
  const policy = JSON.parse(fromUtf8(documents.policy)) as Record<string, Json>
  const read = (changes: Record<string, Json>) => outcomeOf(() => parsePolicy(encodeCanonical({ ...policy, ...changes })))

  it('refuse text in a language that nobody here reads', async () => {
    expect(await read({ cedar: 'permit(principal, action, resource);' })).toBe('DOCUMENT_INVALID')
  })

  it.each([
    [1, ['a', 'b']],
    [3, ['a', 'b']],
    [0, []],
    [2, ['a', 'b', 'c', 'd']],
    [2, ['a', 'a', 'a']],
  ])('refuse a quorum of %i out of %j', async (k, keys) => {
    expect(await read({ witnessing: { mode: 'quorum', k, keys } })).toBe('DOCUMENT_INVALID')
  })

  it('cannot accept unknowns about whether evidence is genuine', async () => {
    for (const group of ['format', 'signature', 'chain', 'validity']) {
      const appraisal = { ...(policy.appraisal as Record<string, Json>), allowUnknown: [group] }
      expect(await read({ appraisal })).toBe('DOCUMENT_INVALID')
    }
  })
})

describe('size', () => {
  it('of every document is bounded before it is read', async () => {
    const huge = utf8(`"${'x'.repeat(17 * 1024 * 1024)}"`)
    for (const { parse } of FORMATS) expect(await outcomeOf(() => parse(huge))).toBe('DOCUMENT_INVALID')
  })
})
