import { describe, expect, it } from 'vitest'
import {
  type IntendedJob,
  inputReleaserChecks,
  intentChecks,
  releaseLeafChecks,
  wholeChecks,
} from '../../../../src/verify/appraise/index.ts'
import { brokeredBy, encodeGrant } from '../../../../src/verify/documents/grant.ts'
import type { ReleaseIntent } from '../../../../src/verify/documents/intent.ts'
import type { Leaf } from '../../../../src/verify/documents/leaf.ts'
import { digestOf, headerBytes, ownerThumbprint, policyBytes, sampleContract, sampleGrant } from '../../../support/job-documents.ts'

const OTHER = 'A'.repeat(43)
const contract = await sampleContract(headerBytes, policyBytes)
const grant = await sampleGrant(headerBytes, policyBytes)
const digest = await digestOf(encodeGrant(grant))
const job: IntendedJob = { job: 'j', contract, grants: [{ grant, digest, signer: ownerThumbprint }], binding: 'b', evidence: 'e', kem: 'k' }
const intent: ReleaseIntent = {
  v: 1,
  job: 'j',
  binding: 'b',
  evidence: 'e',
  datasets: contract.inputs.map((i) => i.header),
  grants: [digest],
  policies: contract.policies,
  slots: [{ grant: digest, k: 2, tag: 'tag' }],
  kem: 'k',
  mode: 'direct',
  deadline: '2026-05-28T21:00:00Z',
}
const leaf: Leaf = { v: 1, type: 'release', commitment: OTHER, tags: ['tag'], ends: [], deadline: intent.deadline }

const bad = (changes: Partial<ReleaseIntent>, signer = ownerThumbprint, want: IntendedJob = job): string[] =>
  intentChecks({ ...intent, ...changes }, signer, want)
    .filter((c) => c.outcome !== 'pass')
    .map((c) => c.rule)

describe('release intent', () => {
  it('is about the job at hand', () => {
    expect(bad({})).toEqual([])
  })

  it.each<[string, Partial<ReleaseIntent>, string[]]>([
    ['another job', { job: OTHER }, ['binding.intent-job']],
    ['another binding', { binding: OTHER }, ['binding.intent-binding']],
    ['other evidence', { evidence: OTHER }, ['binding.intent-evidence']],
    ['another key', { kem: OTHER }, ['binding.intent-key']],
    ['another dataset', { datasets: [OTHER] }, ['binding.intent-datasets']],
    ['one dataset more', { datasets: [...intent.datasets, OTHER] }, ['binding.intent-datasets']],
    ['another grant', { grants: [OTHER] }, ['binding.intent-grants']],
    ['another policy', { policies: [OTHER] }, ['binding.intent-policies']],
    ['no policy', { policies: [] }, ['binding.intent-policies']],
    ['a slot of another grant', { slots: [{ grant: OTHER, k: 0, tag: 'tag' }] }, ['binding.intent-slots', 'policy.intent-uses']],
    ['two slots of one grant', { slots: [intent.slots[0], intent.slots[0]] as ReleaseIntent['slots'] }, ['binding.intent-slots']],
    ['a slot beyond the uses', { slots: [{ grant: digest, k: 3, tag: 'tag' }] }, ['policy.intent-uses']],
  ])('is refused for %s', (_, changes, want) => {
    expect(bad(changes)).toEqual(want)
  })

  it('is refused from anyone but whom the grants name', () => {
    expect(bad({}, OTHER)).toContain('policy.intent-signer')
    expect(bad({ mode: 'brokered' })).toContain('policy.intent-signer')
  })

  const brokered = { ...grant, release: brokeredBy(OTHER) }

  it('is refused from the owner of a grant that a broker releases, and accepted from that broker alone', () => {
    const want = {
      ...job,
      contract: { ...contract, release: ['brokered'] as const },
      grants: [{ grant: brokered, digest, signer: ownerThumbprint }],
    }
    expect(bad({}, ownerThumbprint, want)).toContain('policy.intent-signer')
    expect(bad({ mode: 'brokered' }, ownerThumbprint, want)).toContain('policy.intent-signer')
    expect(bad({ mode: 'brokered' }, OTHER, want)).toEqual([])
    expect(bad({ mode: 'direct' }, OTHER, want)).toContain('policy.intent-signer')
  })

  it('is refused in a mode that the submitter does not accept', () => {
    const want = { ...job, grants: [{ grant: brokered, digest, signer: ownerThumbprint }] }
    expect(bad({ mode: 'brokered' }, OTHER, want)).toEqual(['binding.intent-mode'])
  })

  describe('of one of two owners', () => {
    const mine = contract.inputs[0]?.header ?? ''
    const theirs = 'B'.repeat(43)
    const twoInputs = { ...contract, inputs: [{ name: 'b', header: theirs, root: OTHER }, ...contract.inputs] }
    const other = { grant: { ...grant, datasets: [theirs] }, digest: 'C'.repeat(43), signer: OTHER }
    const two: IntendedJob = { ...job, contract: twoInputs, grants: [...job.grants, other] }

    it('takes its own grant and its own data, and nothing else', () => {
      expect(bad({}, ownerThumbprint, two)).toEqual([])
    })

    it('is refused when it takes the dataset of the other along', () => {
      expect(bad({ datasets: [theirs, mine] }, ownerThumbprint, two)).toEqual(['binding.intent-datasets'])
    })

    it('is refused when it takes the grant of the other along', () => {
      const slots = [...intent.slots, { grant: other.digest, k: 0, tag: 'x' }]
      expect(bad({ grants: [digest, other.digest].sort(), slots }, ownerThumbprint, two)).toEqual([
        'binding.intent-grants',
        'binding.intent-slots',
      ])
    })

    it('is refused without a dataset of its own', () => {
      expect(bad({ datasets: [theirs] }, ownerThumbprint, two)).toEqual(['binding.intent-datasets'])
    })

    const own = { intent, signer: ownerThumbprint }
    const others = { intent: { ...intent, datasets: [theirs], grants: [other.digest] }, signer: OTHER }
    const whole = (parts: readonly { intent: ReleaseIntent; signer: string }[]): string =>
      wholeChecks(parts, twoInputs, two.grants)[0]?.outcome ?? 'none'

    it('makes a whole with that of the other, in any order', () => {
      expect(whole([own, others])).toBe('pass')
      expect(whole([others, own])).toBe('pass')
    })

    it.each([
      ['one part', [own]],
      ['no part', []],
      ['the same part twice', [own, own]],
      ['a part twice beside the other', [own, own, others]],
      ['a part of a stranger', [own, others, { intent, signer: 'D'.repeat(43) }]],
    ])('makes no whole of %s', (_, parts) => {
      expect(whole(parts)).toBe('fail')
    })

    it('one input of two releasers is nobody’s', () => {
      const overlap = { ...other, grant: { ...grant, datasets: [theirs, mine].sort() } }
      expect(inputReleaserChecks(twoInputs, [...job.grants, overlap])[0]?.outcome).toBe('fail')
      expect(inputReleaserChecks(twoInputs, two.grants)[0]?.outcome).toBe('pass')
    })
  })
})

describe('release leaf', () => {
  it.each<[string, Partial<Leaf>, string[]]>([
    ['nothing', {}, []],
    ['another type', { type: 'onboard' }, ['binding.leaf-type']],
    ['no tag', { tags: [] }, ['binding.leaf-tags']],
    ['a tag of another slot', { tags: ['tag2'] }, ['binding.leaf-tags']],
    ['a later deadline', { deadline: '2026-05-28T23:00:00Z' }, ['binding.leaf-deadline']],
    ['no deadline', { deadline: null }, ['binding.leaf-deadline']],
    ['an earlier release that it ends', { ends: [OTHER] }, ['binding.leaf-ends']],
  ])('that changes %s', (_, changes, want) => {
    const checks = releaseLeafChecks({ ...leaf, ...changes }, intent)
    expect(checks.filter((c) => c.outcome !== 'pass').map((c) => c.rule)).toEqual(want)
  })
})
