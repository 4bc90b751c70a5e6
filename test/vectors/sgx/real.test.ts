import { afterAll, describe, expect, it } from 'vitest'
import { decide, verifySgx } from '../../support/dcap.ts'
import { expectCommon, flipBits, mutationOutcome, type Tally, tally } from '../../support/dcap-vector-checks.ts'
import { mutatedVectors, quoteVectors, sgxFolder } from '../../support/dcap-vectors.ts'

describe.skipIf(sgxFolder === null)('real SGX quotes', () => {
  const counts: Tally = tally('SGX')
  afterAll(() => counts.print())

  const vectors = sgxFolder === null ? [] : quoteVectors('sgx')
  describe.each(vectors)('$id', (vector) => {
    it('gives the expected verdict, with the expected values', async () => {
      const result = await verifySgx(vector)
      const verdict = decide(result)
      expectCommon(verdict, vector.expected)
      const want = vector.expected.parsed?.enclave ?? {}
      const { enclave } = result.parsed
      expect(enclave).toMatchObject({
        cpuSvn: want.cpusvn,
        attributes: want.attributes,
        mrEnclave: want.mrenclave,
        mrSigner: want.mrsigner,
        isvProdId: want.isvprodid,
        isvSvn: want.isvsvn,
        reportData: want.report_data,
      })
      if (typeof vector.expected.debug === 'boolean') expect(enclave.attributeBits.debug).toBe(vector.expected.debug)
      counts.count(verdict.decision)
    })
  })

  const mutated = sgxFolder === null ? [] : mutatedVectors('sgx')
  it.each(mutated)('$id is refused: $reason', async (vector) => {
    const outcome = await mutationOutcome(() => verifySgx(vector), vector.reason)
    counts.count('recipe')
    expect(outcome).toEqual({ refused: true, fitting: true })
  })

  it('refuses every single flipped bit of the signed part of one quote', async () => {
    const vector = vectors.find((v) => v.expected.verdict === 'pass')
    if (vector === undefined) throw new Error('no vector')
    expect(await flipBits(vector, (one, cache, collateral) => verifySgx(one, { cache, collateral }), 48 + 384)).toBe(8 * (48 + 384))
  })
})
