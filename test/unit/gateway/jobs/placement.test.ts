import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fairOrder } from '../../../../src/gateway/jobs/fair-order.ts'
import { type Candidate, choosePlace } from '../../../../src/gateway/jobs/placement.ts'
import { type AppraisedClaims, claimOf, type JobClaim, roomObstacle } from '../../../../src/verify/appraise/index.ts'
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
  const base = {
    online: true,
    runners: ['wasm'],
    isolations: ['sealgate-wasm-v1'],
    room: { jobs: 4, memoryBytes: 2 ** 34 },
    jobs: [],
    pause: null,
  }
  return { name, ...base, claims, ...changes }
}

const GiB = 2 ** 30
const alone: JobClaim = { exclusive: 'host', memoryBytes: GiB, gpus: 0 }
const small: JobClaim = { exclusive: 'none', memoryBytes: GiB, gpus: 0 }

async function place(candidates: readonly Candidate[], changes: Partial<Contract> = {}, declined = new Map<string, string>()) {
  const contract = await sampleContract(headerBytes, policyBytes, changes)
  const request = {
    contract,
    claim: claimOf(contract, 1000),
    policies: [samplePolicy()],
    declined,
    at: new Date(T0 * 1000),
  }
  return choosePlace(request, candidates)
}

const none = { gpuModel: null, region: null, maxLatencyMs: null, maxPricePerHour: null, tees: [] }

describe('placement', () => {
  it('takes the first host that fits, and tells the others why not', async () => {
    const { chosen, hopeless, reasons } = await place([
      candidate('b'),
      candidate('c', { jobs: [alone] }),
      candidate('a', { online: false }),
    ])
    expect({ chosen, hopeless }).toEqual({ chosen: 'b', hopeless: false })
    expect(reasons).toEqual([
      { host: 'a', chosen: false, reasons: ['not connected'] },
      { host: 'b', chosen: true, reasons: ['attested, with room, and within contract and policies'] },
      { host: 'c', chosen: false, reasons: ['busy with a job that has the host to itself'] },
    ])
  })

  it.each<[string, Partial<Candidate>, Partial<Contract>, string]>([
    ['runs other images', { runners: ['docker'] }, {}, 'runs docker; the image needs wasm'],
    ['does not offer the isolation', { isolations: ['sealgate-container-v1'] }, {}, 'the contract wants sealgate-wasm-v1'],
    ['has less memory than the job takes', { room: { jobs: 4, memoryBytes: 1000 } }, {}, 'this host has 1000 for jobs'],
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
    ['busy', { jobs: [alone] }],
    ['busy with jobs that share it, where the contract does not', { jobs: [small] }],
    ['kept for another job', { pause: 'kept for a job that came first' }],
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

  it('puts jobs that share a machine where the fewest are', async () => {
    const hosts = [candidate('a', { jobs: [small, small] }), candidate('b', { jobs: [small] }), candidate('c', { jobs: [alone] })]
    expect((await place(hosts, { exclusive: 'none' })).chosen).toBe('b')
  })

  it.each<[string, Partial<Candidate>]>([
    ['in number', { jobs: [small, small, small, small] }],
    ['in memory', { room: { jobs: 4, memoryBytes: 2 * GiB }, jobs: [{ ...small, memoryBytes: 2 * GiB - 1 }] }],
    ['beside a job that shares with nobody', { jobs: [alone] }],
  ])('waits where there is no room %s, and says for which host', async (_, host) => {
    expect(await place([candidate('a', host)], { exclusive: 'gpu' })).toMatchObject({ chosen: null, hopeless: false, awaited: ['a'] })
  })
})

describe('room', () => {
  const room = { jobs: 8, memoryBytes: 8 * GiB, gpus: 2 }
  it('gives each GPU to one job at a time, whatever they share', () => {
    for (const exclusive of ['gpu', 'none'] as const) {
      const withGpu = { exclusive, memoryBytes: GiB, gpus: 1 }
      expect(roomObstacle(room, [withGpu], withGpu)).toBeNull()
      expect(roomObstacle(room, [withGpu, withGpu], withGpu)).toContain('too few GPUs')
      expect(roomObstacle(room, [withGpu, withGpu], { ...withGpu, gpus: 0 })).toBeNull()
    }
  })

  it('is never given to more than there is, in any order', () => {
    const claim = fc.record({
      exclusive: fc.constantFrom('host' as const, 'gpu' as const, 'none' as const),
      memoryBytes: fc.nat(4 * GiB),
      gpus: fc.nat(2),
    })
    fc.assert(
      fc.property(fc.array(claim, { maxLength: 20 }), (claims) => {
        const present: JobClaim[] = []
        for (const wanted of claims) if (roomObstacle(room, present, wanted) === null) present.push(wanted)
        expect(present.reduce((sum, c) => sum + c.memoryBytes, 0)).toBeLessThanOrEqual(room.memoryBytes)
        expect(present.reduce((sum, c) => sum + c.gpus, 0)).toBeLessThanOrEqual(room.gpus)
        expect(present.length).toBeLessThanOrEqual(room.jobs)
        if (present.some((c) => c.exclusive === 'host')) expect(present).toHaveLength(1)
      }),
    )
  })
})

describe('the order of waiting jobs', () => {
  const job = (jobId: string) => ({ jobId, creator: jobId[0] ?? '' })
  it('takes turns between those who asked, oldest first', () => {
    expect(fairOrder(['a1', 'a2', 'a3', 'b1', 'c1', 'b2'].map(job), new Map())).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3'])
  })

  it('counts what runs already', () => {
    expect(fairOrder(['a1', 'b1', 'b2'].map(job), new Map([['a', 2]]))).toEqual(['b1', 'b2', 'a1'])
  })

  it('forgets nobody', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.nat())), (pairs) => {
        const jobs = pairs.map(([creator, n], i) => ({ creator, jobId: `${creator}${n}-${i}` }))
        expect([...fairOrder(jobs, new Map())].sort()).toEqual(jobs.map((j) => j.jobId).sort())
      }),
    )
  })
})
