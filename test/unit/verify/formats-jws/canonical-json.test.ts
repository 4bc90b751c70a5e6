import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromUtf8, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { encodeCanonical, type Json, parseCanonical } from '../../../../src/verify/formats/canonical-json.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const MAX = 64 * 1024
const text = fc.string({ unit: 'grapheme' }).filter((s) => s.isWellFormed())
const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger().filter((n) => !Object.is(n, -0)),
    text,
    fc.array(tie('json'), { maxLength: 5 }),
    fc.dictionary(text, tie('json'), { maxKeys: 5, noNullPrototype: true }),
  ),
}))

describe('canonical JSON', () => {
  it('sorts members by UTF-16 code units, as the example of RFC 8785 section 3.2.3', () => {
    const value = {
      '€': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '😀': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      ö: 'Latin Small Letter O With Diaeresis',
    }
    const order = [
      'Carriage Return',
      'One',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ]
    const members = fromUtf8(encodeCanonical(value)).slice(1, -1).split(',')
    expect(members.map((m) => m.split(':').slice(1).join(':').slice(1, -1))).toEqual(order)
  })

  it('escapes what RFC 8785 section 3.2.2.2 escapes, in its spelling, and nothing else', () => {
    const value = '€$\u000f\nA\'B"\\\\"/\u007f\u2028<'
    expect(fromUtf8(encodeCanonical(value))).toBe('"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\u007f\u2028<"')
  })

  it('reads what it writes, for any value', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(parseCanonical(encodeCanonical(value), MAX)).toEqual(value)
      }),
      { numRuns: 500, seed: 5 },
    )
  })

  it('writes the same bytes whatever the order in which members were put in', () => {
    fc.assert(
      fc.property(fc.dictionary(text, json, { noNullPrototype: true }), (value) => {
        const reversed = Object.fromEntries(Object.entries(value).reverse())
        expect(encodeCanonical(reversed)).toEqual(encodeCanonical(value))
      }),
      { numRuns: 200, seed: 6 },
    )
  })

  it('accepts no second spelling: bytes that it reads are the bytes that it writes', () => {
    const token = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '"b"',
      '"\\u0061"',
      '1',
      '1.0',
      '-0',
      '01',
      '1e3',
      ' ',
      '\n',
      'true',
      'null',
      '"',
      '\\',
    )
    const soup = fc.oneof(
      fc.array(token, { maxLength: 12 }).map((t) => utf8(t.join(''))),
      fc.uint8Array({ maxLength: 64 }),
    )
    fc.assert(
      fc.property(soup, (bytes) => {
        try {
          expect(encodeCanonical(parseCanonical(bytes, MAX))).toEqual(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(AttestError)
        }
      }),
      { numRuns: 5000, seed: 7 },
    )
  })

  it.each([
    ['white space', '{"a": 1}'],
    ['a final newline', '{"a":1}\n'],
    ['members out of order', '{"b":1,"a":2}'],
    ['a member twice', '{"a":1,"a":1}'],
    ['a member twice in two spellings', '{"a":1,"\\u0061":1}'],
    ['an escape that is not needed', '"\\u0061"'],
    ['an escaped slash', '"\\/"'],
    ['an upper-case escape', '"\\u000F"'],
    ['a lone surrogate', '"\\ud800"'],
    ['a fraction', '1.5'],
    ['an integer as a fraction', '1.0'],
    ['an exponent', '1e3'],
    ['minus zero', '-0'],
    ['an integer beyond 2^53', '9007199254740992'],
    ['an integer that would be rounded', '9007199254740993'],
    ['a number beyond all', '1e999'],
    ['nesting beyond 32', `${'['.repeat(40)}${']'.repeat(40)}`],
    ['nesting that would end a stack', `${'['.repeat(30_000)}${']'.repeat(30_000)}`],
  ])('refuses %s', async (_, input) => {
    expect(await outcomeOf(() => parseCanonical(utf8(input), MAX))).toBe('JSON_NOT_CANONICAL')
  })

  it.each([
    ['nothing', ''],
    ['a byte order mark', '\ufeff{}'],
    ['two values', '{}{}'],
    ['a comment', '{}//'],
    ['a comma at the end', '[1,]'],
    ['a leading zero', '01'],
  ])('refuses %s as no JSON at all', async (_, input) => {
    expect(await outcomeOf(() => parseCanonical(utf8(input), MAX))).toBe('JSON_MALFORMED')
  })

  it('refuses what is longer than allowed before it looks at it, and bytes that are not UTF-8', async () => {
    expect(await outcomeOf(() => parseCanonical(utf8('"abc"'), 4))).toBe('DOCUMENT_INVALID')
    expect(await outcomeOf(() => parseCanonical(Uint8Array.of(0x22, 0xc0, 0xaf, 0x22), MAX))).toBe('ENCODING_INVALID')
  })

  it('writes nothing that it would not read', async () => {
    for (const value of [1.5, -0, Number.NaN, 2 ** 53, '\ud800', undefined, () => 1, 1n, { a: undefined }, new Date(Number.NaN)]) {
      const outcome = await outcomeOf(() => parseCanonical(encodeCanonical(value as Json), MAX))
      expect(['DOCUMENT_INVALID', 'accepted']).toContain(outcome)
      if (outcome === 'accepted') expect(fromUtf8(encodeCanonical(value as Json))).toBe('{}')
    }
  })

  it('keeps a member named __proto__ as plain data', () => {
    const bytes = utf8('{"__proto__":{"polluted":true}}')
    expect(encodeCanonical(parseCanonical(bytes, MAX))).toEqual(bytes)
    expect(({} as { polluted?: true }).polluted).toBeUndefined()
  })
})
