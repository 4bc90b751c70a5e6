import { describe, expect, it } from 'vitest'
import {
  type AppraisedClaims,
  appraisePolicy,
  checkpointAgeChecks,
  constraintChecks,
  contractTimeChecks,
  grantTimeChecks,
  policiesAllow,
  provenOf,
} from '../../../../src/verify/appraise/index.ts'
import type { Policy } from '../../../../src/verify/documents/policy.ts'
import type { DeviceClaims } from '../../../../src/verify/evidence/nvidia/claims.ts'
import { accepts, type Check, type Verified } from '../../../../src/verify/verdict.ts'
import {
  headerBytes,
  kemKey,
  logKey,
  ORIGIN,
  policyBytes,
  sampleContract,
  sampleGrant,
  samplePolicy,
  T0,
} from '../../../support/job-documents.ts'
import { snpClaims } from '../../../support/snp-claims.ts'

const claims = {
  tee: 'sev-snp',
  measurement: 'ab'.repeat(48),
  debug: false,
  simulated: true,
  bindingGrade: 'committed',
  placementGrade: 'none',
  tcbEvaluationDataNumber: null,
  collateralTime: T0 - 100,
  cpu: snpClaims,
  devices: [],
  config: { region: 'DE' },
} as AppraisedClaims as Verified<AppraisedClaims>

const at = new Date(T0 * 1000)
const bad = (checks: readonly Check[]): string[] => checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule)
const appraisal = (changes: Partial<Policy['appraisal']>): Policy =>
  samplePolicy({ appraisal: { ...samplePolicy().appraisal, ...changes } })

describe('appraisal by a policy', () => {
  it('accepts evidence that meets it', () => {
    expect(bad(appraisePolicy(claims, samplePolicy(), at))).toEqual([])
  })

  const cases: readonly (readonly [string, Partial<AppraisedClaims>, Policy, readonly string[]])[] = [
    ['a TEE that is not listed', { tee: 'tdx' }, samplePolicy(), ['policy.tee', 'reference-values.measurement']],
    ['another measurement', { measurement: 'ac'.repeat(48) }, samplePolicy(), ['reference-values.measurement']],
    [
      'a measurement that is only the start of a listed one',
      { measurement: 'ab'.repeat(32) },
      samplePolicy(),
      ['reference-values.measurement'],
    ],
    ["another TEE's measurement", { tee: 'tdx' }, appraisal({ tees: ['sev-snp', 'tdx'] }), ['reference-values.measurement']],
    ['no measurement', { measurement: null }, samplePolicy(), ['reference-values.measurement']],
    ['any measurement where none is listed', {}, appraisal({ measurements: [] }), ['reference-values.measurement']],
    ['any TEE where none is listed', {}, appraisal({ tees: [] }), ['policy.tee']],
    ['simulated evidence where it is not allowed', {}, appraisal({ allowSimulated: false }), ['policy.simulated']],
    ['debug mode', { debug: true }, samplePolicy(), ['debug.off']],
    ['a lower binding grade', { bindingGrade: 'nonce' }, samplePolicy(), ['policy.binding-grade']],
    ['a binding grade that does not exist', { bindingGrade: 'superb' as 'link' }, samplePolicy(), ['policy.binding-grade']],
    [
      'a placement that nobody stated',
      {},
      samplePolicy({ minimumGrades: { binding: 'none', placement: 'operator-stated' } }),
      ['policy.placement-grade'],
    ],
    ['old collateral', { collateralTime: T0 - 7_776_001 }, samplePolicy(), ['freshness.collateral-age']],
    [
      'a low evaluation number',
      { tcbEvaluationDataNumber: 16 },
      samplePolicy({ minimumTcbEvaluationDataNumber: 17 }),
      ['tcb.evaluation-data-number'],
    ],
    [
      'no evaluation number where one is asked for',
      {},
      samplePolicy({ minimumTcbEvaluationDataNumber: 17 }),
      ['tcb.evaluation-data-number'],
    ],
  ]

  it.each(cases)('rejects %s', (_, changes, policy, want) => {
    expect(bad(appraisePolicy({ ...claims, ...changes }, policy, at))).toEqual(want)
  })

  it('accepts an unknown of a group that the policy names, never a failure', () => {
    const lenient: Policy = { ...appraisal({ allowUnknown: ['tcb'] }), minimumTcbEvaluationDataNumber: 17 }
    expect(bad(appraisePolicy(claims, lenient, at))).toEqual([])
    expect(bad(appraisePolicy({ ...claims, tcbEvaluationDataNumber: 16 }, lenient, at))).toEqual(['tcb.evaluation-data-number'])
  })

  it('shows the policy what it wanted and what it found', () => {
    const [first] = appraisePolicy({ ...claims, tee: 'tdx' }, samplePolicy(), at)
    expect(first).toEqual({ rule: 'policy.tee', outcome: 'fail', want: 'sev-snp', got: 'tdx' })
  })
})

describe('time', () => {
  const start = Date.parse('2026-05-28T20:00:00Z') / 1000
  const end = Date.parse('2026-05-29T20:00:00Z') / 1000

  it('tests the start of a grant at the lower bound of now and its end at the upper', async () => {
    const grant = await sampleGrant(headerBytes, policyBytes)
    expect(bad(grantTimeChecks(grant, start, end - 1))).toEqual([])
    expect(bad(grantTimeChecks(grant, start - 1, end - 1))).toEqual(['freshness.grant-begun'])
    expect(bad(grantTimeChecks(grant, start, end))).toEqual(['freshness.grant-expiry'])
  })

  it('ends a contract at its last instant', async () => {
    const contract = await sampleContract(headerBytes, policyBytes)
    const last = Date.parse(contract.notAfter) / 1000
    expect(bad(contractTimeChecks(contract, last - 1))).toEqual([])
    expect(bad(contractTimeChecks(contract, last))).toEqual(['freshness.contract'])
  })

  it('refuses a stale checkpoint and one that is dated ahead', () => {
    expect(bad(checkpointAgeChecks(samplePolicy(), T0, T0 + 600))).toEqual([])
    expect(bad(checkpointAgeChecks(samplePolicy(), T0, T0 + 601))).toEqual(['freshness.checkpoint-age'])
    expect(bad(checkpointAgeChecks(samplePolicy(), T0 + 601, T0))).toEqual(['freshness.checkpoint-age'])
  })
})

describe('demands of policies', async () => {
  const contract = await sampleContract(headerBytes, policyBytes)
  const good = { contract, policies: [samplePolicy()], kem: kemKey('enclave'), log: null }
  const ours = { origin: ORIGIN, key: logKey, witnesses: ['w1'] }
  const quorum = samplePolicy({ witnessing: { mode: 'quorum', k: 2, keys: ['w1', 'w2', 'w3'] } })

  it('allow a job that meets them', () => {
    expect(bad(policiesAllow(good))).toEqual([])
    expect(bad(policiesAllow({ ...good, log: ours }))).toEqual([])
  })

  it('allow a stronger isolation than they ask for', () => {
    const inGvisor = { ...contract, isolation: 'sealgate-gvisor-v1' as const, image: { ...contract.image, runner: 'docker' as const } }
    for (const isolation of ['wasm-process', 'container', 'gvisor'] as const) {
      const policy = samplePolicy({ minimumGrades: { ...samplePolicy().minimumGrades, isolation } })
      expect(bad(policiesAllow({ ...good, contract: inGvisor, policies: [policy] }))).toEqual([])
    }
  })

  it.each([
    ['no policy at all', { policies: [] }, ['policy.present']],
    ['a runner that is not listed', { policies: [samplePolicy({ runners: ['docker'] })] }, ['policy.runner']],
    ['any runner where none is listed', { policies: [samplePolicy({ runners: [] })] }, ['policy.runner']],
    [
      'an isolation profile of another runner',
      { contract: { ...contract, isolation: 'sealgate-container-v1' as const } },
      ['policy.isolation'],
    ],
    [
      'a weaker isolation than the policy asks for',
      { policies: [samplePolicy({ minimumGrades: { ...samplePolicy().minimumGrades, isolation: 'container' as const } })] },
      ['policy.isolation-grade'],
    ],
    [
      'a container where a policy asks for gVisor',
      {
        contract: { ...contract, isolation: 'sealgate-container-v1' as const, image: { ...contract.image, runner: 'docker' as const } },
        policies: [samplePolicy(), samplePolicy({ minimumGrades: { ...samplePolicy().minimumGrades, isolation: 'gvisor' as const } })],
      },
      ['policy.isolation-grade'],
    ],
    [
      'an enclave key of another suite',
      { kem: { suite: 'DHKEM-P384,HKDF-SHA384,AES-256-GCM' as const, publicKey: 'AA' } },
      ['policy.suite'],
    ],
    [
      'a recipient key of another suite',
      { contract: { ...contract, recipients: [{ suite: 'DHKEM-P384,HKDF-SHA384,AES-256-GCM' as const, publicKey: 'AA' }] } },
      ['policy.suite'],
    ],
    ['another log', { log: { ...ours, key: 'other' } }, ['policy.log']],
    ['policies of two logs', { policies: [samplePolicy(), samplePolicy({ log: { origin: ORIGIN, key: 'other' } })] }, ['policy.log']],
    ['too few witnesses', { log: ours, policies: [quorum] }, ['policy.witnessing']],
    ['one of two policies unmet', { policies: [samplePolicy(), samplePolicy({ runners: ['docker'] })] }, ['policy.runner']],
  ])('refuse %s', (_, changes, want) => {
    expect(bad(policiesAllow({ ...good, ...changes }))).toEqual(want)
  })

  it('of the contract refuse another TEE and missing GPUs', () => {
    const strict = { ...contract, constraints: { ...contract.constraints, tees: ['tdx'] }, resources: { gpus: 1 } }
    const none = { region: null, gpus: 0, gpuModels: [] }
    expect(accepts(constraintChecks(contract, { tee: 'sev-snp', ...none }))).toBe(true)
    expect(bad(constraintChecks(strict, { tee: 'sev-snp', ...none }))).toEqual(['policy.contract-tee', 'policy.contract-gpus'])
    expect(bad(constraintChecks(strict, { tee: 'tdx', region: null, gpus: 1, gpuModels: ['GH100'] }))).toEqual([])
  })

  it.each<[string, unknown, boolean]>([
    ['the region that the contract names', { region: 'DE' }, true],
    ['another region', { region: 'US' }, false],
    ['a region that begins alike', { region: 'DE-BY' }, false],
    ['no region', { region: null }, false],
    ['something else as a region', { region: ['DE'] }, false],
    ['no configuration', null, false],
    ['a list as a configuration', ['DE'], false],
  ])('of the contract ask for its region, of an agent that states %s', (_, config, holds) => {
    const wanted = { ...contract, constraints: { ...contract.constraints, region: 'DE' } }
    const proven = provenOf({ tee: 'sev-snp', devices: [], config: config as AppraisedClaims['config'] })
    expect(bad(constraintChecks(wanted, proven))).toEqual(holds ? [] : ['policy.contract-region'])
    expect(bad(constraintChecks(contract, proven))).toEqual([])
  })

  it.each<[string, number, readonly (string | null)[], boolean]>([
    ['no GPU at all, though none was counted for', 0, [], false],
    ['GPUs of another model', 1, ['GB100'], false],
    ['a GPU whose certificates name no model', 1, [null], false],
    ['fewer of the model than asked for', 2, ['GH100', 'GB100'], false],
    ['as many as asked for, beside others', 2, ['GH100', 'GB100', 'GH100'], true],
  ])('of the contract look at the model of GPUs: %s', (_, gpus, gpuModels, holds) => {
    const wanted = { ...contract, constraints: { ...contract.constraints, gpuModel: 'GH100' }, resources: { gpus } }
    const checks = constraintChecks(wanted, { tee: 'sev-snp', region: null, gpus: gpuModels.length, gpuModels })
    expect(bad(checks)).toEqual(holds ? [] : ['policy.contract-gpu-model'])
  })

  it('of the contract leave the model of GPUs to those who see evidence', () => {
    const wanted = { ...contract, constraints: { ...contract.constraints, gpuModel: 'GH100' }, resources: { gpus: 1 } }
    expect(bad(constraintChecks(wanted, { tee: 'sev-snp', region: null, gpus: 1, gpuModels: null }))).toEqual([])
  })

  it('of the contract read the model from the BROM certificate, of GPUs alone', () => {
    const device = (tee: string, hwmodel: string | null) =>
      ({ tee, identity: hwmodel === null ? null : { hwmodel } }) as unknown as DeviceClaims
    const devices = [device('nvidia-gpu', 'GH100 A01 GSP BROM'), device('nvidia-switch', 'LS_10 A01 FSP BROM'), device('nvidia-gpu', null)]
    const machine = { tee: 'tdx', region: 'DE', gpus: 2, gpuModels: ['GH100', null] }
    expect(provenOf({ tee: 'tdx', devices, config: { region: 'DE' } })).toEqual(machine)
  })
})
