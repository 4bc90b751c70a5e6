import { appraisePolicy, constraintChecks, leniencyOf, policiesAllow, provenOf, serviceKeyChecks } from '../../verify/appraise/index.ts'
import { fromBase64Url } from '../../verify/bytes/bytes.ts'
import type { Binding } from '../../verify/documents/binding.ts'
import type { Contract } from '../../verify/documents/contract.ts'
import { evidenceDigest } from '../../verify/documents/evidence-bundle.ts'
import { jobNonce } from '../../verify/documents/job-nonce.ts'
import { type HpkePublicKey, hpkeKeyDigest } from '../../verify/documents/keys.ts'
import type { Policy } from '../../verify/documents/policy.ts'
import type { TrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'
import { accepts, type Check } from '../../verify/verdict.ts'
import { verifyBundle } from '../../verify/verify-bundle.ts'
import type { RemoteEvidence } from '../client.ts'
import { digestOf } from '../grants.ts'

/** What the evidence must be about. Everything here is the releaser's own; only `evidence` came from the gateway. */
export interface EvidenceQuestion {
  readonly evidence: RemoteEvidence
  readonly contract: Contract
  readonly jobDigest: string
  /** In the order of the job's grants. */
  readonly ownerNonces: readonly Uint8Array[]
  /** Of every grant. */
  readonly policies: readonly Policy[]
  readonly trust: TrustFile
  readonly at: Date
}

/** An enclave to which a key may be sealed. */
export interface TrustedEnclave {
  readonly binding: Binding
  readonly kem: HpkePublicKey
  readonly kemDigest: string
  readonly bindingDigest: string
  readonly evidenceDigest: string
  readonly simulated: boolean
  readonly measurement: string | null
  readonly checks: readonly Check[]
}

/**
 * Verifies job evidence for a release: genuine, fresh for this job and these nonces, and good enough for every policy.
 * The gateway's own verdict is not looked at.
 * @throws AttestError `EVIDENCE_REJECTED` naming each failed check, `POLICY_DENIED`.
 */
export async function checkEvidence(question: EvidenceQuestion): Promise<TrustedEnclave> {
  const { evidence, jobDigest, ownerNonces } = question
  return checkEvidenceOf('job', await jobNonce(jobDigest, ownerNonces, evidence.checkpoint), question)
}

/**
 * As {@link checkEvidence}, for evidence of this role and nonce.
 * @param role - `session` for evidence that a service has renewed.
 */
export async function checkEvidenceOf(
  role: 'job' | 'session',
  nonce: Uint8Array,
  question: Omit<EvidenceQuestion, 'evidence' | 'ownerNonces'> & { readonly evidence: Pick<RemoteEvidence, 'bundle' | 'endorsements'> },
): Promise<TrustedEnclave> {
  const { evidence, contract, jobDigest, policies, trust, at } = question
  const verdict = await verifyBundle(evidence.bundle, {
    collateral: evidence.endorsements,
    trustAnchors: trust.simulatedRoots.map(fromBase64Url),
    at,
    nonce,
    job: jobDigest,
    role,
    ...leniencyOf(policies),
  })
  if (verdict.decision !== 'accept') throw rejected(verdict.checks, verdict.error?.message)
  const { binding } = verdict.claims
  const appraisal = policies.flatMap((policy) => appraisePolicy(verdict.claims, policy, at))
  if (!accepts(appraisal)) throw rejected(appraisal)
  const demands = [
    ...policiesAllow({ contract, policies, kem: binding.kem, log: null }),
    ...constraintChecks(contract, provenOf(verdict.claims)),
    ...serviceKeyChecks(contract, binding),
  ]
  if (!accepts(demands)) throw new AttestError('POLICY_DENIED', describeFailures(demands))
  return {
    binding,
    kem: binding.kem,
    kemDigest: await hpkeKeyDigest(binding.kem),
    bindingDigest: await digestOf(evidence.bundle.binding),
    evidenceDigest: await evidenceDigest(evidence.bundle),
    simulated: verdict.claims.simulated,
    measurement: verdict.claims.measurement,
    checks: [...verdict.checks, ...appraisal, ...demands],
  }
}

function rejected(checks: readonly Check[], message?: string): AttestError {
  const reasons = describeFailures(checks)
  return new AttestError('EVIDENCE_REJECTED', reasons === '' ? (message ?? 'no check was made') : reasons)
}

/** Each failed check in one line: the rule, what it wanted and what it found. */
export function describeFailures(checks: readonly Check[]): string {
  const failed = checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true)
  return failed.map((c) => `${c.rule} ${c.outcome === 'unknown' ? 'unknown' : 'failed'}: want ${c.want}, got ${c.got}`).join('; ')
}
