import type { Contract, ReleaseMode } from '../documents/contract.ts'
import { brokerOf } from '../documents/grant.ts'
import type { ReleaseIntent } from '../documents/intent.ts'
import { check } from '../evidence/check.ts'
import type { Check } from '../verdict.ts'
import { listed, same } from './check.ts'
import type { SignedGrant } from './grant-rules.ts'

/** Who releases under a grant: the key that signs the release intent, and on whose account. */
export interface Releaser {
  readonly mode: ReleaseMode
  /** Thumbprint. */
  readonly thumbprint: string
}

/** Part of a job that one releaser answers for. */
export interface Share {
  readonly releaser: Releaser
  /** Sorted by digest. */
  readonly grants: readonly SignedGrant[]
  /** Headers that these grants cover, in the order of the contract's inputs. */
  readonly datasets: readonly string[]
}

/** `direct`: the owner, who signed the grant. `brokered`: the key that the grant names, and no other. */
export function releaserOf({ grant, signer }: Pick<SignedGrant, 'grant' | 'signer'>): Releaser {
  const broker = brokerOf(grant)
  return broker === null ? { mode: 'direct', thumbprint: signer } : { mode: 'brokered', thumbprint: broker }
}

/** For messages and for comparing: `direct:THUMBPRINT` or `brokered:THUMBPRINT`. */
export function releaserText({ mode, thumbprint }: Releaser): string {
  return `${mode}:${thumbprint}`
}

/** Shares a job out among its releasers, sorted. Each grant belongs to exactly one. */
export function sharesOf(contract: Pick<Contract, 'inputs'>, grants: readonly SignedGrant[]): readonly Share[] {
  const shares = new Map<string, { readonly releaser: Releaser; readonly grants: SignedGrant[] }>()
  for (const grant of [...grants].sort((a, b) => (a.digest < b.digest ? -1 : 1))) {
    const releaser = releaserOf(grant)
    const share = shares.get(releaserText(releaser)) ?? { releaser, grants: [] }
    shares.set(releaserText(releaser), share)
    share.grants.push(grant)
  }
  const headers = contract.inputs.map((input) => input.header)
  return [...shares.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, share]) => ({ ...share, datasets: headers.filter((h) => share.grants.some((g) => g.grant.datasets.includes(h))) }))
}

/** The share of who signed an intent, by the intent's own word of its mode; null when no grant of the job names that key. */
export function shareOf(shares: readonly Share[], { mode }: Pick<ReleaseIntent, 'mode'>, signer: string): Share | null {
  return shares.find(({ releaser }) => releaser.mode === mode && releaser.thumbprint === signer) ?? null
}

/** Every input has one releaser: of two, neither could say what it answers for, and two keys would come for one dataset. */
export function inputReleaserChecks(contract: Contract, grants: readonly SignedGrant[]): readonly Check[] {
  const shares = sharesOf(contract, grants)
  const shared = contract.inputs.map((i) => i.header).filter((h) => shares.filter((s) => s.datasets.includes(h)).length > 1)
  const got = shared.length === 0 ? 'one each' : `several for ${listed([...new Set(shared)])}`
  return [check('policy.grant-releaser', shared.length === 0, 'one releaser for every input', got)]
}

/**
 * Whether the intents together are the whole job: exactly one of every releaser. Each was held against its own share by
 * `intentChecks`, so no grant and no input is missing, and none is there twice.
 */
export function wholeChecks(
  intents: readonly { readonly intent: ReleaseIntent; readonly signer: string }[],
  contract: Contract,
  grants: readonly SignedGrant[],
): readonly Check[] {
  const want = sharesOf(contract, grants).map(({ releaser }) => releaserText(releaser))
  const got = intents.map(({ intent, signer }) => releaserText({ mode: intent.mode, thumbprint: signer })).sort()
  return [same('binding.releasers', want, got)]
}
