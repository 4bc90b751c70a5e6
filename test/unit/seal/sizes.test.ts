import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ciphertextSize, plaintextSize, SEGMENT_SIZE, segmentCount, segmentOf, segmentSpan } from '../../../src/seal/index.ts'
import { outcomeOf } from '../../support/outcome.ts'

const FIRST = SEGMENT_SIZE - 40 - 16
const NEXT = SEGMENT_SIZE - 16
const border = fc.tuple(fc.integer({ min: 0, max: 2 ** 20 }), fc.integer({ min: -20, max: 20 })).map(([n, d]) => FIRST + n * NEXT + d)
const size = fc.oneof(
  fc.maxSafeNat().map((n) => n % 2 ** 51),
  fc.integer({ min: 0, max: 5 * SEGMENT_SIZE }),
  border,
)

describe('sizes', () => {
  it.each([
    [0, 1, 56],
    [1, 1, 57],
    [FIRST - 1, 1, SEGMENT_SIZE - 1],
    [FIRST, 1, SEGMENT_SIZE],
    [FIRST + 1, 2, SEGMENT_SIZE + 17],
    [FIRST + NEXT, 2, 2 * SEGMENT_SIZE],
    [FIRST + NEXT + 1, 3, 2 * SEGMENT_SIZE + 17],
    [2 ** 32 * NEXT - 40, 2 ** 32, 2 ** 52],
  ])('of %d bytes: %d segments, %d bytes of ciphertext', (plain, segments, cipher) => {
    expect(segmentCount(plain)).toBe(segments)
    expect(ciphertextSize(plain)).toBe(cipher)
    expect(plaintextSize(cipher)).toBe(plain)
  })

  it('of plaintext and ciphertext are inverse', () => {
    fc.assert(fc.property(size, (n) => plaintextSize(ciphertextSize(n)) === n))
  })

  it('of ciphertext that no plaintext has are refused', async () => {
    for (const n of [-1, 0, 39, 55, 56.5, Number.NaN, 2 ** 53, SEGMENT_SIZE + 1, SEGMENT_SIZE + 16, 7 * SEGMENT_SIZE + 16, 2 ** 52 + 17]) {
      expect(await outcomeOf(() => plaintextSize(n)), String(n)).toBe(n === 2 ** 52 + 17 ? 'LIMIT_EXCEEDED' : 'STREAM_TRUNCATED')
    }
  })

  it('of plaintext outside the format are refused', async () => {
    for (const n of [-1, 0.5, Number.NaN, 2 ** 32 * NEXT - 39, 2 ** 53])
      expect(await outcomeOf(() => ciphertextSize(n))).toBe('LIMIT_EXCEEDED')
  })
})

describe('segment spans', () => {
  it('tile stream and plaintext without gaps, and only the last one says so', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 12 * SEGMENT_SIZE }), (total) => {
        let [stream, plain] = [0, 0]
        for (let i = 0; i < segmentCount(total); i++) {
          const span = segmentSpan(total, i)
          expect([span.offset, span.plaintextOffset]).toEqual([stream, plain])
          expect(span.last).toBe(i === segmentCount(total) - 1)
          if (span.plaintextSize > 0) expect([segmentOf(plain), segmentOf(plain + span.plaintextSize - 1)]).toEqual([i, i])
          stream += span.size
          plain += span.plaintextSize
        }
        expect([stream, plain]).toEqual([ciphertextSize(total), total])
      }),
      { numRuns: 50 },
    )
  })

  it('do not exist outside the stream', async () => {
    for (const i of [-1, 2, 0.5]) expect(await outcomeOf(() => segmentSpan(FIRST + 1, i))).toBe('LIMIT_EXCEEDED')
  })
})
