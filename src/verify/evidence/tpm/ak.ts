import { crypto } from '#crypto'
import { AttestError } from '../../errors.ts'
import { assertDer, DerReader, TAG } from '../../formats/der.ts'
import { type KeyKind, kindOfSpki } from '../../formats/spki.ts'
import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import { check, unknown } from '../check.ts'
import type { KnownCertificate } from '../collateral.ts'
import { importKey } from '../signed-by.ts'
import { SHA1, signatureScheme } from './algorithms.ts'
import type { TpmQuote } from './attest.ts'
import type { TpmCompanions } from './companions.ts'
import { hasAttribute, type ObjectAttribute, type TpmPublic } from './public.ts'
import { signatureBytes, type TpmSignature } from './signature.ts'

/** A key that may have signed a quote. */
export interface AttestationKey {
  readonly kind: KeyKind
  readonly spki: Uint8Array
  /** Hexadecimal. */
  readonly spkiSha256: string
  /** The TPM's own description of it; null where none was given. */
  readonly tpmPublic: TpmPublic | null
}

/** Who signed a quote, if anybody did. */
export interface QuoteSignature {
  readonly check: Check
  /** The key whose signature verifies; null where none does. */
  readonly ak: AttestationKey | null
  readonly signature: TpmSignature | null
}

/** Attributes of a key that signs what the TPM itself made, in the TPM that made the key (part 2, section 8.3). */
const WANTED: readonly ObjectAttribute[] = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'sign']

export async function attestationKey(spki: Uint8Array, tpmPublic: TpmPublic | null): Promise<AttestationKey> {
  const kind = kindOfSpki(spki, 'tpm.ak')
  if (kind === null) throw new AttestError('EVIDENCE_UNSUPPORTED', 'attestation key is not RSA, P-256 or P-384', { at: 'tpm.ak' })
  return { kind, spki, spkiSha256: await crypto.digestHex('SHA-256', spki), tpmPublic }
}

/** Certificates of attestation keys among the collateral: every signature is tried under each. */
const MAX_CERTIFIED = 32

/**
 * Every key that was given: as the TPM describes it, bare, or in a certificate of no authority. One with a description goes first.
 * @throws AttestError `LIMIT_EXCEEDED`.
 */
export async function candidateKeys(
  { publics, keys }: TpmCompanions,
  certificates: readonly KnownCertificate[],
): Promise<readonly AttestationKey[]> {
  const found = [...publics.map((p) => attestationKey(p.spki, p)), ...keys.map((spki) => attestationKey(spki, null))]
  const bare = await Promise.all(found)
  const certified = certificates.filter(isAkCertificate)
  if (certified.length > MAX_CERTIFIED)
    throw new AttestError('LIMIT_EXCEEDED', `more than ${MAX_CERTIFIED} certificates of attestation keys`, { at: 'collateral' })
  const all = [...bare, ...(await Promise.all(certified.map(({ spki }) => attestationKey(spki, null))))]
  return all.filter((key, i) => all.findIndex((k) => k.spkiSha256 === key.spkiSha256) === i)
}

/** tcg-kp-AIKCertificate; Google's first hierarchy says tcg-kp-EKCertificate (TCG EK Credential Profile 2.6, section 3.2.16). */
const PURPOSES: readonly string[] = ['2.23.133.8.1', '2.23.133.8.3']
export const OID_EXTENDED_KEY_USAGE = '2.5.29.37'

/** By its extended key usage, which marks keys of TPMs. */
export function isAkCertificate({ basicConstraints, extensions }: KnownCertificate): boolean {
  const usage = extensions.get(OID_EXTENDED_KEY_USAGE)
  return basicConstraints?.ca !== true && usage !== undefined && purposesOf(usage.value).some((oid) => PURPOSES.includes(oid))
}

/** ExtKeyUsageSyntax ::= SEQUENCE OF OBJECT IDENTIFIER (RFC 5280 section 4.2.1.12). */
function purposesOf(value: Uint8Array): readonly string[] {
  const at = `certificate.${OID_EXTENDED_KEY_USAGE}`
  assertDer(value, at)
  const list = new DerReader(value, at).open(TAG.sequence)
  const purposes: string[] = []
  while (!list.done) purposes.push(list.oid())
  return purposes
}

/** Finds the signature and the key that belong together. With several of both, the pair that verifies is the one. */
export async function checkSignature(
  quote: TpmQuote,
  signatures: readonly TpmSignature[],
  keys: readonly AttestationKey[],
  cache: VerifyCache,
): Promise<QuoteSignature> {
  const rule = 'signature.tpm-quote'
  const want = 'TPMS_ATTEST signed by the attestation key, with SHA-256 or better'
  for (const signature of signatures) {
    for (const ak of keys) {
      if (await isSigned(quote, signature, ak, cache))
        return { check: check(rule, true, want, `${schemeText(signature)} verifies under the key ${ak.spkiSha256}`), ak, signature }
    }
  }
  const [signature = null] = signatures
  const nobody = { ak: null, signature }
  if (signature === null) return { check: unknown(rule, want, 'no signature given'), ...nobody }
  if (signature.hash === SHA1) return { check: check(rule, false, want, `${schemeText(signature)}, which is not trusted`), ...nobody }
  if (keys.length === 0) return { check: unknown(rule, want, 'no key to check it with'), ...nobody }
  return { check: check(rule, false, want, `${schemeText(signature)} verifies under none of ${keys.length} keys`), ...nobody }
}

async function isSigned(quote: TpmQuote, signature: TpmSignature, ak: AttestationKey, cache: VerifyCache): Promise<boolean> {
  const scheme = signatureScheme(ak.kind, signature.scheme, signature.hash)
  const own = ak.tpmPublic?.scheme ?? null
  const isOwn = own === null || (own.name === signature.scheme && own.hash === signature.hash)
  if (scheme === null || !isOwn) return false
  try {
    const key = await importKey(cache, scheme, ak)
    return await crypto.verify(key, signatureBytes(signature, ak.kind), quote.signed)
  } catch (error) {
    // A point that is not on the curve, or a scalar too long for it.
    if (error instanceof AttestError && error.code === 'CERTIFICATE_MALFORMED') return false
    throw error
  }
}

export function schemeText({ scheme, hash }: TpmSignature): string {
  return `${scheme.toUpperCase()} with ${hash.name.toUpperCase()}`
}

/** A key that would sign anything can sign a forged quote. */
export function checkAttributes(tpmPublic: TpmPublic): Check {
  const has = WANTED.filter((name) => hasAttribute(tpmPublic, name))
  const decrypts = hasAttribute(tpmPublic, 'decrypt')
  const got = [...has, ...(decrypts ? ['decrypt'] : [])].join(', ')
  return check('chain.ak-attributes', has.length === WANTED.length && !decrypts, `${WANTED.join(', ')}, not decrypt`, got || 'none')
}
