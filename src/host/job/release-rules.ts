import { same } from '../../verify/appraise/check.ts'
import { intentChecks, jobGrantChecks, policiesAllow, wholeChecks } from '../../verify/appraise/index.ts'
import type { Contract } from '../../verify/documents/contract.ts'
import type { HpkePublicKey } from '../../verify/documents/keys.ts'
import type { ErrorCode } from '../../verify/errors.ts'
import { check } from '../../verify/evidence/check.ts'
import type { Check } from '../../verify/verdict.ts'
import type { ReadRelease } from './read-release.ts'

/** What the agent attested for one job: the yardstick of every release. */
export interface Attested {
  /** Job digest: SHA-256 of the contract. The binding names it. */
  readonly job: string
  readonly contract: Contract
  /** Thumbprint of the contract's signer. */
  readonly submitter: string
  readonly bindingDigest: string
  readonly evidenceDigest: string
  readonly kem: HpkePublicKey
  readonly kemDigest: string
  readonly simulated: boolean
}

/** Checks that belong together, and what it is called when one of them fails. */
export interface ReleaseRule {
  readonly code: ErrorCode
  /** Codes of single rules that have a better one. */
  readonly codes?: Readonly<Partial<Record<Check['rule'], ErrorCode>>>
  readonly checks: (attested: Attested, release: ReadRelease) => readonly Check[] | Promise<readonly Check[]>
}

/**
 * Does this release speak of this job, this evidence and this key, under grants of the data's owner and policies that
 * both contract and grants name? Tested in this order, before the log is asked and long before a key is opened.
 */
export const RELEASE_RULES: readonly ReleaseRule[] = [
  {
    code: 'UNWRAP_FAILED',
    codes: {
      'policy.intent-signer': 'GRANT_DENIED',
      'binding.intent-grants': 'GRANT_DENIED',
      'binding.intent-policies': 'POLICY_DENIED',
      'binding.intent-slots': 'GRANT_USED',
      'policy.intent-uses': 'GRANT_USED',
    },
    checks: (a, { parts, grants }) =>
      parts.flatMap(({ intent }) =>
        intentChecks(intent.document, intent.signer, {
          job: a.job,
          contract: a.contract,
          grants,
          binding: a.bindingDigest,
          evidence: a.evidenceDigest,
          kem: a.kemDigest,
        }),
      ),
  },
  {
    // One part of every releaser and not one more: keys of some owners alone open nothing.
    code: 'GRANT_DENIED',
    checks: (a, { parts, grants }) => {
      const intents = parts.map(({ intent }) => ({ intent: intent.document, signer: intent.signer }))
      return [...wholeChecks(intents, a.contract, grants), check('policy.released', parts.length > 0, 'a release', `${parts.length} parts`)]
    },
  },
  {
    code: 'HEADER_INVALID',
    checks: (a, r) => [same('binding.headers', inputsOf(a), digestsOf(r.headers))],
  },
  {
    // Under the headers' owner keys: whoever else signed a grant, it counts for nothing.
    code: 'GRANT_DENIED',
    checks: (a, { grants, headers }) =>
      jobGrantChecks(
        { contract: a.contract, submitter: a.submitter, headers: new Map(headers.map((h) => [h.digest, h.document])) },
        grants,
      ),
  },
  {
    code: 'POLICY_DENIED',
    checks: (a, r) => {
      const policies = r.policies.map((p) => p.document)
      const allowSimulated = policies.every((p) => p.appraisal.allowSimulated)
      return [
        same('binding.policies', a.contract.policies, sorted(digestsOf(r.policies))),
        ...policiesAllow({ contract: a.contract, policies, kem: a.kem, log: null }),
        check('policy.simulated', !a.simulated || allowSimulated, 'genuine hardware', a.simulated ? 'simulated' : 'genuine'),
      ]
    },
  },
  {
    code: 'UNWRAP_FAILED',
    checks: (_, { parts }) =>
      parts.map(({ intent, keys }) =>
        same('binding.sealed-keys', sorted([...new Set(intent.document.datasets)]), sorted(keys.map((k) => k.header))),
      ),
  },
]

function inputsOf(attested: Attested): readonly string[] {
  return attested.contract.inputs.map((i) => i.header)
}

function digestsOf(list: readonly { readonly digest: string }[]): readonly string[] {
  return list.map((d) => d.digest)
}

function sorted(list: readonly string[]): readonly string[] {
  return [...list].sort()
}
