import { same } from '../appraise/check.ts'
import { constraintChecks, provenOf } from '../appraise/demands.ts'
import { leniencyOf } from '../appraise/leniency.ts'
import { appraisePolicy } from '../appraise/policy.ts'
import { serviceKeyChecks } from '../appraise/service-rules.ts'
import { jobNonce } from '../documents/job-nonce.ts'
import { endorsementCheck } from '../endorsements.ts'
import { createVerifyCache } from '../evidence/cache.ts'
import type { Check, Verified } from '../verdict.ts'
import { type BundleClaims, verifyBundle } from '../verify-bundle.ts'
import type { ReceiptDocuments, ReceiptEvidence } from './documents.ts'
import { isAgentSigned } from './links.ts'

/** What the evidence of a receipt proves. */
export interface EvidenceFacts {
  readonly checks: readonly Check[]
  readonly claims: Verified<BundleClaims> | null
}

/**
 * Verifies the job evidence as it stood when keys were released: genuine, made for this job and nonce, holder of the job
 * key, and what every policy wants.
 * @param at - Seconds since the epoch.
 */
export async function checkEvidence(
  doc: ReceiptDocuments,
  evidence: ReceiptEvidence,
  trustAnchors: readonly Uint8Array[],
  at: number,
): Promise<EvidenceFacts> {
  const instant = new Date(at * 1000)
  const cache = createVerifyCache()
  const verdict = await verifyBundle(evidence.bundle, {
    collateral: doc.endorsements,
    trustAnchors,
    at: instant,
    role: 'job',
    nonce: await jobNonce(doc.contract.digest, doc.ownerNonces, doc.nonceCheckpoint ?? ''),
    job: doc.contract.digest,
    ...leniencyOf(doc.policies.map((p) => p.value)),
    cache,
  })
  const chains = evidence.bundle.devices.map((d) => d.certificateChain)
  const issuers = [...evidence.bundle.endorsements, ...chains, ...trustAnchors]
  const endorsements = await endorsementCheck(doc.endorsements, issuers, cache)
  const checks = [
    ...verdict.checks,
    ...jobKeyChecks(doc, evidence),
    ...serviceKeyChecks(doc.contract.value, evidence.binding),
    endorsements,
  ]
  if (verdict.decision === 'reject') return { checks, claims: null }
  const { claims } = verdict
  const appraised = doc.policies.flatMap((p) => appraisePolicy(claims, p.value, instant))
  const constrained = constraintChecks(doc.contract.value, provenOf(claims))
  return { checks: [...checks, ...appraised, ...constrained, ...statedChecks(doc, claims)], claims }
}

function jobKeyChecks(doc: ReceiptDocuments, { binding }: ReceiptEvidence): readonly Check[] {
  return isAgentSigned(doc) ? [same('binding.job-key', binding.sig.publicKey, doc.signers.agent?.key.x ?? null)] : []
}

/** What the statement and the gateway's attestation result say of the evidence is what it proves. */
function statedChecks({ statement }: ReceiptDocuments, claims: BundleClaims): readonly Check[] {
  const { simulated, ear, type } = statement.predicate
  const { tee, measurement, bindingGrade } = claims
  const proven = { tee, measurement, bindingGrade, simulated: claims.simulated }
  const stated =
    ear === null ? null : { tee: ear.tee, measurement: ear.measurement, bindingGrade: ear.bindingGrade, simulated: ear.simulated }
  return [
    same('binding.simulated', claims.simulated, simulated),
    ...(ear === null ? [] : [same('binding.ear', proven, stated)]),
    ...(type === 'execution' ? [same('policy.ear', 'affirming', ear?.status ?? null)] : []),
  ]
}
