import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodePolicy, parsePolicy } from '../../../../src/verify/documents/policy.ts'
import { checkRequirements } from '../../../../src/verify/documents/requirements.ts'
import { samplePolicy } from '../../../support/job-documents.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { everyRequirement } from '../../../support/requirements.ts'

const h = (size: number, fill = '5a'): string => fill.repeat(size)

describe('requirements in a policy', () => {
  it('are read as they were written, all of them', () => {
    const policy = samplePolicy({ appraisal: { ...samplePolicy().appraisal, ...everyRequirement } })
    expect(parsePolicy(encodePolicy(policy))).toEqual(policy)
  })

  it('may be absent, each of them', () => {
    for (const [tee, members] of Object.entries(everyRequirement)) {
      expect(checkRequirements({ [tee]: {} })).toEqual({ [tee]: {} })
      for (const [name, value] of Object.entries(members))
        expect(checkRequirements({ [tee]: { [name]: value } })).toEqual({ [tee]: { [name]: value } })
    }
  })

  it.each<[string, unknown]>([
    ['a TEE that is not known', { nitro: {} }],
    ['a rule that is not known', { sevSnp: { minimumSmt: 1 } }],
    ['a rule of another TEE', { sgx: { septVeDisable: true } }],
    ['a rule switched off', { tdx: { septVeDisable: false } }],
    ['null for absent', { sevSnp: { vmpl: null } }],
    ['a product that is not known', { sevSnp: { products: ['Venice'] } }],
    ['products out of order', { sevSnp: { products: ['Turin', 'Genoa'] } }],
    ['a product twice', { sevSnp: { products: ['Genoa', 'Genoa'] } }],
    ['a bulletin that is not known', { sevSnp: { floors: ['AMD-SB-3020'] } }],
    ['a level of Turin for Genoa', { sevSnp: { minimumTcb: { Genoa: { fmc: 1 } } } }],
    ['a floor of no level', { sevSnp: { minimumTcb: { Genoa: {} } } }],
    ['a launch floor of no level', { sevSnp: { minimumLaunchTcb: { Turin: {} } } }],
    ['bits that are none', { sevSnp: { guestPolicy: {} } }],
    ['two lists of no bit', { tdx: { attributes: { required: [], forbidden: [] } } }],
    ['a level beyond a byte', { sevSnp: { minimumTcb: { Genoa: { snp: 256 } } } }],
    ['a level that is no integer', { sevSnp: { minimumTcb: { Genoa: { snp: 1.5 } } } }],
    ['a version as text', { sevSnp: { minimumCurrentVersion: '1.55.29' } }],
    ['VMPL 4', { sevSnp: { vmpl: 4 } }],
    ['a policy bit that is not known', { sevSnp: { guestPolicy: { required: ['reserved1'] } } }],
    ['a bit both required and forbidden', { sevSnp: { platformInfo: { required: ['smt'], forbidden: ['smt'] } } }],
    ['upper-case hexadecimal', { sevSnp: { measurements: [h(48, '5A')] } }],
    ['a measurement of 47 bytes', { sevSnp: { measurements: [h(47)] } }],
    ['an ID key of zeros, which is none', { sevSnp: { idBlock: { idKeyDigests: [h(48, '00')], authorKeyDigests: [] } } }],
    ['a masked chip for a chip', { sevSnp: { chipIds: [h(64, '00')] } }],
    ['half an ID block', { sevSnp: { idBlock: { idKeyDigests: [] } } }],
    ['a mask with leading zeros', { sevSnp: { launchMitigations: '0x0b' } }],
    ['a mask of more than 64 bits', { tdx: { allowedXfam: '0x10000000000000000' } }],
    ['a mask as a number', { tdx: { allowedXfam: 7 } }],
    ['Revoked among the accepted statuses', { tdx: { acceptedTcbStatuses: ['Revoked'] } }],
    ['NotSupported among the accepted statuses', { tdx: { acceptedTcbStatuses: ['NotSupported'] } }],
    ['an advisory that is none', { sgx: { acceptedAdvisories: ['all'] } }],
    ['the evaluation number, which has a place of its own', { tdx: { minimumTcbEvaluationDataNumber: 17 } }],
    ['an SVN beyond 16 bits', { sgx: { signer: { mrSigner: h(32), isvProdId: 65536, minimumIsvSvn: 0 } } }],
    ['half a signer', { sgx: { signer: { mrSigner: h(32), isvProdId: 1 } } }],
  ])('refuse %s', async (_, requirements) => {
    expect(await outcomeOf(() => checkRequirements(requirements))).toBe('DOCUMENT_INVALID')
  })

  it('fail only with an AttestError, whatever the value', () => {
    const value = fc.oneof(
      fc.jsonValue(),
      fc.record({ sevSnp: fc.jsonValue(), tdx: fc.jsonValue(), sgx: fc.jsonValue() }, { requiredKeys: [] }),
    )
    return fc.assert(
      fc.asyncProperty(value, async (v) => {
        expect(['accepted', 'DOCUMENT_INVALID']).toContain(await outcomeOf(() => checkRequirements(v)))
      }),
      { numRuns: 300, seed: 9 },
    )
  })
})
