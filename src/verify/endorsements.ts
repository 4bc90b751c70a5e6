import { AttestError } from './errors.ts'
import type { VerifyCache } from './evidence/cache.ts'
import { check } from './evidence/check.ts'
import { type KnownCertificate, type KnownCrl, loadCollateral } from './evidence/collateral.ts'
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
 * @param endorsements - DER, certificates and CRLs.
 * @param issuers - Certificates that may have signed them, PEM or DER: collateral, roots of simulators.
 * @throws AttestError `ENCODING_INVALID` for anything but DER, and the codes of damaged certificates and CRLs.
 */
export async function endorsementCheck(
  endorsements: readonly Uint8Array[],
  issuers: readonly Uint8Array[],
  cache: VerifyCache,
): Promise<Check> {
  for (const [i, bytes] of endorsements.entries()) {
    if (bytes[0] !== 0x30) throw new AttestError('ENCODING_INVALID', 'not DER', { at: `endorsements[${i}]` })
  }
  const given = await loadCollateral(named('endorsements', endorsements), cache)
  const others = await loadCollateral(named('issuers', issuers), cache)
  const vendor = [...AMD_ROOTS.flatMap((root) => [root.ark, ...root.intermediates]), INTEL_SGX_ROOT]
  const known: readonly Issuer[] = [...vendor, ...[...given.certificates, ...others.certificates].map(asIssuer)]
  const loose: string[] = [...given.unrecognized, ...given.ocsp.map(() => 'an OCSP response')]
  for (const item of [...given.certificates, ...given.crls]) {
    if (!(await isVouchedFor(item, known, cache))) loose.push(`one issued by ${item.issuer.text}`)
  }
  const want = 'certificates and CRLs signed by one another or under a root'
  return check('signature.endorsements', loose.length === 0, want, loose.length === 0 ? 'all are' : loose.join(', '))
}

async function isVouchedFor(item: KnownCertificate | KnownCrl, issuers: readonly Issuer[], cache: VerifyCache): Promise<boolean> {
  for (const issuer of issuers) {
    if (issuer.subject === item.issuer.text && (await isSignedBy(cache, item, issuer))) return true
  }
  return false
}

function asIssuer({ subject, spki, spkiSha256 }: KnownCertificate): Issuer {
  return { subject: subject.text, spki, spkiSha256 }
}

function named(kind: string, items: readonly Uint8Array[]): { name: string; bytes: Uint8Array }[] {
  return items.map((bytes, i) => ({ name: `${kind}[${i}]`, bytes }))
}
