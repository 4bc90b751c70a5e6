import { crypto } from '#crypto'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { type BindingRole, encodeBinding } from '../../verify/documents/binding.ts'
import { type EvidenceBundle, evidenceDigest } from '../../verify/documents/evidence-bundle.ts'
import type { HpkePublicKey, SigningKey } from '../../verify/documents/keys.ts'
import type { Attester } from '../attesters/attester.ts'

/** What a bundle of evidence shall bind. */
export interface EvidenceSubject {
  readonly role: BindingRole
  /** 32 bytes. */
  readonly nonce: Uint8Array
  readonly kem: HpkePublicKey
  readonly sig: SigningKey
  /** base64url SHA-256 of the agent's TLS key (SPKI), or null. */
  readonly tls: string | null
  /** Canonical JSON of the agent's configuration. */
  readonly config: Uint8Array
  /** Job digest; null unless role is job. */
  readonly job: string | null
}

/** Evidence with the digests by which intents and statements name it. */
export interface CollectedEvidence {
  readonly bundle: EvidenceBundle
  readonly bindingDigest: string
  readonly evidenceDigest: string
}

/**
 * Has the attester sign SHA-512 of the binding (design section 4).
 * @throws AttestError `ATTESTER_UNAVAILABLE`.
 */
export async function collectEvidence(attester: Attester, subject: EvidenceSubject): Promise<CollectedEvidence> {
  const binding = encodeBinding({
    v: 1,
    context: 'sealgate/attest/v1',
    role: subject.role,
    nonce: toBase64Url(subject.nonce),
    kem: subject.kem,
    sig: { alg: 'Ed25519', publicKey: subject.sig.x },
    tls: subject.tls,
    devices: [],
    config: await sha256(subject.config),
    job: subject.job,
  })
  const { report, endorsements } = await attester.attest(await crypto.digest('SHA-512', binding))
  const bundle = { binding, config: subject.config, cpu: { format: attester.format, report }, devices: [], endorsements }
  return { bundle, bindingDigest: await sha256(binding), evidenceDigest: await evidenceDigest(bundle) }
}

async function sha256(bytes: Uint8Array): Promise<string> {
  return toBase64Url(await crypto.digest('SHA-256', bytes))
}
