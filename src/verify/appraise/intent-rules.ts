import type { Contract } from '../documents/contract.ts'
import type { ReleaseIntent } from '../documents/intent.ts'
import type { Leaf } from '../documents/leaf.ts'
import { check, oneOf } from '../evidence/check.ts'
import type { Check } from '../verdict.ts'
import { same } from './check.ts'
import type { SignedGrant } from './grant-rules.ts'
import { releaserText, type Share, shareOf, sharesOf } from './releasers.ts'

/** The job that a release intent must speak of, each part as its holder worked it out for itself. */
export interface IntendedJob {
  /** Job digest. */
  readonly job: string
  readonly contract: Contract
  /** All grants of the job: those that the signer releases under follow from them. */
  readonly grants: readonly SignedGrant[]
  /** SHA-256 of the binding's canonical bytes. */
  readonly binding: string
  /** See evidenceDigest. */
  readonly evidence: string
  /** Digest of the enclave's KEM key in that binding. */
  readonly kem: string
}

/**
 * Whether a release intent is about exactly this job, evidence and key, takes exactly the grants that its signer releases
 * under and the data that they cover, and uses one slot of each grant. Time is apart: {@link intentTimeChecks}. That all
 * intents together are the whole job is another question: {@link wholeChecks}.
 * @param signer - Thumbprint of the key that signed the intent.
 */
export function intentChecks(intent: ReleaseIntent, signer: string, want: IntendedJob): readonly Check[] {
  const { contract, grants } = want
  const shares = sharesOf(contract, grants)
  const share = shareOf(shares, intent, signer)
  const overdrawn = intent.slots.filter((s) => s.k >= (grants.find((g) => g.digest === s.grant)?.grant.uses ?? 0))
  const wanted = oneOf(shares.map((s) => releaserText(s.releaser)))
  return [
    check('policy.intent-signer', share !== null, wanted, releaserText({ mode: intent.mode, thumbprint: signer })),
    same('binding.intent-job', want.job, intent.job),
    same('binding.intent-binding', want.binding, intent.binding),
    same('binding.intent-evidence', want.evidence, intent.evidence),
    same('binding.intent-key', want.kem, intent.kem),
    ...(share === null ? [] : shareChecks(intent, share)),
    same('binding.intent-policies', contract.policies, intent.policies),
    check('binding.intent-mode', contract.release.includes(intent.mode), oneOf(contract.release), intent.mode),
    check('policy.intent-uses', overdrawn.length === 0, 'slots below the uses of each grant', `${overdrawn.length} beyond`),
  ]
}

/** The grants and the data of the signer, all of them and no others'. */
function shareChecks(intent: ReleaseIntent, share: Share): readonly Check[] {
  const digests = share.grants.map((g) => g.digest)
  const slots = intent.slots.map((s) => s.grant)
  return [
    same('binding.intent-datasets', share.datasets, intent.datasets),
    same('binding.intent-grants', digests, intent.grants),
    same('binding.intent-slots', digests, slots),
  ]
}

/** Whether a logged leaf announces this intent: its use tags and its deadline are what the public sees of it. */
export function releaseLeafChecks(leaf: Leaf, intent: ReleaseIntent): readonly Check[] {
  return [
    same('binding.leaf-type', 'release', leaf.type),
    same('binding.leaf-tags', intent.slots.map((s) => s.tag).sort(), leaf.tags),
    same('binding.leaf-ends', [], leaf.ends),
    same('binding.leaf-deadline', intent.deadline, leaf.deadline),
  ]
}
