import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isJsonObject, type JsonValue, parseStrictJson } from '../../../../../src/verify/evidence/dcap/json.ts'
import { outcomeOf } from '../../../../support/outcome.ts'

/** As JSON.parse would have it. */
function plain(value: JsonValue): unknown {
  if (isJsonObject(value)) return new Map([...value.members].map(([k, v]) => [k, plain(v)]))
  return Array.isArray(value) ? (value as readonly JsonValue[]).map(plain) : value
}

function asMaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asMaps)
  if (typeof value === 'object' && value !== null) return new Map(Object.entries(value).map(([k, v]) => [k, asMaps(v)]))
  return value
}

describe('strict JSON', () => {
  it.each([
    '{"a":1,"a":2}',
    '{"a":{"b":1,"c":2,"b":3}}',
    '{"a":1,"\\u0061":2}',
    '{"a":1}x',
    '{"a":1',
    '{"a":}',
    '{"a" 1}',
    '{a:1}',
    "{'a':1}",
    '[1,]',
    '[1 2]',
    '{"a":1,}',
    '01',
    '1.',
    '+1',
    '.5',
    '-',
    'NaN',
    'nul',
    '"a',
    '"\\x41"',
    '"a\nb"',
    '',
    ' ',
    '\uFEFF1',
    '// c\n1',
  ])('rejects %j', async (text) => {
    expect(await outcomeOf(() => parseStrictJson(text, 'x'))).toBe('JSON_MALFORMED')
  })

  it('rejects deep nesting without running out of stack', async () => {
    expect(await outcomeOf(() => parseStrictJson('['.repeat(200_000), 'x'))).toBe('JSON_MALFORMED')
  })

  it('says where each member stands in the text', () => {
    const text = ' {"a" : {"b":[1, 2]} ,"c":"}"}'
    const value = parseStrictJson(text, 'x')
    expect(isJsonObject(value) && text.slice(...(value.spans.get('a') ?? [0, 0]))).toBe('{"b":[1, 2]}')
  })

  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 8 }), (text) => {
        expect(plain(parseStrictJson(text, 'x'))).toEqual(asMaps(JSON.parse(text)))
      }),
    )
  })

  it('never accepts what JSON.parse refuses, whatever the text', async () => {
    const parses = (text: string): boolean => {
      try {
        JSON.parse(text)
        return true
      } catch {
        return false
      }
    }
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: fc.constantFrom(...'{}[]",:0123456789.eE+-truefalsn \\u'.split('')), maxLength: 24 }),
        async (text) => {
          const accepted = (await outcomeOf(() => parseStrictJson(text, 'x'))) === 'accepted'
          expect(accepted && !parses(text)).toBe(false)
        },
      ),
      { numRuns: 2000 },
    )
  })
})
