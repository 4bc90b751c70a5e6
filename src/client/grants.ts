import { crypto } from '#crypto'
import { issueFlattenedJws, Secret } from '../seal/index.ts'
import { instantOf } from '../verify/appraise/index.ts'
import { toBase64Url } from '../verify/bytes/bytes.ts'
import {
  encodeGrant,
  encodeRevocation,
  GRANT_TYP,
  type Grant,
  type GrantRelease,
  parseGrant,
  REVOCATION_TYP,
} from '../verify/documents/grant.ts'
import type { Hold } from '../verify/documents/hold.ts'
import { parsePolicy } from '../verify/documents/policy.ts'
import { useKeyCommitment } from '../verify/documents/use-slot.ts'
import { AttestError } from '../verify/errors.ts'
import { verifyFlattenedJws } from '../verify/formats/jws.ts'
import type { Client, RemoteGrant } from './client.ts'
import { heldError, isHeld, readHold } from './holds.ts'
import { type Owner, random } from './owner.ts'
import type { ReleaserKeys } from './releaser-keys.ts'

/** What an owner decides about a grant; the rest follows from the owner's keys. */
export type GrantTerms = Pick<Grant, 'datasets' | 'images' | 'argv' | 'env' | 'purposes' | 'uses' | 'jurisdictions' | 'agreement'> & {
  /** Default `direct`. */
  readonly release?: GrantRelease
  /** Thumbprints; the owner's own submit key where empty. */
  readonly submitters: readonly string[]
  /** Digests of HPKE keys; the owner's own recipient key where empty. */
  readonly recipients: readonly string[]
  /** Digests of the TLS keys that may speak with a service; none: no service. */
  readonly clients?: readonly string[]
  /** Items of which array jobs may consist; null: any; absent: no array job. */
  readonly items?: Grant['items']
  /** From now. */
  readonly validForSeconds: number
}

export interface IssuedGrant {
  /** SHA-256 of the grant: its id at the gateway. */
  readonly grantId: string
  readonly grant: Grant
}

/** Clocks of owner and log differ a little; a grant is valid from just before it is made. */
const SKEW_SECONDS = 60

/**
 * Signs a grant, keeps its use key in the keyring and hands it to the gateway.
 * @param policy - Canonical bytes of the policy that must hold.
 * @param now - Seconds since the epoch.
 */
export async function issueGrant(client: Client, owner: Owner, terms: GrantTerms, policy: Uint8Array, now: number): Promise<IssuedGrant> {
  parsePolicy(policy)
  const useKey = new Secret(random(32))
  try {
    const grant: Grant = {
      v: 1,
      grantId: toBase64Url(random(16)),
      datasets: sorted(terms.datasets),
      images: terms.images,
      argv: terms.argv,
      env: terms.env,
      ...(terms.items === undefined ? {} : { items: terms.items }),
      submitters: sorted(terms.submitters.length > 0 ? terms.submitters : [owner.submitThumbprint]),
      recipients: sorted(terms.recipients.length > 0 ? terms.recipients : [owner.recipientDigest]),
      clients: sorted(terms.clients ?? []),
      purposes: sorted(terms.purposes),
      policy: await digestOf(policy),
      uses: terms.uses,
      useKeyCommitment: await useKeyCommitment(useKey.expose()),
      notBefore: instantOf(now - SKEW_SECONDS),
      expires: instantOf(now + terms.validForSeconds),
      release: terms.release ?? 'direct',
      jurisdictions: sorted(terms.jurisdictions),
      agreement: terms.agreement,
    }
    const bytes = encodeGrant(grant)
    const grantId = await digestOf(bytes)
    // The use key first: a crash in between leaves a key without a grant, never a grant that nobody can use.
    await owner.keyring.putGrant(grantId, useKey, terms.uses)
    const answered = await client.putGrant(await issueFlattenedJws(bytes, GRANT_TYP, owner.grantKey), policy)
    if (answered !== grantId) throw new AttestError('INTERNAL', 'the gateway stored the grant under another id')
    return { grantId, grant }
  } finally {
    useKey.wipe()
  }
}

/** A grant with the policy that it names, both checked. */
export interface CheckedGrant {
  readonly grantId: string
  readonly grant: Grant
  /** Thumbprint of the owner. */
  readonly signer: string
  readonly jws: Uint8Array
  readonly policy: Uint8Array
  /** Taken back: here, or so says the gateway. */
  readonly revoked: boolean
  /** Held: here, or so says the owner's newest word that the gateway has. */
  readonly held: boolean
  /** That word; null: the gateway tells of none. */
  readonly hold: Hold | null
}

/**
 * Checks a grant that the gateway keeps: signed, under this id, with the policy that it names. Whether its signer owns the
 * data is for the grant rules.
 * @throws AttestError `SIGNATURE_INVALID`, `DOCUMENT_INVALID`.
 */
export async function checkGrant(remote: RemoteGrant): Promise<CheckedGrant> {
  const { payload, digest, signers } = await verifyFlattenedJws(remote.jws, GRANT_TYP, 'grant')
  if (digest !== remote.grantId) throw new AttestError('DOCUMENT_INVALID', 'the gateway answered with another grant', { at: 'grant' })
  const grant = parseGrant(payload)
  if ((await digestOf(remote.policy)) !== grant.policy) {
    throw new AttestError('DOCUMENT_INVALID', 'the gateway answered with another policy than the grant names', { at: 'grant.policy' })
  }
  const signer = signers[0]?.thumbprint ?? ''
  const hold = remote.hold === null ? null : await readHold(remote.hold, digest, signer)
  const { jws, policy, revoked } = remote
  return { grantId: digest, grant, signer, jws, policy, revoked, hold, held: hold?.held === true }
}

/** A gateway may hide a revocation or a hold; what was taken back or is held here needs nobody's word. */
export async function withOwn(owner: Owner, grant: CheckedGrant): Promise<CheckedGrant> {
  const revoked = grant.revoked || (await owner.keyring.isRevoked(grant.grantId))
  return { ...grant, revoked, held: await isHeld(owner, grant) }
}

/**
 * As {@link checkGrant}, for a grant of this owner.
 * @throws AttestError also `GRANT_DENIED` for somebody else's.
 */
export async function checkOwnGrant(owner: Owner, remote: RemoteGrant): Promise<CheckedGrant> {
  const checked = await checkGrant(remote)
  if (checked.signer !== owner.grantThumbprint)
    throw new AttestError('GRANT_DENIED', `grant ${checked.grantId} was signed by another owner`)
  return withOwn(owner, checked)
}

/**
 * Takes a grant back as far as this owner's client goes: from now on it makes no release intent under it and seals no key,
 * whatever a gateway says. Durable when it returns.
 * @param stopJobs - Whether the gateway is to stop jobs that have their keys already.
 * @param now - Seconds since the epoch.
 * @returns the signed revocation, for the gateway: {@link Client.revokeGrant}.
 */
export async function revokeGrant(owner: Owner, grantId: string, stopJobs: boolean, now: number): Promise<Uint8Array> {
  const revocation = encodeRevocation({ v: 1, grant: grantId, revokedAt: instantOf(now), stopJobs })
  const jws = await issueFlattenedJws(revocation, REVOCATION_TYP, owner.grantKey)
  await owner.keyring.putRevocation(grantId, jws)
  return jws
}

/** @throws AttestError `GRANT_DENIED` when one of these grants was taken back here, `GRANT_HELD` when one is held here. */
export async function refuseRevoked(keys: Pick<ReleaserKeys, 'isRevoked' | 'isHeld'>, grantIds: readonly string[]): Promise<void> {
  for (const grantId of grantIds) {
    if (await keys.isRevoked(grantId)) throw revokedError(grantId)
    if (await keys.isHeld(grantId)) throw heldError(grantId)
  }
}

export function revokedError(grantId: string): AttestError {
  return new AttestError('GRANT_DENIED', `grant ${grantId} was revoked`, { at: 'grants' })
}

/** base64url SHA-256. */
export async function digestOf(bytes: Uint8Array): Promise<string> {
  return toBase64Url(await crypto.digest('SHA-256', bytes))
}

function sorted(values: readonly string[]): readonly string[] {
  return [...new Set(values)].sort()
}
