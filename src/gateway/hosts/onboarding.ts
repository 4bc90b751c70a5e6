import { crypto } from '#crypto'
import type { Leniency } from '../../verify/appraise/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { bundleToJson, type EvidenceBundle, encodeEvidenceBundle, evidenceDigest } from '../../verify/documents/evidence-bundle.ts'
import type { Check } from '../../verify/verdict.ts'
import { type Appraised, type Appraiser, attestationResult, encodeAppraisal } from '../appraiser.ts'
import { type Clock, instant } from '../clock.ts'
import type { Events } from '../events/events.ts'
import { type Caller, tlsKeyDigest } from '../server/caller.ts'
import type { Database } from '../store/open-store.ts'

export interface OnboardingMeans {
  readonly db: Database
  readonly events: Events
  readonly appraiser: Appraiser
  readonly clock: Clock
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
  const { allowUnknown, ...requirements } = means.ofHosts
  const asked = Object.fromEntries(Object.entries(requirements).filter(([, value]) => Object.keys(value).length > 0))
  const evidence = await evidenceDigest(bundle)
  // Durable when it returns: the log entry, its receipt and the record, together. A crash before costs a new challenge.
  await means.events.append({
    type: 'onboard',
    subject: evidence,
    predicate: {
      host: caller.name,
      binding: toBase64Url(await crypto.digest('SHA-256', bundle.binding)),
      evidence,
      ear: attestationResult(appraised.appraisal, means.events.gateway),
      demands: { allowUnknown: [...allowUnknown].sort(), ...asked },
      expires: instant(expires),
    },
    documents: {
      type: 'sealgate/onboarding-file/v1',
      evidence: bundleToJson(bundle),
      nonce: toBase64Url(nonce),
      endorsements: appraised.collateral.map(toBase64Url),
    },
    name: caller.name,
    reader: null,
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
