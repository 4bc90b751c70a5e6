import { unixSeconds } from '../../verify/appraise/index.ts'
import { equal } from '../../verify/bytes/bytes.ts'
import type { TrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Client, RemoteEvidence } from '../client.ts'
import type { LogMemory } from '../log-memory.ts'
import { random } from '../owner.ts'
import type { ReleaserKeys } from '../releaser-keys.ts'
import { checkEvidence, type TrustedEnclave } from './check-evidence.ts'
import { checkShares, ownShares } from './check-share.ts'
import { type LoggedIntent, logIntent, type ReleasePlan, releaseKeys } from './release.ts'
import type { Slots } from './slots.ts'
import type { JobTerms } from './terms.ts'

/** What a releaser works with. */
export interface ReleaserMeans {
  readonly client: Client
  readonly keys: ReleaserKeys
  readonly slots: Slots
  readonly trust: TrustFile
  readonly memory: LogMemory
  readonly now: () => Date
  readonly signal?: AbortSignal
}

/** What happens, in order, each event after the checks that belong to it have passed. */
export type ReleaseEvent =
  | { readonly kind: 'attested'; readonly enclave: TrustedEnclave }
  | { readonly kind: 'logged'; readonly logged: LoggedIntent }
  | { readonly kind: 'released' }

/** What one process of a releaser knows of a job: with it, a failed try is taken up again where it was. */
export interface ReleaseProgress {
  /** By grant. They are the releaser's proof of freshness, so they are in memory only and made once. */
  readonly nonces: ReadonlyMap<string, Uint8Array>
  /** By mode: what stands in the log. */
  readonly logged: Map<string, { readonly plan: ReleasePlan; readonly logged: LoggedIntent }>
}

/** Fresh nonces for the grants that a key releases under. */
export function beginRelease(terms: JobTerms, thumbprint: string): ReleaseProgress {
  const grants = ownShares(terms, thumbprint).flatMap((share) => share.grants)
  return { nonces: new Map(grants.map((g) => [g.digest, random(32)])), logged: new Map() }
}

export interface ReleasedShares {
  readonly enclave: TrustedEnclave
  readonly logged: readonly LoggedIntent[]
}

/**
 * Releases what one releaser answers for to a job that has shown evidence: verifies evidence, grants and log for itself, logs
 * its intent, seals its keys. Believes the gateway nothing.
 * @throws AttestError naming what does not hold. Called again with the same progress it goes on.
 */
export async function releaseShares(
  means: ReleaserMeans,
  terms: JobTerms,
  progress: ReleaseProgress,
  onEvent: (event: ReleaseEvent) => void = () => {},
): Promise<ReleasedShares> {
  const { client, keys, slots, trust, memory, now, signal } = means
  const options = signal === undefined ? {} : { signal }
  const evidence = await client.jobEvidence(terms.contract.jobId, options)
  checkOwnNonces(terms, progress, evidence)
  const policies = terms.policies.map((p) => p.document)
  for (const { log } of policies) {
    await memory.accept(log, evidence.checkpoint, 'any', (from, to) => client.consistencyProof(from, to, options))
  }
  const { contract, jobDigest } = terms
  const { ownerNonces } = evidence
  const enclave = await checkEvidence({ evidence, contract, jobDigest, ownerNonces, policies, trust, at: now() })
  const shares = await checkShares(terms, keys, unixSeconds(now()))
  onEvent({ kind: 'attested', enclave })
  for (const share of shares) {
    const { mode } = share.releaser
    const plan: ReleasePlan = {
      client,
      keys,
      slots,
      memory,
      contract,
      jobDigest,
      share,
      policies,
      enclave,
      nonceCheckpoint: evidence.checkpoint,
      now: () => unixSeconds(now()),
      ...options,
    }
    const step = progress.logged.get(mode) ?? { plan, logged: await logIntent(plan) }
    progress.logged.set(mode, step)
    onEvent({ kind: 'logged', logged: step.logged })
    await releaseKeys(step.plan, step.logged)
  }
  onEvent({ kind: 'released' })
  return { enclave, logged: shares.flatMap(({ releaser }) => progress.logged.get(releaser.mode)?.logged ?? []) }
}

/**
 * Freshness is each releaser's own check: evidence that was made without its nonces may be as old as the job. Those of the
 * others are theirs to look at.
 */
function checkOwnNonces({ grants }: JobTerms, { nonces }: ReleaseProgress, { ownerNonces }: RemoteEvidence): void {
  const isOurs = grants.every(({ digest }, i) => {
    const own = nonces.get(digest)
    return own === undefined || equal(own, ownerNonces[i] ?? new Uint8Array())
  })
  if (nonces.size > 0 && isOurs && ownerNonces.length === grants.length) return
  throw new AttestError('EVIDENCE_REJECTED', 'the evidence was not asked for with the nonces that were made here', {
    at: 'evidence.nonces',
  })
}
