import { equal } from './bytes/bytes.ts'
import { AttestError } from './errors.ts'
import { anchorOf, isRoot } from './evidence/authority.ts'
import type { VerifyCache } from './evidence/cache.ts'
import { check } from './evidence/check.ts'
import { type Collateral, type KnownCertificate, type KnownCrl, loadCollateral } from './evidence/collateral.ts'
import { findTcbSigners } from './evidence/dcap/certificates.ts'
import { documentSigners } from './evidence/dcap/collateral.ts'
import { encodeIntelDocument, type IntelDocument } from './evidence/dcap/collateral-json.ts'
import { dcapRoots } from './evidence/dcap/roots.ts'
import { isSignedBy, type KeyBytes } from './evidence/signed-by.ts'
import { AMD_ROOTS } from './trust/amd.ts'
import { INTEL_SGX_ROOT } from './trust/intel.ts'
import type { Check } from './verdict.ts'

/** Who may have signed an endorsement: a name and a key. */
interface Issuer extends KeyBytes {
  readonly subject: string
}

/**
 * Endorsements are hints: leaving one out can turn evidence from accepted to rejected, never the other way round. But none
 * is loose: each must be signed by another one, by itself, or under a root. So a changed byte shows even in one that would
 * not have been needed, and nobody can hide anything among them.
 * @param endorsements - Each one certificate or CRL in DER, or one document of Intel in the form of {@link encodeIntelDocument}.
 * @param issuers - Certificates that may have signed them, PEM or DER: collateral, roots of simulators.
 * @throws AttestError `ENCODING_INVALID` for any other spelling, and the codes of damaged certificates, CRLs and documents.
 */
export async function endorsementCheck(
  endorsements: readonly Uint8Array[],
  issuers: readonly Uint8Array[],
  cache: VerifyCache,
): Promise<Check> {
  const given = await loadCollateral(named('endorsements', endorsements), cache)
  assertSpelling(endorsements, given)
  const others = await loadCollateral(named('issuers', issuers), cache)
  const vendor = [...AMD_ROOTS.flatMap((root) => [root.ark, ...root.intermediates]), INTEL_SGX_ROOT]
  const certificates = [...given.certificates, ...others.certificates]
  const known: readonly Issuer[] = [...vendor, ...certificates.map(asIssuer)]
  const loose: string[] = [...given.unrecognized, ...given.ocsp.map(() => 'an OCSP response')]
  for (const item of [...given.certificates, ...given.crls]) {
    if (!(await isVouchedFor(item, known, cache))) loose.push(`one issued by ${item.issuer.text}`)
  }
  loose.push(...(await looseDocuments(given.documents, certificates, cache)))
  const want = 'certificates, CRLs and documents signed by one another or under a root'
  return check('signature.endorsements', loose.length === 0, want, loose.length === 0 ? 'all are' : loose.join(', '))
}

/** What was read is all that there is: a second spelling, or bytes beside it, could be changed unnoticed. */
function assertSpelling(endorsements: readonly Uint8Array[], { certificates, crls, documents, unrecognized }: Collateral): void {
  const spellings = [...certificates.map((c) => c.raw), ...crls.map((c) => c.raw), ...documents.map(encodeIntelDocument)]
  for (const [i, bytes] of endorsements.entries()) {
    const at = `endorsements[${i}]`
    if (unrecognized.includes(at) || spellings.some((s) => equal(s, bytes))) continue
    throw new AttestError('ENCODING_INVALID', 'neither one certificate or CRL in DER nor one document of Intel in its one form', { at })
  }
}

async function isVouchedFor(item: KnownCertificate | KnownCrl, issuers: readonly Issuer[], cache: VerifyCache): Promise<boolean> {
  for (const issuer of issuers) {
    if (issuer.subject === item.issuer.text && (await isSignedBy(cache, item, issuer))) return true
  }
  return false
}

/** Those that no TCB signer under Intel's root, or under a root among the certificates, has signed. */
async function looseDocuments(
  documents: readonly IntelDocument[],
  certificates: readonly KnownCertificate[],
  cache: VerifyCache,
): Promise<readonly string[]> {
  if (documents.length === 0) return []
  const roots = dcapRoots(certificates.filter(isRoot).map(anchorOf))
  const signers = (await Promise.all(roots.map((root) => findTcbSigners(certificates, root, cache)))).flat()
  const loose: string[] = []
  for (const document of documents) {
    if ((await documentSigners(document, signers, cache)).length === 0) loose.push(`${document.kind} that no SGX TCB Signing key signed`)
  }
  return loose
}

function asIssuer({ subject, spki, spkiSha256 }: KnownCertificate): Issuer {
  return { subject: subject.text, spki, spkiSha256 }
}

function named(kind: string, items: readonly Uint8Array[]): { name: string; bytes: Uint8Array }[] {
  return items.map((bytes, i) => ({ name: `${kind}[${i}]`, bytes }))
}
