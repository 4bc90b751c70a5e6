import { same } from '../appraise/check.ts'
import { fromBase64Url, toHex } from '../bytes/bytes.ts'
import type { OnboardingFile } from '../documents/event-file.ts'
import { type OnboardPredicate, parseEventStatement } from '../documents/event-statement.ts'
import { bundleFromJson } from '../documents/evidence-bundle.ts'
import type { TrustFile } from '../documents/trust.ts'
import { endorsementCheck } from '../endorsements.ts'
import { createVerifyCache } from '../evidence/cache.ts'
import { check } from '../evidence/check.ts'
import type { Check } from '../verdict.ts'
import { verifyBundle } from '../verify-bundle.ts'
import { type ReceiptEvidence, readEvidence } from './documents.ts'
import type { EventParts } from './event-parts.ts'
import { simulatedRoots, unknownSimulator } from './trust.ts'

export async function readOnboarding(file: OnboardingFile, payload: Uint8Array): Promise<EventParts> {
  const { predicate, subject } = parseEventStatement('onboard', payload)
  const evidence = await readEvidence(bundleFromJson(file.evidence))
  const { tee, measurement, bindingGrade, simulated } = predicate.ear
  const question = { evidence, nonce: fromBase64Url(file.nonce), endorsements: file.endorsements.map(fromBase64Url), predicate }
  return {
    type: 'onboard',
    policy: null,
    owners: [],
    checks: [
      same('signature.subject', toHex(fromBase64Url(evidence.digest)), subject[0].digest.sha256),
      same('signature.evidence', evidence.digest, predicate.evidence),
      same('signature.binding', evidence.bindingDigest, predicate.binding),
      same('policy.ear', 'affirming', predicate.ear.status),
    ],
    checksAt: (time, trust) => checkEvidenceAt(question, time, trust),
    facts: { type: 'onboard', host: predicate.host, tee, measurement, bindingGrade, simulated, expires: predicate.expires },
    notChecked: [],
  }
}

interface Question {
  readonly evidence: ReceiptEvidence
  readonly nonce: Uint8Array
  readonly endorsements: readonly Uint8Array[]
  readonly predicate: OnboardPredicate
}

/** The evidence as it stood when it was logged, under what the gateway says that it demanded: genuine, fresh, and what the result says of it. */
async function checkEvidenceAt(
  { evidence, nonce, endorsements, predicate }: Question,
  time: number | null,
  trust: TrustFile | null,
): Promise<readonly Check[]> {
  const { simulated } = predicate.ear
  // Nobody is known to vouch for a time, which stands among the checks already: by the gateway's own clock it can be read all the same.
  const at = new Date((time ?? predicate.ear.iat) * 1000)
  const roots = trust === null ? simulatedRoots({ evidence, endorsements }) : trust.simulatedRoots.map(fromBase64Url)
  const cache = createVerifyCache()
  const verdict = await verifyBundle(evidence.bundle, {
    collateral: endorsements,
    trustAnchors: simulated || trust !== null ? roots : [],
    at,
    role: 'host',
    nonce,
    sevSnp: {},
    tdx: {},
    sgx: {},
    nvidia: {},
    ...predicate.demands,
    cache,
  })
  const chains = evidence.bundle.devices.map((d) => d.certificateChain)
  const issuers = [...evidence.bundle.endorsements, ...chains, ...roots]
  const checks = [...verdict.checks, await endorsementCheck(endorsements, issuers, cache)]
  const unnamed = trust === null && simulated ? [unknownSimulator] : []
  if (verdict.decision === 'reject') return [...checks, check('binding.ear', false, 'evidence that verifies', 'none'), ...unnamed]
  const { claims } = verdict
  const { tee, measurement, bindingGrade } = predicate.ear
  const stated = { tee, measurement, bindingGrade, simulated }
  const proven = { tee: claims.tee, measurement: claims.measurement, bindingGrade: claims.bindingGrade, simulated: claims.simulated }
  return [...checks, same('binding.ear', proven, stated), ...unnamed]
}
