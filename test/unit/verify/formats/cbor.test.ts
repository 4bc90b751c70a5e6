import { encode } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../../../src/verify/bytes/bytes.ts'
import { decodeCbor, takeTag } from '../../../../src/verify/formats/cbor.ts'
import { CborFields } from '../../../../src/verify/formats/cbor-fields.ts'
import { cbor, type Writable } from '../../../support/cbor-writer.ts'
import { expectParsedOrAttestError } from '../../../support/damage.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const LIMITS = { maxSize: 4096 }
const read = (hex: string, more = {}): unknown => decodeCbor(fromHex(hex), 'x', { ...LIMITS, ...more })

describe('the gate in front of CBOR', () => {
  it.each([
    ['00', 0],
    ['17', 23],
    ['1818', 24],
    ['1b001fffffffffffff', Number.MAX_SAFE_INTEGER],
    ['20', -1],
    ['3822', -35],
    ['f4', false],
    ['f5', true],
    ['f6', null],
    ['6161', 'a'],
    ['60', ''],
    ['8101', [1]],
  ])('reads %s', (hex, value) => {
    expect(read(hex)).toEqual(value)
  })

  it('reads byte strings and maps, whatever the keys are called', () => {
    expect(read('4201ff')).toEqual(Uint8Array.of(1, 0xff))
    expect(read('a0')).toEqual(new Map())
    expect(read('a2695f5f70726f746f5f5f01200a')).toEqual(
      new Map<unknown, unknown>([
        ['__proto__', 1],
        [-1, 10],
      ]),
    )
    expect(read('bf0102ff', { indefiniteMaps: true })).toEqual(new Map([[1, 2]]))
    expect(read('bfff', { indefiniteMaps: true })).toEqual(new Map())
  })

  it.each([
    ['a number that is too long', '1817', 'CBOR_MALFORMED'],
    ['a number that is too long by half', '1900ff', 'CBOR_MALFORMED'],
    ['a length that is too long', '580101', 'CBOR_MALFORMED'],
    ['a number beyond 2^53', '1b0020000000000000', 'CBOR_MALFORMED'],
    ['a negative number beyond 2^53', '3bffffffffffffffff', 'CBOR_MALFORMED'],
    ['reserved information', '1c', 'CBOR_MALFORMED'],
    ['an indefinite byte string', '5f4101ff', 'CBOR_MALFORMED'],
    ['an indefinite text', '7f6161ff', 'CBOR_MALFORMED'],
    ['an indefinite list', '9f01ff', 'CBOR_MALFORMED'],
    ['an indefinite map where none is allowed', 'bf0102ff', 'CBOR_MALFORMED'],
    ['a break of nothing', 'ff', 'CBOR_MALFORMED'],
    ['a float', 'f93c00', 'CBOR_MALFORMED'],
    ['undefined', 'f7', 'CBOR_MALFORMED'],
    ['a simple value', 'f0', 'CBOR_MALFORMED'],
    ['a simple value of two bytes', 'f814', 'CBOR_MALFORMED'],
    ['a tag', 'c100', 'CBOR_MALFORMED'],
    ['a bignum', 'c24101', 'CBOR_MALFORMED'],
    ['a key twice', 'a201010102', 'CBOR_MALFORMED'],
    ['a text key twice', 'a2616101616102', 'CBOR_MALFORMED'],
    ['a key that is a list', 'a18001', 'CBOR_MALFORMED'],
    ['a key that is bytes', 'a1410101', 'CBOR_MALFORMED'],
    ['a key that is null', 'a1f601', 'CBOR_MALFORMED'],
    ['text that is not UTF-8', '61ff', 'CBOR_MALFORMED'],
    ['text with a surrogate', '63eda080', 'CBOR_MALFORMED'],
    ['nothing', '', 'EVIDENCE_TRUNCATED'],
    ['a list of 2^32 items', '9affffffff', 'EVIDENCE_TRUNCATED'],
    ['a map of 2^32 items', 'baffffffff', 'EVIDENCE_TRUNCATED'],
    ['bytes of 2^53', '5b001fffffffffffff00', 'EVIDENCE_TRUNCATED'],
    ['bytes after it', '0000', 'EVIDENCE_TRAILING'],
  ])('refuses %s', async (_, hex, code) => {
    expect(await outcomeOf(() => read(hex))).toBe(code)
  })

  it('refuses a key twice and lengths that lie in an indefinite map too', async () => {
    const indefiniteMaps = true
    expect(await outcomeOf(() => read('bf01010102ff', { indefiniteMaps }))).toBe('CBOR_MALFORMED')
    expect(await outcomeOf(() => read('bf01ff', { indefiniteMaps }))).toBe('CBOR_MALFORMED')
    expect(await outcomeOf(() => read('bf0101', { indefiniteMaps }))).toBe('EVIDENCE_TRUNCATED')
    expect(await outcomeOf(() => read('bf019f01ffff', { indefiniteMaps }))).toBe('CBOR_MALFORMED')
  })

  it('refuses deep nesting before it costs anything', async () => {
    expect(await outcomeOf(() => decodeCbor(new Uint8Array(16).fill(0x81), 'x', LIMITS))).toBe('EVIDENCE_TRUNCATED')
    expect(await outcomeOf(() => decodeCbor(new Uint8Array(200_000).fill(0x81), 'x', { maxSize: 1 << 20 }))).toBe('CBOR_MALFORMED')
    expect(await outcomeOf(() => decodeCbor(new Uint8Array(4097), 'x', LIMITS))).toBe('LIMIT_EXCEEDED')
  })

  it('takes one tag off, in its shortest form', async () => {
    expect(takeTag(fromHex('d9018fa0'), 'x')).toEqual({ tag: 399, rest: fromHex('a0') })
    expect(takeTag(fromHex('84'), 'x')).toEqual({ tag: null, rest: fromHex('84') })
    expect(await outcomeOf(() => takeTag(fromHex('d90012'), 'x'))).toBe('CBOR_MALFORMED')
    expect(await outcomeOf(() => takeTag(fromHex('d901'), 'x'))).toBe('EVIDENCE_TRUNCATED')
    expect(await outcomeOf(() => takeTag(fromHex('df'), 'x'))).toBe('CBOR_MALFORMED')
  })
})

const key = fc.oneof(fc.integer({ min: -100000, max: 100000 }), fc.string({ unit: 'grapheme', maxLength: 8 }))
const { value } = fc.letrec<{ value: Writable }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger(),
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map((entries) => new Map(entries)),
  ),
}))

describe('CBOR', () => {
  it('is read as another encoder means it', () => {
    fc.assert(
      fc.property(value, (written) => {
        expect(decodeCbor(encode(written), 'x', { maxSize: 1 << 20 })).toEqual(written)
        const ours = cbor(written)
        expect(toHex(cbor(decodeCbor(ours, 'x', { maxSize: 1 << 20 }) as Writable))).toBe(toHex(ours))
      }),
    )
  })

  it('fails with an AttestError alone, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (bytes, indefiniteMaps) => {
        expectParsedOrAttestError(() => decodeCbor(bytes, 'x', { maxSize: 64, indefiniteMaps }))
        expectParsedOrAttestError(() => takeTag(bytes, 'x'))
      }),
      { numRuns: 2000 },
    )
  })

  it('leaves its input alone and gives out copies', () => {
    const input = fromHex('4201ff')
    const bytes = decodeCbor(input, 'x', LIMITS) as Uint8Array
    bytes.fill(0)
    expect(toHex(input)).toBe('4201ff')
  })
})

describe('fields of a map', () => {
  const fields = new CborFields(
    decodeCbor(
      cbor(
        new Map<number, Writable>([
          [1, 'text'],
          [2, Uint8Array.of(1, 2)],
          [3, 7],
          [4, null],
          [5, []],
        ]),
      ),
      'x',
      LIMITS,
    ),
    'm',
  )
  it.each<[string, () => unknown]>([
    ['a text that is too long', () => fields.text(1, 3)],
    ['a text that is bytes', () => fields.text(2, 10)],
    ['bytes of another length', () => fields.bytes(2, [3])],
    ['bytes that are absent', () => fields.bytes(9, [3])],
    ['a blob that is too short', () => fields.blob(2, 3, 4)],
    ['a blob that is text', () => fields.optionalBlob(1, 9)],
    ['an integer that is too large', () => fields.integer(3, 0, 6)],
    ['an integer that is null', () => fields.integer(4, 0, 6)],
    ['a list that is too short', () => fields.list(5, 1, 2)],
    ['a list that is text', () => fields.list(1, 0, 2)],
    ['registers that are a list', () => fields.registers(5, 31, 48)],
    ['a map that is a list', () => new CborFields([], 'y')],
    ['a map that is absent', () => new CborFields(undefined, 'y')],
  ])('are not %s', async (_, work) => {
    expect(await outcomeOf(work)).toBe('DOCUMENT_INVALID')
  })

  it('may be null or absent where they are optional', () => {
    expect(fields.optionalBlob(4, 9)).toBeNull()
    expect(fields.optionalBlob(9, 9)).toBeNull()
    expect(fields.optionalText(9, 9)).toBeNull()
    expect(fields.strangers([1, 2])).toEqual([3, 4, 5])
  })
})
