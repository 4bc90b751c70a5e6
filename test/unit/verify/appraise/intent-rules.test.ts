import { describe, expect, it } from 'vitest'
import { type IntendedJob, intentChecks, releaseLeafChecks } from '../../../../src/verify/appraise/index.ts'
import { encodeGrant } from '../../../../src/verify/documents/grant.ts'
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
const leaf: Leaf = { v: 1, type: 'release', commitment: OTHER, tags: ['tag'], ends: null, deadline: intent.deadline }

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

  it('is refused from anyone but the owner of every grant', () => {
    expect(bad({}, OTHER)).toEqual(['policy.intent-signer'])
    const two = { ...job, grants: [...job.grants, { grant, digest: OTHER, signer: OTHER }] }
    expect(bad({}, ownerThumbprint, two)).toContain('policy.intent-signer')
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
    ['an earlier release that it ends', { ends: OTHER }, ['binding.leaf-ends']],
  ])('that changes %s', (_, changes, want) => {
    const checks = releaseLeafChecks({ ...leaf, ...changes }, intent)
    expect(checks.filter((c) => c.outcome !== 'pass').map((c) => c.rule)).toEqual(want)
  })
})
