import { OID_BASIC_CONSTRAINTS, OID_KEY_USAGE, unknownCritical } from '../../formats/x509.ts'
import type { Anchor } from '../../trust/anchor.ts'
import { VTPM_ROOTS } from '../../trust/vtpm.ts'
import type { Check } from '../../verdict.ts'
import { anchorOf, isAuthority } from '../authority.ts'
import type { VerifyCache } from '../cache.ts'
import { check, type Now, unknown } from '../check.ts'
import type { Collateral, KnownCertificate } from '../collateral.ts'
import type { Dated } from '../forecast.ts'
import { checkRevocation } from '../revocation.ts'
import { isSignedBy } from '../signed-by.ts'
import type { TrustAnchors } from '../trust-anchors.ts'
import { checkSpan } from '../windows.ts'
import { type AttestationKey, isAkCertificate, OID_EXTENDED_KEY_USAGE } from './ak.ts'

/** A root that certificates of attestation keys may lead to. */
export interface TpmRoot {
  readonly anchor: Anchor
  /** Chosen by the caller: whatever verifies under it proves nothing about hardware. */
  readonly simulated: boolean
}

/** Whom the caller and this library trust to vouch for attestation keys. */
export interface TpmTrust {
  readonly roots: readonly TpmRoot[]
  /** Attestation keys that the caller trusts as they are: SHA-256 of the SubjectPublicKeyInfo, hexadecimal. */
  readonly keys: readonly string[]
}

const VENDOR_ROOTS: readonly TpmRoot[] = VTPM_ROOTS.map((anchor) => ({ anchor, simulated: false }))

/** Built-in roots first; a caller's root that repeats one of them stays what it was. */
export function tpmTrust({ roots: anchors, keys }: TrustAnchors): TpmTrust {
  const named = anchors.filter((a) => !VENDOR_ROOTS.some((r) => r.anchor.spkiSha256 === a.spkiSha256))
  return { roots: [...VENDOR_ROOTS, ...named.map((anchor) => ({ anchor, simulated: true }))], keys: keys.map((k) => k.spkiSha256) }
}

/** Why an attestation key is believed to live in a TPM. */
export interface AkTrust {
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  readonly certificate: KnownCertificate | null
  readonly simulated: boolean
  readonly dated: readonly Dated[]
}

/** A certificate and the authorities above it, up to a root. */
interface Path {
  readonly issuers: readonly KnownCertificate[]
  readonly root: TpmRoot
}

const MAX_DEPTH = 4
/** Signature checks that one search may cost: certificates of one name and key could lead around for ever. */
const MAX_TRIALS = 64
const OID_SUBJECT_ALT_NAME = '2.5.29.17'
const OID_CRL_DISTRIBUTION_POINTS = '2.5.29.31'
const KNOWN_CRITICAL = [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE, OID_SUBJECT_ALT_NAME, OID_EXTENDED_KEY_USAGE]

/** Asks who vouches for the key that signed: a certificate of exactly this key, or the caller. */
export async function checkAk(
  ak: AttestationKey,
  collateral: Collateral,
  { roots, keys }: TpmTrust,
  now: Now,
  cache: VerifyCache,
): Promise<AkTrust> {
  const { certificates, crls } = collateral
  const own = certificates.filter((c) => c.spkiSha256 === ak.spkiSha256 && isAkCertificate(c))
  const [certificate] = own
  if (certificate === undefined) return trustKey(ak, certificates, keys)
  const path = await findPath(certificate, certificates, roots, cache)
  const issuer = certificate.issuer.text
  const checks = [
    checkProfile(certificate),
    check('chain.ak', path !== null, 'attestation key certified under a trusted root', path === null ? `${issuer} leads to none` : issuer),
    checkSpan('validity.ak', certificate.notBefore, certificate.notAfter, now),
  ]
  const dated: Dated[] = [{ what: 'ak', name: certificate.subject.text, at: certificate.notAfter }]
  if (path === null) return { checks, notChecked: [], certificate, simulated: false, dated }
  for (const { subject, notBefore, notAfter } of path.issuers) {
    checks.push(checkSpan('validity.issuer', notBefore, notAfter, now))
    dated.push({ what: 'issuer', name: subject.text, at: notAfter })
  }
  const { anchor } = path.root
  checks.push(checkSpan('validity.root', anchor.notBefore, anchor.notAfter, now))
  dated.push({ what: 'root', name: anchor.subject, at: anchor.notAfter })
  const notChecked: string[] = []
  for (const [subject, authority] of linksOf(certificate, path)) {
    const hasCrl = crls.some((c) => c.issuer.text === authority.subject)
    if (!hasCrl && !subject.extensions.has(OID_CRL_DISTRIBUTION_POINTS)) {
      notChecked.push(`revocation of ${subject.subject.text || 'the attestation key'}: its certificate names no CRL`)
      continue
    }
    const revocation = await checkRevocation(anchorOf(subject), authority, collateral, now, cache)
    checks.push(...revocation.checks)
    if (revocation.current !== null) dated.push({ what: 'crl', name: authority.subject, at: revocation.current.nextUpdate })
  }
  return { checks, notChecked, certificate, simulated: path.root.simulated, dated }
}

function trustKey(ak: AttestationKey, certificates: readonly KnownCertificate[], keys: readonly string[]): AkTrust {
  const rule = 'chain.ak'
  const want = 'attestation key certified under a trusted root, or named by the caller'
  const nobody = { notChecked: [], certificate: null, dated: [] }
  if (keys.includes(ak.spkiSha256)) return { checks: [check(rule, true, want, `key ${ak.spkiSha256}, named`)], ...nobody, simulated: true }
  const others = certificates.filter(isAkCertificate)
  const found =
    others.length === 0 ? unknown(rule, want, 'nobody vouches for it') : check(rule, false, want, 'certificates are of other keys')
  return { checks: [found], ...nobody, simulated: false }
}

function checkProfile({ keyUsage, extensions }: KnownCertificate): Check {
  const strange = unknownCritical(extensions, KNOWN_CRITICAL)
  const signs = keyUsage?.digitalSignature === true
  const got = [...(signs ? [] : ['may not sign']), ...strange.map((oid) => `critical extension ${oid}`)].join(', ')
  return check('chain.profile', got === '', 'certificate of a key that signs, no unknown critical extension', got || 'as wanted')
}

/** Leads a certificate to a root, through authorities that may stand where they stand (RFC 5280 section 6.1). */
async function findPath(
  leaf: KnownCertificate,
  certificates: readonly KnownCertificate[],
  roots: readonly TpmRoot[],
  cache: VerifyCache,
  below: readonly KnownCertificate[] = [],
  trials: { left: number } = { left: MAX_TRIALS },
): Promise<Path | null> {
  for (const root of roots) {
    if (root.anchor.subject === leaf.issuer.text && (await isSignedBy(cache, leaf, root.anchor))) return { issuers: below, root }
  }
  if (below.length === MAX_DEPTH) return null
  for (const issuer of certificates) {
    const fits = issuer.subject.text === leaf.issuer.text && isAuthority(issuer) && !below.includes(issuer)
    const limit = issuer.basicConstraints?.pathLength ?? MAX_DEPTH
    if (!fits || limit < below.length || trials.left-- <= 0 || !(await isSignedBy(cache, leaf, issuer))) continue
    const path = await findPath(issuer, certificates, roots, cache, [...below, issuer], trials)
    if (path !== null) return path
  }
  return null
}

/** Every certificate of the path with the authority that could revoke it. */
function linksOf(leaf: KnownCertificate, { issuers, root }: Path): readonly (readonly [KnownCertificate, Anchor])[] {
  const subjects = [leaf, ...issuers]
  return subjects.map((subject, i) => {
    const issuer = issuers[i]
    return [subject, issuer === undefined ? root.anchor : anchorOf(issuer)] as const
  })
}
