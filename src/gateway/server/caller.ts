import { createHash, X509Certificate } from 'node:crypto'
import type { PeerCertificate } from 'node:tls'
import { peerIdentity } from '../../rpc/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'

export type CallerRole = 'client' | 'host'

/** Who a connection speaks for, by its certificate. */
export interface Caller {
  readonly role: CallerRole
  readonly name: string
  /** `client:NAME` or `host:NAME`: how rows name an owner. */
  readonly id: string
  /** DER. */
  readonly certificate: Uint8Array
}

/**
 * Reads the caller from a certificate that the TLS layer has verified under our CA.
 * @throws AttestError `UNAUTHENTICATED` without exactly one `urn:sealgate:(client|host):NAME`.
 */
export function callerOf(certificate: PeerCertificate | undefined): Caller {
  const identity = peerIdentity(certificate?.subjectaltname)
  if (certificate === undefined || identity === null || identity.role === 'gateway') {
    throw new AttestError('UNAUTHENTICATED', 'the certificate names no client or host of this gateway')
  }
  const { role, name } = identity
  return { role, name, id: `${role}:${name}`, certificate: certificate.raw }
}

/** SHA-256 of the SubjectPublicKeyInfo of the caller's TLS key, base64url: what a binding names as `tls`. */
export function tlsKeyDigest({ certificate }: Caller): string {
  const spki = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' })
  return toBase64Url(createHash('sha256').update(spki).digest())
}

/** @throws AttestError `PERMISSION_DENIED`. */
export function requireRole(caller: Caller, roles: readonly CallerRole[]): void {
  if (roles.includes(caller.role)) return
  throw new AttestError('PERMISSION_DENIED', `this is for ${roles.join(' and ')} certificates, and yours is a ${caller.role}'s`)
}
