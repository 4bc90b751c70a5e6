import { afterAll, describe, expect, it } from 'vitest'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { verifyTd } from '../../support/dcap.ts'
import { flipBits, type Tally, tally } from '../../support/dcap-vector-checks.ts'
import { quoteVectors, tdxFolder } from '../../support/dcap-vectors.ts'
import { dcapCases } from '../../support/vector-cases.ts'

describe.skipIf(tdxFolder === null)('real TDX quotes', () => {
  const counts: Tally = tally('TDX')
  afterAll(() => counts.print())

  it.each(dcapCases('tdx'))('$id gives the expected verdict and values', async ({ input, options, check }) => {
    counts.count(check(await verifyEvidence(input, { ...options, cache: createVerifyCache() })))
  })

  it('refuses every single flipped bit of the signed part of one quote', async () => {
    const vector = quoteVectors('tdx').find((v) => v.expected.verdict === 'pass' && v.id.startsWith('tdx-v5'))
    if (vector === undefined) throw new Error('no vector')
    expect(await flipBits(vector, (one, cache, collateral) => verifyTd(one, { cache, collateral }), 48 + 6 + 648)).toBe(8 * (48 + 6 + 648))
  })
})
