import { AttestError } from '../errors.ts'
import { type Certificate, OID_BASIC_CONSTRAINTS, OID_KEY_USAGE, unknownCritical } from '../formats/x509.ts'
import type { Anchor } from '../trust/anchor.ts'
import type { Collateral, KnownCertificate } from './collateral.ts'

/** Whether a certificate may sign others: CA, keyCertSign, and nothing critical that we do not read (RFC 5280 section 6.1.4). */
export function isAuthority(certificate: Certificate): boolean {
  const { basicConstraints, keyUsage, extensions } = certificate
  const known = unknownCritical(extensions, [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE]).length === 0
  return basicConstraints?.ca === true && keyUsage?.certSign === true && known
}

export function anchorOf(certificate: KnownCertificate): Anchor {
  const { subject, issuer, serial, notBefore, notAfter, spki, spkiSha256 } = certificate
  return { subject: subject.text, issuer: issuer.text, serial, notBefore, notAfter, spki, spkiSha256 }
}

/** Names collateral and the roots that a caller named, for facts that rest on both. Roots that are built in are the same for all. */
export function scopeOf({ id }: Pick<Collateral, 'id'>, roots: readonly Anchor[]): string {
  return roots.reduce((text, { certificateSha256: named }) => (named === undefined ? text : `${text},${named}`), id)
}

/** Self-issued, may sign certificates and CRLs. */
export function isRoot(certificate: Certificate): boolean {
  return certificate.subject.text === certificate.issuer.text && isAuthority(certificate) && certificate.keyUsage?.crlSign === true
}

/**
 * A root that the caller chose to trust: self-issued, may sign certificates and CRLs. Its own signature says nothing and is
 * not looked at.
 * @throws AttestError `CHAIN_INVALID` for a certificate that is no root.
 */
export function rootAnchor(certificate: KnownCertificate): Anchor {
  if (!isRoot(certificate))
    throw new AttestError('CHAIN_INVALID', `${certificate.subject.text} is not a root certificate`, { at: 'trust anchor' })
  return { ...anchorOf(certificate), certificateSha256: certificate.sha256 }
}
