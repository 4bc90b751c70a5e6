import { equal } from './bytes/bytes.ts'
import { AttestError } from './errors.ts'
import { anchorOf, isAuthority, isRoot } from './evidence/authority.ts'
import { remember, type VerifyCache } from './evidence/cache.ts'
import { check } from './evidence/check.ts'
import {
  type Collateral,
  type KnownCertificate,
  type KnownCrl,
  type KnownOcsp,
  type KnownRim,
  loadCollateral,
} from './evidence/collateral.ts'
import { findTcbSigners } from './evidence/dcap/certificates.ts'
import { documentSigners } from './evidence/dcap/collateral.ts'
import { encodeIntelDocument, type IntelDocument } from './evidence/dcap/collateral-json.ts'
import { dcapRoots } from './evidence/dcap/roots.ts'
import { encodeRim } from './evidence/nvidia/rim/encode.ts'
import { establishRim, isTrusted } from './evidence/nvidia/rim/verify.ts'
import { nvidiaRoots } from './evidence/nvidia/roots.ts'
import { isSignedBy, type KeyBytes } from './evidence/signed-by.ts'
import { isResponder } from './formats/ocsp.ts'
import { AMD_ROOTS } from './trust/amd.ts'
import type { Anchor } from './trust/anchor.ts'
import { INTEL_SGX_ROOT } from './trust/intel.ts'
import { NVIDIA_DEVICE_ROOT, NVIDIA_RIM_ROOT } from './trust/nvidia.ts'
import { VTPM_ROOTS } from './trust/vtpm.ts'
import type { Check } from './verdict.ts'

/** Who may have signed an endorsement: a name and a key. */
interface Issuer extends KeyBytes {
  readonly subject: string
}

/**
 * Endorsements are hints: leaving one out can turn evidence from accepted to rejected, never the other way round. But none
 * is loose: each must be signed by another one, by itself, or under a root. So a changed byte shows even in one that would
 * not have been needed, and nobody can hide anything among them.
 * @param endorsements - Each one certificate, CRL or OCSP response in DER, one document of Intel in the form of
 *   {@link encodeIntelDocument}, or one manifest of NVIDIA in that of {@link encodeRim}.
 * @param issuers - Certificates that may have signed them, PEM or DER: collateral, roots of simulators.
 * @throws AttestError `ENCODING_INVALID` for any other spelling, and the codes of damaged certificates, CRLs and documents.
 */
export async function endorsementCheck(
  endorsements: readonly Uint8Array[],
  issuers: readonly Uint8Array[],
  cache: VerifyCache,
): Promise<Check> {
  const given = await loadCollateral(named('endorsements', endorsements), cache)
  await assertSpelling(endorsements, given, cache)
  const others = await loadCollateral(named('issuers', issuers), cache)
  const amd = AMD_ROOTS.flatMap((root) => [root.ark, ...root.intermediates])
  const vendor = [...amd, INTEL_SGX_ROOT, NVIDIA_DEVICE_ROOT, NVIDIA_RIM_ROOT, ...VTPM_ROOTS]
  const certificates = [...given.certificates, ...others.certificates]
  const roots = certificates.filter(isRoot).map(anchorOf)
  const known: readonly Issuer[] = [...vendor, ...certificates.map(asIssuer)]
  const loose: string[] = [...given.unrecognized]
  for (const item of [...given.certificates, ...given.crls]) {
    if (!(await isVouchedFor(item, known, cache))) loose.push(`one issued by ${item.issuer.text}`)
  }
  loose.push(...(await looseDocuments(given.documents, certificates, roots, cache)))
  const manifests = [...given.rims, ...others.rims]
  loose.push(...(await looseManifests(given.rims, roots, cache)))
  loose.push(...(await looseAnswers(given.ocsp, [...certificates, ...manifests.flatMap((m) => m.chain)], roots, cache)))
  const want = 'certificates, CRLs, documents, manifests and answers signed by one another or under a root'
  return check('signature.endorsements', loose.length === 0, want, loose.length === 0 ? 'all are' : loose.join(', '))
}

/** What was read is all that there is: a second spelling, or bytes beside it, could be changed unnoticed. */
async function assertSpelling(endorsements: readonly Uint8Array[], given: Collateral, cache: VerifyCache): Promise<void> {
  const { certificates, crls, ocsp, documents, rims, unrecognized } = given
  const manifests = await Promise.all(
    rims.map((rim) => remember(cache, `rim-spelling:${rim.sha256}`, rim.raw.length, () => encodeRim(rim))),
  )
  const spellings = [...[...certificates, ...crls, ...ocsp].map((c) => c.raw), ...documents.map(encodeIntelDocument), ...manifests]
  for (const [i, bytes] of endorsements.entries()) {
    const at = `endorsements[${i}]`
    if (unrecognized.includes(at) || spellings.some((s) => equal(s, bytes))) continue
    throw new AttestError(
      'ENCODING_INVALID',
      'neither one certificate, CRL or OCSP response in DER nor one document of Intel or NVIDIA in its one form',
      { at },
    )
  }
}

/** Issuers of one name that are looked at: each costs a signature check. */
const MAX_ISSUERS = 16

async function isVouchedFor(item: KnownCertificate | KnownCrl, issuers: readonly Issuer[], cache: VerifyCache): Promise<boolean> {
  for (const issuer of issuers.filter(({ subject }) => subject === item.issuer.text).slice(0, MAX_ISSUERS)) {
    if (await isSignedBy(cache, item, issuer)) return true
  }
  return false
}

/** Those that no TCB signer under Intel's root, or under a root among the certificates, has signed. */
async function looseDocuments(
  documents: readonly IntelDocument[],
  certificates: readonly KnownCertificate[],
  roots: readonly Anchor[],
  cache: VerifyCache,
): Promise<readonly string[]> {
  if (documents.length === 0) return []
  const signers = (await Promise.all(dcapRoots(roots).map((root) => findTcbSigners(certificates, root, cache)))).flat()
  const loose: string[] = []
  for (const document of documents) {
    if ((await documentSigners(document, signers, cache)).length === 0) loose.push(`${document.kind} that no SGX TCB Signing key signed`)
  }
  return loose
}

/** Manifests that are not whole, or whose own signers do not lead to a root. */
async function looseManifests(rims: readonly KnownRim[], roots: readonly Anchor[], cache: VerifyCache): Promise<readonly string[]> {
  const loose: string[] = []
  for (const rim of rims) {
    const facts = await establishRim(rim, nvidiaRoots(roots).rim, cache)
    if (!facts.authentic || !isTrusted(facts)) loose.push(`manifest of ${rim.product} ${rim.colloquialVersion}`)
  }
  return loose
}

/** Answers that none of those whom they name has signed, or with a certificate that leads to no root. */
async function looseAnswers(
  answers: readonly KnownOcsp[],
  certificates: readonly KnownCertificate[],
  roots: readonly Anchor[],
  cache: VerifyCache,
): Promise<readonly string[]> {
  const { device, rim } = nvidiaRoots(roots)
  const anchors = [...device, ...rim].map(({ anchor }) => anchor)
  const loose: string[] = []
  for (const answer of answers) {
    const ways = await Promise.all(answer.delegates.map((delegate) => leadsToRoot(delegate, certificates, anchors, cache)))
    const signers = [...answer.delegates, ...certificates]
    const signed = await findSigner(answer, signers, cache)
    const led = signed !== null && (await leadsToRoot(signed, certificates, anchors, cache))
    if (ways.includes(false) || !led) loose.push('an OCSP response')
  }
  return loose
}

async function findSigner(answer: KnownOcsp, signers: readonly KnownCertificate[], cache: VerifyCache): Promise<KnownCertificate | null> {
  for (const signer of signers) {
    if ((await isResponder(answer, signer)) && (await isSignedBy(cache, answer, signer))) return signer
  }
  return null
}

async function leadsToRoot(
  certificate: KnownCertificate,
  certificates: readonly KnownCertificate[],
  anchors: readonly Anchor[],
  cache: VerifyCache,
): Promise<boolean> {
  const way = new Set([certificate])
  // Grows while it is walked.
  for (const step of way) {
    for (const anchor of anchors) if (anchor.subject === step.issuer.text && (await isSignedBy(cache, step, anchor))) return true
    const above = certificates.filter((c) => c.subject.text === step.issuer.text && isAuthority(c)).slice(0, MAX_ISSUERS)
    for (const issuer of above) if (await isSignedBy(cache, step, issuer)) way.add(issuer)
  }
  return false
}

function asIssuer({ subject, spki, spkiSha256 }: KnownCertificate): Issuer {
  return { subject: subject.text, spki, spkiSha256 }
}

function named(kind: string, items: readonly Uint8Array[]): { name: string; bytes: Uint8Array }[] {
  return items.map((bytes, i) => ({ name: `${kind}[${i}]`, bytes }))
}
