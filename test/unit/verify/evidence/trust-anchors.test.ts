import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { createVerifyCache } from '../../../../src/verify/evidence/cache.ts'
import { loadTrustAnchors, type TrustAnchors } from '../../../../src/verify/evidence/trust-anchors.ts'
import { spkiOfRsaKey } from '../../../../src/verify/formats/rsa-key.ts'
import { coseKey, ecKey } from '../../../support/cose.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const load = (...items: readonly Uint8Array[]): Promise<TrustAnchors> =>
  loadTrustAnchors(
    items.map((bytes, i) => ({ name: `anchor[${i}]`, bytes })),
    createVerifyCache(),
  )
const json = (value: unknown): Uint8Array => utf8(JSON.stringify(value))
const ec = ecKey('P-384')

describe('trust anchors', () => {
  it('are keys and root certificates, side by side', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 3072 }).publicKey
    const set = json({
      keys: [
        { ...ec.jwk, kid: 'one', x5c: ['AA=='] },
        { ...rsa.export({ format: 'jwk' }), kid: 'two', alg: 'RS256' },
      ],
    })
    const { keys, roots } = await load(set, ec.pem, coseKey(ec))
    expect(roots).toEqual([])
    expect(keys.map(({ kid, alg }) => [kid, alg])).toEqual([
      ['one', null],
      ['two', 'RS256'],
      [null, null],
      [null, null],
    ])
    const spki = new Uint8Array(rsa.export({ format: 'der', type: 'spki' }))
    expect(keys.map((k) => k.spki)).toEqual([ec.spki, spki, ec.spki, ec.spki])
  })

  it.each<[string, Uint8Array, string]>([
    ['nothing', utf8(''), 'CERTIFICATE_MALFORMED'],
    ['any text', utf8('a key'), 'CERTIFICATE_MALFORMED'],
    ['a symmetric key', json({ kty: 'oct', k: 'AA' }), 'DOCUMENT_INVALID'],
    ['a set of symmetric keys', json({ keys: [{ kty: 'oct', k: 'AA' }] }), 'DOCUMENT_INVALID'],
    ['an empty set', json({ keys: [] }), 'DOCUMENT_INVALID'],
    ['a key of a curve of JavaScript', json({ ...ec.jwk, crv: 'constructor' }), 'DOCUMENT_INVALID'],
    ['coordinates of another curve', json({ ...ec.jwk, crv: 'P-256' }), 'DOCUMENT_INVALID'],
    ['coordinates in another spelling', json({ ...ec.jwk, x: `${ec.jwk.x}=` }), 'DOCUMENT_INVALID'],
    ['a key without coordinates', json({ kty: 'EC', crv: 'P-256' }), 'DOCUMENT_INVALID'],
    ['an RSA key of 1024 bits', json({ kty: 'RSA', n: Buffer.alloc(128, 0xc1).toString('base64url'), e: 'AQAB' }), 'DOCUMENT_INVALID'],
    ['members twice', utf8('{"kty":"EC","kty":"RSA"}'), 'JSON_MALFORMED'],
    ['a COSE_Key with bytes after it', concat(coseKey(ec), Uint8Array.of(0)), 'EVIDENCE_TRAILING'],
    ['too much', new Uint8Array(512 * 1024 + 1), 'LIMIT_EXCEEDED'],
  ])('are not %s', async (_, bytes, code) => {
    expect(await outcomeOf(() => load(bytes))).toBe(code)
  })

  it('fail with an AttestError alone, whatever the bytes', async () => {
    const heads = fc.constantFrom(
      utf8('{"kty":"EC","crv":'),
      utf8('{"keys":['),
      Uint8Array.of(0xa5, 1, 2),
      utf8('-----BEGIN PUBLIC KEY-----\n'),
      utf8(''),
    )
    await fc.assert(
      fc.asyncProperty(heads, fc.uint8Array({ maxLength: 100 }), async (head, rest) => {
        await expect(load(concat(head, rest))).rejects.toBeInstanceOf(AttestError)
      }),
    )
  })
})

describe('an RSA key', () => {
  it.each([
    ['with a leading zero', new Uint8Array(257), Uint8Array.of(1, 0, 1)],
    ['without an exponent', new Uint8Array(256).fill(1), new Uint8Array()],
    ['of 16384 bits', new Uint8Array(2048).fill(1), Uint8Array.of(3)],
  ])('%s is refused', async (_, modulus, exponent) => {
    expect(await outcomeOf(() => spkiOfRsaKey(modulus, exponent, 'x'))).toBe('DOCUMENT_INVALID')
  })
})
