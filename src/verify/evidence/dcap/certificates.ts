import type { Crl } from '../../formats/crl.ts'
import { type Certificate, OID_BASIC_CONSTRAINTS, OID_KEY_USAGE, unknownCritical } from '../../formats/x509.ts'
import type { Check } from '../../verdict.ts'
import { isAuthority } from '../authority.ts'
import type { VerifyCache } from '../cache.ts'
import { check, instant, type Now, unknown } from '../check.ts'
import type { KnownCertificate, KnownCrl } from '../collateral.ts'
import { isSignedBy, type KeyBytes } from '../signed-by.ts'
import { isWithin, type Window, windowOf } from '../windows.ts'
import type { DcapRoot } from './roots.ts'

/** Roles under Intel's root, by what the common name must contain (QVL X509Constants.h). */
const PCK_NAME = 'SGX PCK Certificate'
const PCK_CA_NAME = /SGX PCK (Platform|Processor) CA/
const TCB_SIGNER_NAME = 'SGX TCB Signing'

/** The one signature algorithm of Intel's hierarchy. */
const SCHEME = 'ecdsa-p256-sha256'

export function isPck(certificate: Certificate): boolean {
  return isEndEntity(certificate) && (certificate.subject.commonName ?? '').includes(PCK_NAME)
}

function isTcbSigner(certificate: Certificate): boolean {
  return isEndEntity(certificate) && (certificate.subject.commonName ?? '').includes(TCB_SIGNER_NAME)
}

function isPckAuthority(certificate: Certificate): boolean {
  const named = PCK_CA_NAME.test(certificate.subject.commonName ?? '')
  return named && certificate.signatureScheme === SCHEME && isAuthority(certificate) && certificate.keyUsage?.crlSign === true
}

/** May sign data and nothing else; nothing critical that we do not read. */
function isEndEntity({ signatureScheme, basicConstraints, keyUsage, extensions }: Certificate): boolean {
  const known = unknownCritical(extensions, [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE]).length === 0
  return signatureScheme === SCHEME && basicConstraints?.ca !== true && keyUsage?.digitalSignature === true && known
}

/** A PCK certificate led to a root: by names and signatures, whatever the order in which certificates came. */
export interface PckPath {
  readonly issuer: KnownCertificate
  readonly root: DcapRoot
  readonly issuerWindow: Window
  readonly rootWindow: Window
}

/** @returns Null when the certificate leads to no root. Says nothing about time or revocation. */
export async function findPckPath(
  leaf: KnownCertificate,
  certificates: readonly KnownCertificate[],
  roots: readonly DcapRoot[],
  cache: VerifyCache,
): Promise<PckPath | null> {
  for (const issuer of certificates) {
    if (issuer.subject.text !== leaf.issuer.text || !isPckAuthority(issuer)) continue
    for (const root of roots) {
      if (!(await isIssuedBy(issuer, root, cache))) continue
      if (!(await isSignedBy(cache, leaf, issuer))) continue
      const { anchor } = root
      const windows = { issuerWindow: certificateWindow(issuer), rootWindow: windowOf(anchor.notBefore, anchor.notAfter) }
      return { issuer, root, ...windows }
    }
  }
  return null
}

/** A certificate that signs TCB info and identities. */
export interface TcbSigner {
  readonly certificate: KnownCertificate
  readonly window: Window
}

/** Those that this root issued. */
export async function findTcbSigners(
  certificates: readonly KnownCertificate[],
  root: DcapRoot,
  cache: VerifyCache,
): Promise<readonly TcbSigner[]> {
  const signers: TcbSigner[] = []
  for (const certificate of certificates) {
    if (!isTcbSigner(certificate) || !(await isIssuedBy(certificate, root, cache))) continue
    signers.push({ certificate, window: certificateWindow(certificate) })
  }
  return signers
}

export function certificateWindow({ notBefore, notAfter }: Certificate): Window {
  return windowOf(notBefore, notAfter)
}

async function isIssuedBy(certificate: KnownCertificate, { anchor }: DcapRoot, cache: VerifyCache): Promise<boolean> {
  return certificate.issuer.text === anchor.subject && (await isSignedBy(cache, certificate, anchor))
}

/** CRLs in the name of one authority: those that it signed, and whether there are only others. */
export interface SignedCrls {
  readonly issuer: string
  readonly signed: readonly SignedCrl[]
  readonly isForged: boolean
}

interface SignedCrl {
  readonly revoked: Crl['revoked']
  readonly window: Window
  /** What is said of a serial that is not on it. */
  readonly absence: string
}

export async function findCrls(crls: readonly KnownCrl[], issuer: string, key: KeyBytes, cache: VerifyCache): Promise<SignedCrls> {
  const named = crls.filter((c) => c.issuer.text === issuer && c.signatureScheme === SCHEME)
  const signed: SignedCrl[] = []
  for (const crl of named) {
    if (!(await isSignedBy(cache, crl, key))) continue
    const window = windowOf(crl.thisUpdate, crl.nextUpdate)
    signed.push({ revoked: crl.revoked, window, absence: `not listed; CRL of ${window.text}` })
  }
  return { issuer, signed, isForged: named.length > 0 && signed.length === 0 }
}

/**
 * Whether a serial is on a CRL of its issuer. Any that is current can say so, and another one can still show a revocation that
 * had happened by then. With none that is current the answer is `unknown`.
 */
export function checkRevocation(rule: Check['rule'], serial: string, { issuer, signed, isForged }: SignedCrls, now: Now): Check {
  const want = `serial ${serial} not on a CRL of ${issuer}`
  let absence: string | null = null
  for (const crl of signed) {
    const isCurrent = isWithin(crl.window, now.ms)
    const revokedAt = crl.revoked.get(serial)
    if (revokedAt !== undefined && (isCurrent || revokedAt <= now.ms)) return check(rule, false, want, `revoked at ${instant(revokedAt)}`)
    if (isCurrent) absence ??= crl.absence
  }
  if (isForged) return check(rule, false, want, 'signature of the CRL does not verify')
  if (absence !== null) return check(rule, true, want, absence)
  return unknown(rule, want, signed.length === 0 ? 'no CRL given' : `CRL is not current: ${signed.map((c) => c.window.text).join(', ')}`)
}
