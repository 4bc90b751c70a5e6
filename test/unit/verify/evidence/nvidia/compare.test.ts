import { describe, expect, it } from 'vitest'
import { isAtLeast } from '../../../../../src/verify/evidence/nvidia/appraise.ts'
import { checkComparison, compareMeasurements, type GoldenSet } from '../../../../../src/verify/evidence/nvidia/compare.ts'

const value = (n: number): Uint8Array => new Uint8Array(48).fill(n)
const measured = Array.from({ length: 64 }, (_, i) => value(i))
const golden = (source: 'driver' | 'vbios', ...entries: readonly (readonly [index: number, ...values: number[]])[]): GoldenSet => ({
  source,
  measurements: entries.map(([index, ...values]) => ({ index, active: true, alternatives: values.map(value) })),
})
const outcomes = (sets: readonly GoldenSet[], nvdec0Disabled = false, allowed: readonly number[] = []): readonly string[] =>
  checkComparison(compareMeasurements(measured, sets, nvdec0Disabled), allowed).map((c) => c.outcome)

describe('measurements against golden values', () => {
  it('may be any of the alternatives; golden index 0 is block 1', () => {
    expect(outcomes([golden('driver', [0, 0], [7, 1, 2, 7]), golden('vbios', [9, 9])])).toEqual(['pass', 'pass'])
  })

  it('that differ are named with their source', () => {
    const { mismatches } = compareMeasurements(measured, [golden('driver', [7, 1]), golden('vbios', [9, 9])], false)
    expect(mismatches.map(({ index, source }) => [index, source])).toEqual([[7, 'driver']])
    expect(outcomes([golden('driver', [7, 1])])).toEqual(['pass', 'fail'])
  })

  it('of inactive indices do not count', () => {
    const set = { source: 'driver' as const, measurements: [{ index: 3, active: false, alternatives: [value(1)] }] }
    expect(compareMeasurements(measured, [set], false)).toEqual({ compared: [], mismatches: [], conflicts: [], skipped: [] })
    expect(outcomes([set])).toEqual(['unknown'])
  })

  it('of an index that both manifests claim are in conflict, even where both agree', () => {
    expect(outcomes([golden('driver', [7, 7]), golden('vbios', [7, 7])])).toEqual(['fail', 'pass'])
  })

  it('of NVDEC0 count unless it is disabled', () => {
    expect(outcomes([golden('driver', [7, 7], [35, 1])])).toEqual(['pass', 'fail'])
    expect(outcomes([golden('driver', [7, 7], [35, 1])], true)).toEqual(['pass', 'pass'])
  })

  it('that the report does not have are not equal', () => {
    const short = measured.slice(0, 5)
    expect(compareMeasurements(short, [golden('driver', [7, 7])], false).mismatches).toMatchObject([{ index: 7, got: null }])
  })

  it('may differ where the caller named the index, and nowhere else', () => {
    const sets = [golden('vbios', [9, 1], [10, 2])]
    expect([outcomes(sets, false, [9]), outcomes(sets, false, [9, 10])]).toEqual([
      ['pass', 'fail'],
      ['pass', 'pass'],
    ])
  })
})

describe('versions', () => {
  it.each([
    ['550.90.07', '550.90.07', 10, true],
    ['550.90.7', '550.90.07', 10, true],
    ['550.100.1', '550.90.07', 10, true],
    ['550.90', '550.90.07', 10, false],
    ['96.00.9F.00.01', '96.00.74.00.1A', 16, true],
    ['96.00.74.00.1A', '96.00.9F.00.01', 16, false],
    ['550.x', '550.1', 10, false],
    ['', '1', 10, false],
  ] as const)('%s is at least %s: base %i, %s', (version, floor, radix, holds) => {
    expect(isAtLeast(version, floor, radix)).toBe(holds)
  })
})
