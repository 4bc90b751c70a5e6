import { randomBytes } from 'node:crypto'
import { crypto } from '#crypto'
import { issueFlattenedJws, type SigningPrivateKey } from '../../seal/jws.ts'
import type { Leniency } from '../../verify/appraise/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { type EvidenceBundle, encodeEvidenceBundle, evidenceDigest } from '../../verify/documents/evidence-bundle.ts'
import { commitmentOf } from '../../verify/documents/leaf.ts'
import { encodeCanonical, type Json } from '../../verify/formats/canonical-json.ts'
import type { Check } from '../../verify/verdict.ts'
import { type Appraised, type Appraiser, attestationResult, encodeAppraisal } from '../appraiser.ts'
import { type Clock, instant } from '../clock.ts'
import type { TransparencyLog } from '../log/index.ts'
import { type Caller, tlsKeyDigest } from '../server/caller.ts'
import type { Database } from '../store/open-store.ts'

/** JWS `typ` of the result of an onboarding, the opening of an `onboard` leaf. */
export const ONBOARDING_TYP = 'sealgate-onboarding-v1+jws'

export interface OnboardingMeans {
  readonly db: Database
  readonly log: TransparencyLog
  readonly appraiser: Appraiser
  readonly clock: Clock
  readonly signingKey: SigningPrivateKey
  /** Name and version of this gateway. */
  readonly gateway: string
  /** What is asked of the evidence of hosts beyond the strict default, and what may pass. */
  readonly ofHosts: Leniency
  readonly attestationSeconds: number
}

export interface Onboarded extends Appraised {
  /** Milliseconds since the epoch; evidence is asked for again before. */
  readonly expires: number
}

/**
 * Appraises the evidence of a host and records the result. An accepted one is logged, durable before it counts; a refused
 * one is not, so that nobody fills the log with refusals.
 * @param nonce - the challenge, 32 bytes.
 */
export async function onboard(means: OnboardingMeans, caller: Caller, bundle: EvidenceBundle, nonce: Uint8Array): Promise<Onboarded> {
  encodeEvidenceBundle(bundle)
  const tls = tlsKeyDigest(caller)
  const appraised = await means.appraiser.appraise(bundle, {
    role: 'host',
    nonce,
    ...means.ofHosts,
    policies: [],
    also: ({ binding }) => [sameTlsKey(binding.tls, tls)],
  })
  const expires = means.clock.now() + means.attestationSeconds * 1000
  const set = { appraisal: encodeAppraisal(appraised.appraisal), accepted: appraised.claims === null ? 0 : 1, expires_at: expires } as const
  if (appraised.claims === null) {
    await means.db.updateTable('hosts').set(set).where('name', '=', caller.name).execute()
    return { ...appraised, expires }
  }
  const opening = await signResult(means, caller, bundle, appraised, expires)
  const salt = new Uint8Array(randomBytes(32))
  const leaf = { v: 1, type: 'onboard', commitment: await commitmentOf(salt, opening), tags: [], ends: [], deadline: null } as const
  // Durable when it returns: the log entry and the record, together. A crash before costs a new challenge.
  await means.log.append({
    leaf,
    salt,
    opening,
    also: async (tx) => {
      await tx.updateTable('hosts').set(set).where('name', '=', caller.name).execute()
    },
  })
  return { ...appraised, expires }
}

/** Evidence of another machine, relayed over this connection, is not this host's. */
function sameTlsKey(bound: string | null, presented: string): Check {
  const passes = bound === null || bound === presented
  return { rule: 'binding.tls', outcome: passes ? 'pass' : 'fail', want: presented, got: bound ?? 'none bound' }
}

async function signResult(
  means: OnboardingMeans,
  caller: Caller,
  bundle: EvidenceBundle,
  { appraisal }: Appraised,
  expires: number,
): Promise<Uint8Array> {
  const result = {
    v: 1,
    host: caller.name,
    binding: toBase64Url(await crypto.digest('SHA-256', bundle.binding)),
    evidence: await evidenceDigest(bundle),
    ear: attestationResult(appraisal, means.gateway) as unknown as Json,
    expires: instant(expires),
  }
  return issueFlattenedJws(encodeCanonical(result), ONBOARDING_TYP, means.signingKey)
}
