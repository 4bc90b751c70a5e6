import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  compare,
  concat,
  equal,
  fromBase64,
  fromBase64Url,
  fromHex,
  fromUtf8,
  isZero,
  toBase64,
  toBase64Url,
  toHex,
  u32be,
  utf8,
} from '../../../../src/verify/bytes/bytes.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const bytes = fc.uint8Array({ maxLength: 300 })

describe('bytes', () => {
  it('come back from each text encoding, and agree with Buffer', () => {
    fc.assert(
      fc.property(bytes, (b) => {
        const buffer = Buffer.from(b)
        expect([toHex(b), toBase64(b), toBase64Url(b)]).toEqual([
          buffer.toString('hex'),
          buffer.toString('base64'),
          buffer.toString('base64url'),
        ])
        for (const back of [fromHex(toHex(b)), fromHex(toHex(b).toUpperCase()), fromBase64(toBase64(b)), fromBase64Url(toBase64Url(b))]) {
          expect(equal(back, b)).toBe(true)
        }
      }),
    )
  })

  it('have one spelling in base64 and in base64url', () => {
    const text = fc.string({ maxLength: 12, unit: fc.constantFrom('A', 'B', 'w', '/', '+', '-', '_', '=', '\n') })
    fc.assert(
      fc.property(text, (t) => {
        const [plain, url] = [decodeOrNull(fromBase64, t), decodeOrNull(fromBase64Url, t)]
        if (plain !== null) expect(toBase64(plain)).toBe(t)
        if (url !== null) expect(toBase64Url(url)).toBe(t)
      }),
      { numRuns: 2000 },
    )
  })

  it.each(['a', 'zz', '0x00', ' 00', '00 ', '0g', 'é0'])('are not read from %j as hexadecimal', async (text) => {
    expect(await outcomeOf(() => fromHex(text))).toBe('ENCODING_INVALID')
  })

  it.each(['A', 'AA', 'AAA', 'AA=A', 'AB==', 'AAB=', 'AA==\n', 'AA-_', '====', 'AAAA='])('are not read from %j as base64', async (text) => {
    expect(await outcomeOf(() => fromBase64(text))).toBe('ENCODING_INVALID')
  })

  it.each(['A', 'AB', 'AA=', 'AA==', 'A+', 'A/', 'AA '])('are not read from %j as base64url', async (text) => {
    expect(await outcomeOf(() => fromBase64Url(text))).toBe('ENCODING_INVALID')
  })

  it('are not read as UTF-8 when they are something else, and keep a byte order mark', async () => {
    expect(await outcomeOf(() => fromUtf8(Uint8Array.of(0xff)))).toBe('ENCODING_INVALID')
    expect(await outcomeOf(() => fromUtf8(Uint8Array.of(0xed, 0xa0, 0x80)))).toBe('ENCODING_INVALID')
    expect(fromUtf8(utf8('\ufeffé'))).toBe('\ufeffé')
  })

  it('compare like Buffer', () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(Math.sign(compare(a, b))).toBe(Buffer.compare(a, b))
        expect(equal(a, b)).toBe(Buffer.compare(a, b) === 0)
        expect(equal(a, concat(a))).toBe(true)
        expect(isZero(a)).toBe(a.every((v) => v === 0))
      }),
    )
    expect(toHex(u32be(0x01020304))).toBe('01020304')
  })
})

function decodeOrNull(decode: (text: string) => Uint8Array, text: string): Uint8Array | null {
  try {
    return decode(text)
  } catch {
    return null
  }
}
