import { beforeAll, describe, expect, it } from 'vitest'
import { createPolicy } from '../../../../src/client/index.ts'
import { LATEST, tcbLevel } from '../../../../src/sim/index.ts'
import { type AppraisedClaims, appraisePolicy, type Leniency, leniencyOf } from '../../../../src/verify/appraise/index.ts'
import { type Policy, parsePolicy } from '../../../../src/verify/documents/policy.ts'
import type { Requirements } from '../../../../src/verify/documents/requirements.ts'
import { accepts, type Verified } from '../../../../src/verify/verdict.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../../src/verify/verify-evidence.ts'
import { type CpuClaims, isCpuClaims } from '../../../../src/verify/verify-format.ts'
import { AT, collateralOf, type SimulatedCase, SimulatedIntel, tcbInfoJson } from '../../../support/intel.ts'
import { samplePolicy } from '../../../support/job-documents.ts'
import { snpClaims } from '../../../support/snp-claims.ts'

const STRICT: Leniency = { allowUnknown: [], sevSnp: {}, tdx: {}, sgx: {}, nvidia: { allowedMismatches: [] } }
const policyOf = (requirements: Requirements, allowUnknown: Policy['appraisal']['allowUnknown'] = []): Policy =>
  samplePolicy({ appraisal: { ...samplePolicy().appraisal, ...requirements, allowUnknown } })

/** What a policy refuses of that evidence, beside what it asks of every TEE. */
function refusedBy(policy: Policy, cpu: CpuClaims): readonly string[] {
  const claims = {
    ...{ tee: 'sev-snp', measurement: 'ab'.repeat(48), debug: false, simulated: true, bindingGrade: 'committed', placementGrade: 'none' },
    ...{ tcbEvaluationDataNumber: null, collateralTime: null, cpu },
    devices: [],
  } as unknown as Verified<AppraisedClaims>
  const checks = appraisePolicy(claims, policy, AT)
  const bad = checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule)
  expect(accepts(checks)).toBe(bad.length === 0)
  return bad
}

describe('a policy on SEV-SNP', () => {
  it.each<[string, Requirements, readonly string[]]>([
    ['accepts what meets it', { sevSnp: { products: ['Genoa'], floors: ['AMD-SB-3019'], vmpl: 0, committedFirmware: true } }, []],
    ['refuses another product', { sevSnp: { products: ['Turin'] } }, ['policy.product']],
    ['refuses a level below its floor', { sevSnp: { minimumTcb: { Genoa: { microcode: 255 } } } }, ['tcb.minimum']],
    ['refuses another chip', { sevSnp: { chipIds: ['01'.repeat(64)] } }, ['policy.chip-id']],
    ['asks nothing of it that it asks of TDX', { tdx: { septVeDisable: true, mrSeam: [] }, sgx: { mrEnclave: [] } }, []],
  ])('%s', (_, requirements, want) => {
    expect(refusedBy(policyOf(requirements), snpClaims)).toEqual(want)
  })

  it('refuses a masked CHIP_ID unless it says that it accepts one', () => {
    const masked = { ...snpClaims, chipId: '00'.repeat(64) }
    expect(refusedBy(policyOf({}), masked)).toEqual(['policy.masked-chip-id'])
    expect(refusedBy(policyOf({ sevSnp: { acceptMaskedChipId: true } }), masked)).toEqual([])
    expect(refusedBy(policyOf({}, ['policy']), masked)).toEqual([])
  })
})

describe('a policy on an Azure confidential VM', () => {
  const azure = (hardware: CpuClaims): CpuClaims => ({ tee: 'azure-cvm', hardware }) as CpuClaims

  it('asks of the hardware what it asks of such hardware anywhere', async () => {
    const { quote, root, ...made } = await new SimulatedIntel().make('tdx')
    const verdict = await verifyEvidence(quote, { collateral: collateralOf(made), trustAnchors: [root], at: AT, ...STRICT })
    if (verdict.decision === 'reject' || !isCpuClaims(verdict.format, verdict.claims)) throw new Error('rejected')
    const unmet: Requirements = { sevSnp: { products: ['Turin'] }, tdx: { rtmr1: [] } }
    expect(refusedBy(policyOf(unmet), azure(snpClaims))).toEqual(['policy.product'])
    expect(refusedBy(policyOf(unmet), azure(verdict.claims))).toEqual(['reference-values.rtmr1'])
    expect(refusedBy(policyOf({ sevSnp: { products: ['Genoa'] } }), azure(snpClaims))).toEqual([])
  })
})

describe('a policy on TDX and SGX', () => {
  let intel: SimulatedIntel
  const hardening = { tcbLevels: [tcbLevel(LATEST, 13, [6, 0, 3], 'SWHardeningNeeded', ['INTEL-SA-00615', 'INTEL-SA-00657'])] }
  const tolerant = {
    acceptedTcbStatuses: ['SWHardeningNeeded', 'UpToDate'],
    acceptedAdvisories: ['INTEL-SA-00615', 'INTEL-SA-00657'],
  } as const
  let td: SimulatedCase
  let needsHardening: SimulatedCase
  beforeAll(async () => {
    intel = new SimulatedIntel()
    td = await intel.make('tdx')
    needsHardening = await intel.make('tdx', { tcbInfo: tcbInfoJson('tdx', hardening) })
  })

  const verify = (made: SimulatedCase, leniency: Leniency): Promise<EvidenceVerdict> =>
    verifyEvidence(made.quote, { collateral: collateralOf(made), trustAnchors: [made.root], at: AT, ...leniency })
  async function claimsOf(made: SimulatedCase, leniency: Leniency): Promise<CpuClaims> {
    const verdict = await verify(made, leniency)
    if (verdict.decision === 'reject') throw new Error(verdict.error?.message)
    if (!isCpuClaims(verdict.format, verdict.claims)) throw new Error(verdict.format)
    return verdict.claims
  }

  it('holds reference values and attributes against the claims', async () => {
    const claims = await claimsOf(td, STRICT)
    expect(refusedBy(policyOf({ tdx: { septVeDisable: true, notMigratable: true, noServiceTd: true } }), claims)).toEqual([])
    expect(refusedBy(policyOf({ tdx: { rtmr1: [], mrOwner: ['01'.repeat(48)], allowedXfam: '0x3' } }), claims)).toEqual([
      'policy.xfam',
      'reference-values.mr-owner',
      'reference-values.rtmr1',
    ])
    const enclave = await claimsOf(await intel.make('sgx'), STRICT)
    expect(refusedBy(policyOf({ sgx: { noProvisionKey: true } }), enclave)).toEqual([])
    expect(refusedBy(policyOf({ sgx: { mrEnclave: ['00'.repeat(32)] } }), enclave)).toEqual(['reference-values.mr-enclave'])
  })

  it('lets a status pass only with its advisories, in the verifier and in the policy', async () => {
    const policy = policyOf({ tdx: tolerant })
    const claims = await claimsOf(needsHardening, leniencyOf([policy]))
    expect(refusedBy(policy, claims)).toEqual([])
    for (const tdx of [
      {},
      { acceptedTcbStatuses: tolerant.acceptedTcbStatuses },
      { ...tolerant, acceptedAdvisories: ['INTEL-SA-00615'] },
      { acceptedAdvisories: tolerant.acceptedAdvisories },
      { ...tolerant, acceptedTcbStatuses: [] },
    ]) {
      const stricter = policyOf({ tdx })
      expect(refusedBy(stricter, claims)).toEqual(['tcb.status'])
      expect((await verify(needsHardening, leniencyOf([stricter]))).decision).toBe('reject')
      expect((await verify(needsHardening, leniencyOf([policy, stricter]))).decision).toBe('reject')
    }
  })

  it('of SGX lends no leniency to TDX', async () => {
    expect((await verify(needsHardening, leniencyOf([policyOf({ sgx: tolerant })]))).decision).toBe('reject')
  })

  it('leaves a status that could not be worked out unknown', async () => {
    const claims = { ...(await claimsOf(td, STRICT)), tcb: null } as CpuClaims
    expect(refusedBy(policyOf({}), claims)).toEqual(['tcb.status'])
    expect(refusedBy(policyOf({}, ['tcb']), claims)).toEqual([])
  })
})

describe('leniency', () => {
  const lenient = policyOf(
    {
      sevSnp: { acceptMaskedChipId: true },
      tdx: { acceptedTcbStatuses: ['OutOfDate', 'UpToDate'], acceptedAdvisories: ['INTEL-SA-00001'] },
    },
    ['revocation', 'tcb'],
  )

  it('is none without a policy', () => {
    expect(leniencyOf([])).toEqual(STRICT)
  })

  it('is what every policy accepts', () => {
    expect(leniencyOf([lenient, lenient])).toEqual({
      allowUnknown: ['revocation', 'tcb'],
      nvidia: { allowedMismatches: [] },
      sevSnp: { acceptMaskedChipId: true },
      tdx: { acceptedTcbStatuses: ['OutOfDate', 'UpToDate'], acceptedAdvisories: ['INTEL-SA-00001'] },
      sgx: { acceptedTcbStatuses: ['UpToDate'], acceptedAdvisories: [] },
    })
    expect(leniencyOf([lenient, policyOf({}, ['tcb'])])).toEqual({
      allowUnknown: ['tcb'],
      nvidia: { allowedMismatches: [] },
      sevSnp: {},
      tdx: { acceptedTcbStatuses: ['UpToDate'], acceptedAdvisories: [] },
      sgx: { acceptedTcbStatuses: ['UpToDate'], acceptedAdvisories: [] },
    })
  })

  it('of two that agree on nothing accepts nothing', () => {
    const other = policyOf({ tdx: { acceptedTcbStatuses: ['SWHardeningNeeded'] } })
    expect(leniencyOf([lenient, other]).tdx).toEqual({ acceptedTcbStatuses: [], acceptedAdvisories: [] })
  })
})

describe('a policy that is written without choices', () => {
  const made = (tees: readonly string[], requirements: Requirements = {}): Policy =>
    parsePolicy(
      createPolicy({
        log: samplePolicy().log,
        measurements: tees.map((tee) => ({ tee, value: 'ab'.repeat(48) })),
        allowSimulated: true,
        allowUnknown: [],
        runners: ['docker'],
        requirements,
      }),
    )

  it('asks for the strict values of its TEEs and of no other', () => {
    expect(Object.keys(made(['sev-snp', 'tdx']).appraisal)).toEqual(expect.arrayContaining(['sevSnp', 'tdx']))
    expect(made(['sev-snp', 'tdx']).appraisal).not.toHaveProperty('sgx')
    expect(made(['sgx']).appraisal).toMatchObject({ sgx: { noProvisionKey: true } })
    expect(refusedBy(made(['sev-snp']), snpClaims)).toEqual([])
  })

  it('refuses Milan, uncommitted firmware, levels that a bulletin warns of, and untested memory', () => {
    const worse = {
      ...snpClaims,
      product: 'Milan' as const,
      committedVersion: '1.55.1',
      reportedTcb: { ...snpClaims.reportedTcb, snp: 0x17 },
      platformInfoBits: { ...snpClaims.platformInfoBits, aliasCheckComplete: false },
    }
    expect(refusedBy(made(['sev-snp']), worse)).toEqual([
      'policy.product',
      'tcb.bulletin',
      'tcb.committed',
      'policy.platform-info-required',
    ])
    expect(refusedBy(made(['sev-snp'], { sevSnp: {} }), worse)).toEqual([])
  })
})
