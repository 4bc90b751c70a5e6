import type { Contract } from '../documents/contract.ts'
import type { ReleaseIntent } from '../documents/intent.ts'
import type { Leaf } from '../documents/leaf.ts'
import { check } from '../evidence/check.ts'
import type { Check } from '../verdict.ts'
import { listed, same } from './check.ts'
import type { SignedGrant } from './grant-rules.ts'

/** The job that a release intent must speak of, each part as its holder worked it out for itself. */
export interface IntendedJob {
  /** Job digest. */
  readonly job: string
  readonly contract: Contract
  readonly grants: readonly SignedGrant[]
  /** SHA-256 of the binding's canonical bytes. */
  readonly binding: string
  /** See evidenceDigest. */
  readonly evidence: string
  /** Digest of the enclave's KEM key in that binding. */
  readonly kem: string
}

/**
 * Whether a release intent is about exactly this job, evidence and key, is signed by the owner of every grant, and uses
 * one slot of each grant. Time is apart: {@link intentTimeChecks}.
 * @param signer - Thumbprint of the key that signed the intent.
 */
export function intentChecks(intent: ReleaseIntent, signer: string, want: IntendedJob): readonly Check[] {
  const { contract, grants } = want
  const owners = [...new Set(grants.map((g) => g.signer))]
  const slots = intent.slots.map((s) => s.grant)
  const digests = grants.map((g) => g.digest).sort()
  const overdrawn = intent.slots.filter((s) => s.k >= (grants.find((g) => g.digest === s.grant)?.grant.uses ?? 0))
  return [
    check('policy.intent-signer', owners.length === 1 && owners[0] === signer, listed(owners), signer),
    same('binding.intent-job', want.job, intent.job),
    same('binding.intent-binding', want.binding, intent.binding),
    same('binding.intent-evidence', want.evidence, intent.evidence),
    same('binding.intent-key', want.kem, intent.kem),
    same(
      'binding.intent-datasets',
      contract.inputs.map((i) => i.header),
      intent.datasets,
    ),
    same('binding.intent-grants', digests, intent.grants),
    same('binding.intent-policies', contract.policies, intent.policies),
    same('binding.intent-mode', contract.release, intent.mode),
    same('binding.intent-slots', digests, slots),
    check('policy.intent-uses', overdrawn.length === 0, 'slots below the uses of each grant', `${overdrawn.length} beyond`),
  ]
}

/** Whether a logged leaf announces this intent: its use tags and its deadline are what the public sees of it. */
export function releaseLeafChecks(leaf: Leaf, intent: ReleaseIntent): readonly Check[] {
  return [
    same('binding.leaf-type', 'release', leaf.type),
    same('binding.leaf-tags', intent.slots.map((s) => s.tag).sort(), leaf.tags),
    same('binding.leaf-ends', null, leaf.ends),
    same('binding.leaf-deadline', intent.deadline, leaf.deadline),
  ]
}
