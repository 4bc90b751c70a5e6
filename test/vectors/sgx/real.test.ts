import { afterAll, describe, expect, it } from 'vitest'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { parseQuote } from '../../../src/verify/evidence/dcap/quote.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { truncationErrors } from '../../support/damage.ts'
import { verifySgx } from '../../support/dcap.ts'
import { flipBits, type Tally, tally } from '../../support/dcap-vector-checks.ts'
import { type QuoteVector, quoteVectors, sgxFolder } from '../../support/dcap-vectors.ts'
import { dcapCases } from '../../support/vector-cases.ts'

function onePassing(): QuoteVector {
  const vector = quoteVectors('sgx').find((v) => v.expected.verdict === 'pass')
  if (vector === undefined) throw new Error('no vector')
  return vector
}

describe.skipIf(sgxFolder === null)('real SGX quotes', () => {
  const counts: Tally = tally('SGX')
  afterAll(() => counts.print())

  it.each(dcapCases('sgx'))('$id gives the expected verdict and values', async ({ input, options, check }) => {
    counts.count(check(await verifyEvidence(input, { ...options, cache: createVerifyCache() })))
  })

  it('refuses every single flipped bit of the signed part of one quote', async () => {
    const vector = onePassing()
    expect(await flipBits(vector, (one, cache, collateral) => verifySgx(one, { cache, collateral }), 48 + 384)).toBe(8 * (48 + 384))
  })

  it('refuses one quote with a typed error when it is cut off anywhere', async () => {
    const { quote, collateral, at } = onePassing()
    const whole = quote.subarray(0, parseQuote(quote).sizeBytes)
    const options = { format: 'sgx', trustAnchors: [], allowUnknown: [], collateral, at, cache: createVerifyCache() } as const
    expect((await verifyEvidence(whole, options)).decision).toBe('accept')
    expect(await truncationErrors(whole, options)).toEqual(['EVIDENCE_TRUNCATED'])
  })
})
