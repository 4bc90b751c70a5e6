import { afterAll, describe, expect, it } from 'vitest'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { verifySgx } from '../../support/dcap.ts'
import { flipBits, type Tally, tally } from '../../support/dcap-vector-checks.ts'
import { quoteVectors, sgxFolder } from '../../support/dcap-vectors.ts'
import { dcapCases } from '../../support/vector-cases.ts'

describe.skipIf(sgxFolder === null)('real SGX quotes', () => {
  const counts: Tally = tally('SGX')
  afterAll(() => counts.print())

  it.each(dcapCases('sgx'))('$id gives the expected verdict and values', async ({ input, options, check }) => {
    counts.count(check(await verifyEvidence(input, { ...options, cache: createVerifyCache() })))
  })

  it('refuses every single flipped bit of the signed part of one quote', async () => {
    const vector = quoteVectors('sgx').find((v) => v.expected.verdict === 'pass')
    if (vector === undefined) throw new Error('no vector')
    expect(await flipBits(vector, (one, cache, collateral) => verifySgx(one, { cache, collateral }), 48 + 384)).toBe(8 * (48 + 384))
  })
})
