import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromHex, toHex, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { assertDer, DerReader, decodeOid, splitDer, TAG } from '../../../../src/verify/formats/der.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const gate = (hex: string): Promise<string> => outcomeOf(() => assertDer(fromHex(hex), 'x'))

describe('the DER gate', () => {
  it.each([
    ['an INTEGER', '020100'],
    ['a negative INTEGER', '0201ff'],
    ['an INTEGER with a leading zero that it needs', '02020080'],
    ['both BOOLEANs', '30060101ff010100'],
    ['NULL', '0500'],
    ['a BIT STRING with unused bits', '03020780'],
    ['an empty BIT STRING', '030100'],
    ['an OBJECT IDENTIFIER', '06032a8648'],
    ['a context tag around a value', 'a003020101'],
    ['an empty SEQUENCE', '3000'],
    ['a long length', `0481${'80'}${'00'.repeat(128)}`],
  ])('passes %s', async (_, hex) => {
    expect(await gate(hex)).toBe('accepted')
  })

  it.each([
    ['nothing', ''],
    ['a lone tag', '30'],
    ['an indefinite length', '30800000'],
    ['a length that is not minimal', '02810100'],
    ['a long length with a leading zero', `04820080${'00'.repeat(128)}`],
    ['a length of four bytes', '0484000000010000'],
    ['a value that is cut off', '0203000001'.slice(0, 8)],
    ['a member that passes the end of its parent', '3003020300'],
    ['trailing bytes', '02010000'],
    ['two values side by side', '020100020100'],
    ['a tag of two bytes', '1f8100'],
    ['end-of-contents', '30020000'],
    ['a constructed OCTET STRING', '2403040100'],
    ['a primitive SEQUENCE', '100100'],
    ['an INTEGER without content', '0200'],
    ['an INTEGER with a zero too many', '02020001'],
    ['an INTEGER with an FF too many', '0202ff80'],
    ['a BOOLEAN that is neither', '010101'],
    ['a BOOLEAN of two bytes', '01020000'],
    ['NULL with content', '050100'],
    ['a BIT STRING without its count', '0300'],
    ['a BIT STRING with eight unused bits', '03020800'],
    ['a BIT STRING whose unused bits are set', '03020701'],
    ['an empty BIT STRING with unused bits', '030101'],
    ['an OBJECT IDENTIFIER that is cut off', '06022a86'],
    ['an OBJECT IDENTIFIER with a padded arc', '06032a8001'],
    ['an empty OBJECT IDENTIFIER', '0600'],
  ])('rejects %s', async (_, hex) => {
    expect(await gate(hex)).toBe('DER_MALFORMED')
  })

  it('rejects what is nested deeper than 32 levels, and passes 32', async () => {
    const nested = (levels: number): Uint8Array => {
      let der = fromHex('0500')
      for (let i = 0; i < levels; i++) der = concat(Uint8Array.of(0x30, der.length), der)
      return der
    }
    expect(await outcomeOf(() => assertDer(nested(32), 'x'))).toBe('accepted')
    expect(await outcomeOf(() => assertDer(nested(33), 'x'))).toBe('DER_MALFORMED')
  })

  it('does not overflow the stack, however deep the nesting claims to be', async () => {
    const deep = new Uint8Array(60_000)
    for (let i = 0; i < deep.length; i += 4) deep.set([0x30, 0x82, (deep.length - i - 4) >> 8, (deep.length - i - 4) & 0xff], i)
    expect(await outcomeOf(() => assertDer(deep, 'x'))).toBe('DER_MALFORMED')
  })

  it('names the offset', () => {
    expect(() => assertDer(fromHex('3003020000'), 'crl')).toThrow(expect.objectContaining({ at: 'crl@0x004' }))
  })

  it('fails only with an AttestError, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          assertDer(bytes, 'x')
        } catch (error) {
          expect(error).toBeInstanceOf(AttestError)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('accepts one spelling: what it passes comes back from its own values', () => {
    const value: fc.Memo<Uint8Array> = fc.memo((depth) =>
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }).map((b) => tlv(TAG.octetString, b)),
        ...(depth > 1 ? [fc.array(value(depth - 1), { maxLength: 3 }).map((list) => tlv(TAG.sequence, concat(...list)))] : []),
      ),
    )
    fc.assert(
      fc.property(value(4), (der) => {
        assertDer(der, 'x')
        expect(toHex(reencode(new DerReader(der, 'x')))).toBe(toHex(der))
      }),
    )
  })
})

describe('a DER reader', () => {
  const read = (hex: string): DerReader => new DerReader(fromHex(hex), 'x')

  it.each([
    ['1.2.840.113549.1.1.10', '2a864886f70d01010a'],
    ['1.3.6.1.4.1.3704.1.3.8', '2b060104019c78010308'],
    ['2.5.29.15', '551d0f'],
    ['2.999.3', '883703'],
    ['0.9.2342', '099226'],
  ])('reads %s', (text, hex) => {
    expect(decodeOid(fromHex(hex))).toBe(text)
  })

  it('rejects an OBJECT IDENTIFIER whose arc does not fit', async () => {
    expect(await outcomeOf(() => decodeOid(fromHex('ffffffffffffffff7f')))).toBe('CERTIFICATE_MALFORMED')
  })

  const time = (tag: number, text: string): number => new DerReader(tlv(tag, utf8(text)), 'x').time()

  it.each([
    [TAG.utcTime, '260102030405Z', '2026-01-02T03:04:05Z'],
    [TAG.utcTime, '500101000000Z', '1950-01-01T00:00:00Z'],
    [TAG.utcTime, '491231235959Z', '2049-12-31T23:59:59Z'],
    [TAG.generalizedTime, '20500101000000Z', '2050-01-01T00:00:00Z'],
    [TAG.generalizedTime, '99991231235959Z', '9999-12-31T23:59:59Z'],
  ])('reads the time %i %s', (tag, text, want) => {
    expect(time(tag, text)).toBe(Date.parse(want))
  })

  it.each([
    ['without seconds', TAG.utcTime, '2601020304Z'],
    ['with an offset', TAG.utcTime, '260102030405+0100'],
    ['with fractions', TAG.generalizedTime, '20260102030405.5Z'],
    ['of a day that does not exist', TAG.utcTime, '260230030405Z'],
    ['of a month that does not exist', TAG.utcTime, '261302030405Z'],
    ['of a year before 100', TAG.generalizedTime, '00500102030405Z'],
    ['with a leap second', TAG.utcTime, '161231235960Z'],
    ['in letters', TAG.utcTime, '26010203040AZ'],
    ['that is very long', TAG.generalizedTime, '1'.repeat(1024)],
    ['that is an INTEGER', TAG.integer, '0'],
  ])('rejects a time %s', async (_, tag, text) => {
    expect(await outcomeOf(() => time(tag, text))).toBe('CERTIFICATE_MALFORMED')
  })

  it('reads small integers, and rejects large and negative ones', async () => {
    expect(read('02047fffffff').smallInteger()).toBe(0x7fffffff)
    expect(await outcomeOf(() => read('02050080000000').smallInteger())).toBe('CERTIFICATE_MALFORMED')
    expect(await outcomeOf(() => read('0201ff').smallInteger())).toBe('CERTIFICATE_MALFORMED')
  })

  it('rejects another tag, a missing member and members too many', async () => {
    expect(await outcomeOf(() => read('020100').content(TAG.octetString))).toBe('CERTIFICATE_MALFORMED')
    expect(await outcomeOf(() => read('3000').open(TAG.sequence).whole())).toBe('CERTIFICATE_MALFORMED')
    expect(await outcomeOf(() => read('3003020100').open(TAG.sequence).end())).toBe('CERTIFICATE_MALFORMED')
    expect(await outcomeOf(() => read('03020780').bitString())).toBe('CERTIFICATE_MALFORMED')
  })

  it('splits values that lie side by side', async () => {
    expect(splitDer(fromHex('0201003000'), 'x').map(toHex)).toEqual(['020100', '3000'])
    expect(await outcomeOf(() => splitDer(fromHex('02010030'), 'x'))).toBe('DER_MALFORMED')
    expect(splitDer(fromHex('0500'.repeat(64)), 'x')).toHaveLength(64)
    expect(await outcomeOf(() => splitDer(fromHex('0500'.repeat(65)), 'x'))).toBe('LIMIT_EXCEEDED')
  })
})

function tlv(tag: number, content: Uint8Array): Uint8Array {
  const { length } = content
  const header = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return concat(Uint8Array.of(tag, ...header), content)
}

function reencode(reader: DerReader): Uint8Array {
  const parts: Uint8Array[] = []
  while (!reader.done) {
    parts.push(
      reader.peek === TAG.sequence ? tlv(TAG.sequence, reencode(reader.open(TAG.sequence))) : tlv(reader.peek, reader.content(reader.peek)),
    )
  }
  return concat(...parts)
}
