import { describe, expect, it } from 'vitest'
import { type Candidate, choosePlace } from '../../../../src/gateway/jobs/placement.ts'
import type { AppraisedClaims } from '../../../../src/verify/appraise/index.ts'
import type { Contract } from '../../../../src/verify/documents/contract.ts'
import type { Verified } from '../../../../src/verify/verdict.ts'
import { headerBytes, policyBytes, sampleContract, samplePolicy, T0 } from '../../../support/job-documents.ts'
import { snpClaims } from '../../../support/snp-claims.ts'

const claims = {
  tee: 'sev-snp',
  measurement: 'ab'.repeat(48),
  debug: false,
  simulated: false,
  bindingGrade: 'committed',
  placementGrade: 'none',
  tcbEvaluationDataNumber: null,
  collateralTime: null,
  cpu: snpClaims,
  devices: [],
} as unknown as Verified<AppraisedClaims>

function candidate(name: string, changes: Partial<Candidate> = {}): Candidate {
  return { name, online: true, busy: false, runners: ['wasm'], claims, ...changes }
}

async function place(candidates: readonly Candidate[], contract: Partial<Contract> = {}, declined = new Map<string, string>()) {
  const request = {
    contract: await sampleContract(headerBytes, policyBytes, contract),
    policies: [samplePolicy()],
    declined,
    at: new Date(T0 * 1000),
  }
  return choosePlace(request, candidates)
}

const none = { gpuModel: null, region: null, maxLatencyMs: null, maxPricePerHour: null, tees: [] }

describe('placement', () => {
  it('takes the first host that fits, and tells the others why not', async () => {
    const { chosen, hopeless, reasons } = await place([candidate('b'), candidate('c', { busy: true }), candidate('a', { online: false })])
    expect({ chosen, hopeless }).toEqual({ chosen: 'b', hopeless: false })
    expect(reasons).toEqual([
      { host: 'a', chosen: false, reasons: ['not connected'] },
      { host: 'b', chosen: true, reasons: ['attested, idle, and within contract and policies'] },
      { host: 'c', chosen: false, reasons: ['busy with another job'] },
    ])
  })

  it.each<[string, Partial<Candidate>, Partial<Contract>, string]>([
    ['runs other images', { runners: ['docker'] }, {}, 'runs docker; the image needs wasm'],
    ['has another TEE than the contract wants', {}, { constraints: { ...none, tees: ['tdx'] } }, 'policy.contract-tee'],
    ['has too few GPUs', {}, { resources: { gpus: 1 } }, 'policy.contract-gpus'],
    ['has no GPU of the model', {}, { constraints: { ...none, gpuModel: 'GH100' } }, 'policy.contract-gpu-model'],
    ['has a measurement that no policy lists', { claims: { ...claims, measurement: 'cd'.repeat(48) } }, {}, 'reference-values.measurement'],
    ['can be debugged', { claims: { ...claims, debug: true } }, {}, 'debug.off'],
    ['does not state where it stands', {}, { constraints: { ...none, region: 'DE' } }, 'policy.contract-region'],
    ['cannot prove its price', {}, { constraints: { ...none, maxPricePerHour: '1.00 EUR' } }, 'maxPricePerHour'],
  ])('never takes a host that %s', async (_what, host, contract, reason) => {
    const { chosen, hopeless, reasons } = await place([candidate('a', host)], contract)
    expect({ chosen, hopeless }).toEqual({ chosen: null, hopeless: true })
    expect(reasons[0]?.reasons.join()).toContain(reason)
  })

  it.each<[string, Partial<Candidate>]>([
    ['busy', { busy: true }],
    ['away', { online: false, claims: null }],
    ['not attested yet', { claims: null }],
  ])('waits for a host that is %s', async (_what, host) => {
    expect(await place([candidate('a', host)])).toMatchObject({ chosen: null, hopeless: false })
  })

  it('waits when no host is known', async () => {
    expect(await place([])).toMatchObject({ chosen: null, hopeless: false })
  })

  it('does not ask a host again that has declined', async () => {
    const { chosen, reasons } = await place([candidate('a'), candidate('b')], {}, new Map([['a', 'no room']]))
    expect(chosen).toBe('b')
    expect(reasons[0]?.reasons).toEqual(['declined: no room'])
  })
})
