import { crypto } from '#crypto'
import { fromBase64Url, toBase64Url } from '../../verify/bytes/bytes.ts'
import { type Binding, type BindingRole, encodeBinding } from '../../verify/documents/binding.ts'
import { deviceNonce } from '../../verify/documents/device-nonce.ts'
import { type EvidenceBundle, evidenceDigest } from '../../verify/documents/evidence-bundle.ts'
import type { HpkePublicKey, SigningKey } from '../../verify/documents/keys.ts'
import type { Attester, DeviceAttester, DeviceEvidence } from '../attesters/attester.ts'

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
  /** Job digest in the roles job and session, else null. */
  readonly job: string | null
}

/** Evidence with the digests by which intents and statements name it. */
export interface CollectedEvidence {
  readonly bundle: EvidenceBundle
  readonly bindingDigest: string
  readonly evidenceDigest: string
}

/**
 * Has each device sign its nonce, derived from the binding; then has the attester sign SHA-512 of the binding with the
 * digests of the devices' reports (design section 4).
 * @param devices - null for a machine without any that give evidence.
 * @throws AttestError `ATTESTER_UNAVAILABLE`.
 */
export function collectEvidence(
  attester: Attester,
  subject: EvidenceSubject,
  devices: DeviceAttester | null = null,
): Promise<CollectedEvidence> {
  const before = turns.get(attester)
  const mine = (async () => {
    await before?.catch(() => undefined)
    return collect(attester, subject, devices)
  })()
  turns.set(attester, mine)
  return mine
}

/** The last one to ask each attester: devices answer one caller at a time, and jobs begin side by side. */
const turns = new WeakMap<Attester, Promise<unknown>>()

async function collect(attester: Attester, subject: EvidenceSubject, devices: DeviceAttester | null): Promise<CollectedEvidence> {
  const bare: Binding = {
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
  }
  const reports = devices === null ? [] : await attestDevices(devices, bare)
  const named = await Promise.all(reports.map(async ({ type, report }) => ({ type, report: await sha256(report) })))
  const binding = encodeBinding({ ...bare, devices: named })
  const { report, endorsements } = await attester.attest({
    reportData: await crypto.digest('SHA-512', binding),
    bindingDigest: await crypto.digest('SHA-256', binding),
    nonce: subject.nonce,
    publicKey: fromBase64Url(subject.kem.publicKey),
  })
  const bundle = {
    binding,
    config: subject.config,
    cpu: { format: attester.format, report },
    devices: reports,
    endorsements: [...endorsements, ...(devices?.endorsements ?? [])],
  }
  return { bundle, bindingDigest: await sha256(binding), evidenceDigest: await evidenceDigest(bundle) }
}

async function attestDevices(devices: DeviceAttester, bare: Binding): Promise<readonly DeviceEvidence[]> {
  const indices = Array.from({ length: await devices.count() }, (_, i) => i)
  return devices.attestDevices(await Promise.all(indices.map((i) => deviceNonce(bare, i))))
}

async function sha256(bytes: Uint8Array): Promise<string> {
  return toBase64Url(await crypto.digest('SHA-256', bytes))
}
