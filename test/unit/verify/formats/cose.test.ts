import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { crypto } from '../../../../src/verify/crypto/node.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { parseSign1, verifySign1 } from '../../../../src/verify/formats/cose.ts'
import { ecdsaSchemeOf, spkiOfCoseKey, spkiOfUncompressedPoint } from '../../../../src/verify/formats/ec-key.ts'
import { cbor, type Writable } from '../../../support/cbor-writer.ts'
import { coseKey, ecKey, type Sign1Change, sign1 } from '../../../support/cose.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const PAYLOAD = new Uint8Array(300).fill(7)
const MAX = 4096

async function holds(message: Uint8Array, key: ReturnType<typeof ecKey>): Promise<boolean> {
  const read = parseSign1(message, 'x', MAX)
  return verifySign1(read, await crypto.importPublicKey(key.curve === 'P-256' ? 'ecdsa-p256-sha256' : 'ecdsa-p384-sha384', key.spki))
}

describe('COSE_Sign1', () => {
  it.each(['P-256', 'P-384'] as const)('of %s verifies over what was received', async (curve) => {
    const key = ecKey(curve)
    for (const size of [0, 23, 24, 255, 256, 3000]) expect(await holds(sign1(new Uint8Array(size), key), key)).toBe(true)
    expect(await holds(sign1(PAYLOAD, key, { tag: null }), key)).toBe(true)
    expect(await holds(sign1(PAYLOAD, key, { signed: new Uint8Array(3) }), key)).toBe(false)
    expect(await holds(sign1(PAYLOAD, ecKey(curve)), key)).toBe(false)
  })

  it('does not verify with a key of another curve', async () => {
    const message = sign1(PAYLOAD, ecKey('P-256'))
    expect(await holds(message, ecKey('P-384'))).toBe(false)
  })

  const header = (members: readonly (readonly [number | string, Writable])[]): Uint8Array => cbor(new Map(members))
  it.each<[string, Sign1Change, string]>([
    ['with a second spelling of its header', { protectedBytes: Uint8Array.of(0xa1, 0x01, 0x38, 0x06) }, 'CBOR_MALFORMED'],
    ['with an empty header', { protectedBytes: new Uint8Array() }, 'EVIDENCE_TRUNCATED'],
    ['without an algorithm', { protectedBytes: header([]) }, 'DOCUMENT_INVALID'],
    ['with an algorithm in text', { protectedBytes: header([[1, 'ES256']]) }, 'DOCUMENT_INVALID'],
    ['with ES512', { protectedBytes: header([[1, -36]]) }, 'EVIDENCE_UNSUPPORTED'],
    ['with EdDSA', { protectedBytes: header([[1, -8]]) }, 'EVIDENCE_UNSUPPORTED'],
    ['with a MAC', { protectedBytes: header([[1, 5]]) }, 'EVIDENCE_UNSUPPORTED'],
    [
      'with crit',
      {
        protectedBytes: header([
          [1, -7],
          [2, [1]],
        ]),
      },
      'EVIDENCE_UNSUPPORTED',
    ],
    [
      'with a header in text',
      {
        protectedBytes: header([
          [1, -7],
          ['x', 1],
        ]),
      },
      'EVIDENCE_UNSUPPORTED',
    ],
    ['with an algorithm that nobody signed', { unprotected: new Map([[1, -7]]) }, 'EVIDENCE_UNSUPPORTED'],
    ['with certificates that nobody signed', { unprotected: new Map([[33, new Uint8Array(1)]]) }, 'EVIDENCE_UNSUPPORTED'],
    ['with a header that is a list', { unprotected: [] }, 'DOCUMENT_INVALID'],
    ['with a signature in DER', { signature: new Uint8Array(70) }, 'DOCUMENT_INVALID'],
  ])('%s is refused', async (_, change, code) => {
    expect(await outcomeOf(() => parseSign1(sign1(PAYLOAD, ecKey('P-256'), change), 'x', MAX))).toBe(code)
  })

  it.each([
    ['of three members', cbor([new Uint8Array(), new Map(), new Uint8Array()])],
    ['without a payload', cbor([header([[1, -7]]), new Map(), null, new Uint8Array(64)])],
    ['that is a map', cbor(new Map())],
  ])('%s is refused', async (_, message) => {
    expect(await outcomeOf(() => parseSign1(message, 'x', MAX))).toBe('DOCUMENT_INVALID')
  })

  it('of another tag is refused', async () => {
    const message = sign1(PAYLOAD, ecKey('P-256'))
    expect(await outcomeOf(() => parseSign1(Uint8Array.of(0xd1, ...message.subarray(1)), 'x', MAX))).toBe('EVIDENCE_UNSUPPORTED')
  })

  it('fails with an AttestError alone, whatever the bytes', () => {
    const message = sign1(PAYLOAD, ecKey('P-256'))
    for (let size = 0; size < message.length; size++) expect(() => parseSign1(message.slice(0, size), 'x', MAX)).toThrow(AttestError)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => parseSign1(Uint8Array.of(0x84, ...bytes), 'x', MAX)).toThrow(AttestError)
      }),
    )
  })
})

describe('COSE_Key', () => {
  it.each(['P-256', 'P-384'] as const)('of %s is the key that it was made of', (curve) => {
    const key = ecKey(curve)
    expect(spkiOfCoseKey(coseKey(key), 'x')).toEqual(key.spki)
    expect(spkiOfUncompressedPoint(Uint8Array.of(4, ...key.point), 'x')).toEqual(key.spki)
    expect(ecdsaSchemeOf(key.spki)).toBe(curve === 'P-256' ? 'ecdsa-p256-sha256' : 'ecdsa-p384-sha384')
    expect(ecdsaSchemeOf(key.spki.slice(1))).toBeNull()
  })

  const xy = [
    [-2, new Uint8Array(32)],
    [-3, new Uint8Array(32)],
  ] as const
  it.each<[string, readonly (readonly [number, Writable])[], string]>([
    [
      'of another kind',
      [
        [1, 1],
        [-1, 6],
        [-2, new Uint8Array(32)],
      ],
      'EVIDENCE_UNSUPPORTED',
    ],
    ['of another curve', [[1, 2], [-1, 3], ...xy], 'EVIDENCE_UNSUPPORTED'],
    ['without a curve', [[1, 2], ...xy], 'EVIDENCE_UNSUPPORTED'],
    ['that is private', [[1, 2], [-1, 1], ...xy, [-4, new Uint8Array(32)]], 'EVIDENCE_UNSUPPORTED'],
    [
      'with a sign for a coordinate',
      [
        [1, 2],
        [-1, 1],
        [-2, new Uint8Array(32)],
        [-3, true],
      ],
      'DOCUMENT_INVALID',
    ],
    ['with coordinates of another curve', [[1, 2], [-1, 2], ...xy], 'DOCUMENT_INVALID'],
    ['without a kind', [[-1, 1], ...xy], 'DOCUMENT_INVALID'],
  ])('%s is refused', async (_, members, code) => {
    expect(await outcomeOf(() => spkiOfCoseKey(cbor(new Map(members)), 'x'))).toBe(code)
  })
})
