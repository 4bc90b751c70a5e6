import { afterAll, describe, expect, it } from 'vitest'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { parseQuote } from '../../../src/verify/evidence/dcap/quote.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { truncationErrors } from '../../support/damage.ts'
import { verifyTd } from '../../support/dcap.ts'
import { flipBits, type Tally, tally } from '../../support/dcap-vector-checks.ts'
import { type QuoteVector, quoteVectors, tdxFolder } from '../../support/dcap-vectors.ts'
import { dcapCases } from '../../support/vector-cases.ts'

function onePassing(): QuoteVector {
  const vector = quoteVectors('tdx').find((v) => v.expected.verdict === 'pass' && v.id.startsWith('tdx-v5'))
  if (vector === undefined) throw new Error('no vector')
  return vector
}

describe.skipIf(tdxFolder === null)('real TDX quotes', () => {
  const counts: Tally = tally('TDX')
  afterAll(() => counts.print())

  it.each(dcapCases('tdx'))('$id gives the expected verdict and values', async ({ input, options, check }) => {
    counts.count(check(await verifyEvidence(input, { ...options, cache: createVerifyCache() })))
  })

  it('refuses every single flipped bit of the signed part of one quote', async () => {
    const vector = onePassing()
    expect(await flipBits(vector, (one, cache, collateral) => verifyTd(one, { cache, collateral }), 48 + 6 + 648)).toBe(8 * (48 + 6 + 648))
  })

  it('refuses one quote with a typed error when it is cut off anywhere', async () => {
    const { quote, collateral, at } = onePassing()
    const whole = quote.subarray(0, parseQuote(quote).sizeBytes)
    const options = { format: 'tdx', trustAnchors: [], allowUnknown: [], collateral, at, cache: createVerifyCache() } as const
    expect((await verifyEvidence(whole, options)).decision).toBe('accept')
    expect(await truncationErrors(whole, options)).toEqual(['EVIDENCE_TRUNCATED'])
  })
})
