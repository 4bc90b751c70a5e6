import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, equal, fromHex, toHex, utf8 } from '../../../../../src/verify/bytes/bytes.ts'
import { companionKind } from '../../../../../src/verify/evidence/companions.ts'
import { parseAttest } from '../../../../../src/verify/evidence/tpm/attest.ts'
import { parsePcrs } from '../../../../../src/verify/evidence/tpm/pcrs.ts'
import { nameOf, parsePublic } from '../../../../../src/verify/evidence/tpm/public.ts'
import { parseSignature } from '../../../../../src/verify/evidence/tpm/signature.ts'
import { kindOfSpki } from '../../../../../src/verify/formats/spki.ts'
import { outcomeOf } from '../../../../support/outcome.ts'
import { attest, be16, be32, digest, pcrsJson, sized, TestAk } from '../../../../support/tpm-maker.ts'

const rsa = new TestAk('rsassa')
const p256 = new TestAk('p256')
const p384 = new TestAk('p384')
const quote = attest()

const PARSERS = [
  ['TPMS_ATTEST', parseAttest, quote],
  ['TPMT_SIGNATURE by RSA', parseSignature, rsa.sign(quote)],
  ['TPMT_SIGNATURE by ECDSA', parseSignature, p256.sign(quote)],
  ['TPMT_PUBLIC of RSA', parsePublic, rsa.publicArea()],
  ['TPMT_PUBLIC of ECC', parsePublic, p384.publicArea()],
  ['PCR values', parsePcrs, pcrsJson()],
] as const

describe.each(PARSERS)('%s', (_, parse, sample) => {
  it('is read', async () => {
    expect(await outcomeOf(() => parse(sample))).toBe('accepted')
  })

  it('is refused cut off anywhere, and with a byte more', async () => {
    for (let n = 0; n < sample.length; n++) expect([n, await outcomeOf(() => parse(sample.subarray(0, n)))]).not.toEqual([n, 'accepted'])
    expect(await outcomeOf(() => parse(concat(sample, Uint8Array.of(0))))).not.toBe('accepted')
  })

  it('fails only with an AttestError, whatever the bytes', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => void (await outcomeOf(() => parse(bytes)))))
    const mutated = fc.tuple(fc.nat(sample.length - 1), fc.integer({ min: 1, max: 255 }))
    await fc.assert(
      fc.asyncProperty(mutated, async ([at, mask]) => void (await outcomeOf(() => parse(sample.map((b, i) => (i === at ? b ^ mask : b)))))),
      { numRuns: 500 },
    )
  })
})

describe('TPMS_ATTEST', () => {
  it.each([
    [
      'a bank twice',
      {
        selections: [
          { bank: 'sha256', pcrs: [0] },
          { bank: 'sha256', pcrs: [1] },
        ],
      },
      'EVIDENCE_UNSUPPORTED',
    ],
    ['extra data longer than any', { extraData: new Uint8Array(67) }, 'EVIDENCE_UNSUPPORTED'],
  ] as const)('is refused with %s', async (_, fields, code) => {
    expect(await outcomeOf(() => parseAttest(attest(fields)))).toBe(code)
  })

  it('is refused for an unknown bank and a long selection', async () => {
    const at = quote.length - 34 - 6
    expect(toHex(quote.subarray(at, at + 6))).toBe('000b03ffffff')
    const patched = (bytes: Uint8Array): Uint8Array => concat(quote.subarray(0, at), bytes, quote.subarray(at + 6))
    expect(await outcomeOf(() => parseAttest(patched(fromHex('001203ffffff'))))).toBe('EVIDENCE_UNSUPPORTED')
    expect(await outcomeOf(() => parseAttest(patched(fromHex('000b05ffffffffff'))))).toBe('EVIDENCE_UNSUPPORTED')
  })
})

describe('TPMT_PUBLIC', () => {
  it('gives the key and the name that its TPM gives', async () => {
    for (const key of [rsa, p256, p384]) {
      const area = key.publicArea()
      const read = parsePublic(area)
      expect(equal(read.spki, key.spki)).toBe(true)
      expect(await nameOf(read)).toEqual(concat(be16(11), digest('sha256', area)))
      expect(equal(parsePublic(sized(area)).spki, key.spki)).toBe(true)
    }
  })

  it.each([
    ['a symmetric key', concat(be16(0x25), rsa.publicArea().subarray(2)), 'EVIDENCE_UNSUPPORTED'],
    [
      'RSA of 1024 bits',
      concat(rsa.publicArea().subarray(0, 16), be16(1024), be32(0), sized(new Uint8Array(128).fill(0xff))),
      'CERTIFICATE_MALFORMED',
    ],
    [
      'a size that is not the modulus’s',
      concat(rsa.publicArea().subarray(0, 16), be16(3072), rsa.publicArea().subarray(18)),
      'EVIDENCE_UNSUPPORTED',
    ],
    ['another curve', concat(p256.publicArea().subarray(0, 16), be16(0x10), p256.publicArea().subarray(18)), 'EVIDENCE_UNSUPPORTED'],
  ] as const)('is refused for %s', async (_, bytes, code) => {
    expect(await outcomeOf(() => parsePublic(bytes))).toBe(code)
  })
})

describe('PCR values', () => {
  it.each([
    ['two sizes', `["${'00'.repeat(32)}","${'00'.repeat(20)}"]`, 'DOCUMENT_INVALID'],
    ['an index twice', `{"0":"${'00'.repeat(32)}","0":"${'11'.repeat(32)}"}`, 'JSON_MALFORMED'],
    ['an index with a leading zero', `{"00":"${'00'.repeat(32)}"}`, 'DOCUMENT_INVALID'],
    ['an index that no TPM has', `{"32":"${'00'.repeat(32)}"}`, 'DOCUMENT_INVALID'],
    ['a number', '[1]', 'DOCUMENT_INVALID'],
    ['nothing', '[]', 'DOCUMENT_INVALID'],
    ['text that is not hexadecimal', `["${'zz'.repeat(32)}"]`, 'ENCODING_INVALID'],
    ['a size of no bank', `["${'00'.repeat(24)}"]`, 'DOCUMENT_INVALID'],
  ] as const)('are refused with %s', async (_, text, code) => {
    expect(await outcomeOf(() => parsePcrs(utf8(text)))).toBe(code)
  })
})

describe('companions', () => {
  it('are told apart by content', () => {
    expect(companionKind(quote)).toBe('tpm-quote')
    expect(companionKind(sized(quote))).toBe('tpm-quote')
    for (const key of [rsa, p256, p384]) {
      expect(companionKind(key.sign(quote))).toBe('tpm-signature')
      expect(companionKind(key.publicArea())).toBe('tpm-public')
      expect(companionKind(sized(key.publicArea()))).toBe('tpm-public')
      expect(companionKind(key.spki)).toBe('public-key')
    }
    expect(companionKind(rsa.sign(quote).subarray(6))).toBe('tpm-signature')
    expect(companionKind(pcrsJson())).toBe('tpm-pcrs')
    for (const other of [new Uint8Array(0), utf8('text'), utf8('a'.repeat(256)), new Uint8Array(70_000)])
      expect(companionKind(other)).toBeNull()
  })
})

describe('public keys', () => {
  it('have one encoding each', async () => {
    expect(kindOfSpki(rsa.spki, 'key')).toBe('rsa')
    expect(kindOfSpki(p256.spki, 'key')).toBe('P-256')
    expect(kindOfSpki(p384.spki, 'key')).toBe('P-384')
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => void (await outcomeOf(() => kindOfSpki(bytes, 'key')))),
    )
  })
})
