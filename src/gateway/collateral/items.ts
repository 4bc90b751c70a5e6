import { createHash } from 'node:crypto'
import { toHex } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { anchorOf, isAuthority, rootAnchor } from '../../verify/evidence/authority.ts'
import type { VerifyCache } from '../../verify/evidence/cache.ts'
import { type KnownCertificate, type KnownCrl, loadCollateral } from '../../verify/evidence/collateral.ts'
import { findTcbSigners, isPck, type TcbSigner } from '../../verify/evidence/dcap/certificates.ts'
import { documentSigners } from '../../verify/evidence/dcap/collateral.ts'
import { encodeIntelDocument, type IntelDocument } from '../../verify/evidence/dcap/collateral-json.ts'
import { parsePckExtension } from '../../verify/evidence/dcap/pck.ts'
import { type DcapRoot, dcapRoots } from '../../verify/evidence/dcap/roots.ts'
import { parseVek, vekKindOf } from '../../verify/evidence/sev-snp/vek.ts'
import { isSignedBy } from '../../verify/evidence/signed-by.ts'
import { AMD_ROOTS } from '../../verify/trust/amd.ts'
import type { Anchor } from '../../verify/trust/anchor.ts'
import { nameOf, type PckCa, type Question, type VekSigner } from './questions.ts'

/** One piece of collateral whose signature leads to a trusted root, in the form in which it is kept. */
export interface Item {
  /** A certificate or CRL in DER, or the answer of Intel's service for one document. */
  readonly kind: 'certificate' | 'crl' | 'document'
  readonly bytes: Uint8Array
  /** SHA-256 of the bytes, hexadecimal. */
  readonly sha256: string
  /** Milliseconds since 1970, both inclusive: notBefore to notAfter, thisUpdate to nextUpdate, issueDate to nextUpdate. */
  readonly notBefore: number
  readonly notAfter: number
  /** tcbEvaluationDataNumber of a document, else 0: Intel's own count of what is newer. */
  readonly evaluation: number
  /** Whose it is, for people. */
  readonly text: string
  /** The certificate that signed it; null where a root that is written down did. */
  readonly issuer: Item | null
  /** Names that it answers by what it says. */
  readonly names: readonly string[]
  readonly pck: { readonly pceId: string; readonly pceSvn: number } | null
}

/** Roots that decide what is kept. */
export interface Roots {
  readonly anchors: readonly Anchor[]
  readonly dcap: readonly DcapRoot[]
}

/**
 * The vendors' roots and those of simulators.
 * @param trustAnchors - Root certificates, PEM or DER.
 * @throws AttestError `CERTIFICATE_MALFORMED`, `CHAIN_INVALID` for what is no root certificate.
 */
export async function loadRoots(trustAnchors: readonly Uint8Array[], cache: VerifyCache): Promise<Roots> {
  const { certificates, unrecognized } = await loadCollateral(numbered('trust anchor', trustAnchors), cache)
  const [stranger] = unrecognized
  if (stranger !== undefined) throw new AttestError('CERTIFICATE_MALFORMED', 'not a certificate', { at: stranger })
  const simulated = certificates.map(rootAnchor)
  const dcap = dcapRoots(simulated)
  const amd = AMD_ROOTS.flatMap(({ ark, intermediates }) => [ark, ...intermediates])
  return { anchors: [...amd, ...dcap.map((root) => root.anchor)], dcap }
}

/** What was looked at: what leads to a root, and how many pieces do not. */
export interface Sifted {
  readonly items: readonly Item[]
  readonly strangers: number
}

/**
 * Keeps what a trusted root signed, directly or through one authority among the pieces. Windows of time are not looked at.
 * @param pieces - Certificates, chains, CRLs (PEM or DER), Intel's documents as JSON.
 * @param beside - Certificates that may have signed some; only `pieces` are answered.
 * @throws AttestError for a piece that is damaged.
 */
export async function siftItems(
  pieces: readonly Uint8Array[],
  beside: readonly Uint8Array[],
  roots: Roots,
  cache: VerifyCache,
): Promise<Sifted> {
  const found = await loadCollateral(numbered('collateral', pieces), cache)
  const helpers = await loadCollateral(numbered('issuer', beside), cache)
  const authorities = await authoritiesOf([...found.certificates, ...helpers.certificates], roots, cache)
  const items: Item[] = []
  for (const certificate of found.certificates) {
    const item = await siftCertificate(certificate, roots, authorities, cache)
    if (item !== null) items.push(item)
  }
  for (const crl of found.crls) {
    const signer = await signerOf(crl, roots, authorities, cache)
    if (signer !== null) items.push(crlItem(crl, signer.item))
  }
  const signers = await tcbSigners([...found.certificates, ...helpers.certificates], roots, cache)
  for (const document of found.documents) {
    const [signer] = await documentSigners(document, signers, cache)
    if (signer !== undefined) items.push(documentItem(document, certificateItem(signer.certificate, null)))
  }
  const looked = found.certificates.length + found.crls.length + found.documents.length + found.unrecognized.length
  return { items, strangers: looked - items.length }
}

function numbered(kind: string, items: readonly Uint8Array[]): { name: string; bytes: Uint8Array }[] {
  return items.map((bytes, i) => ({ name: `${kind}[${i}]`, bytes }))
}

/** A key that may sign, with its certificate where it is not written down. */
interface Authority {
  readonly anchor: Anchor
  readonly item: Item | null
}

async function authoritiesOf(certificates: readonly KnownCertificate[], { anchors }: Roots, cache: VerifyCache): Promise<Authority[]> {
  const authorities: Authority[] = []
  for (const certificate of certificates) {
    if (!isAuthority(certificate)) continue
    for (const anchor of anchors) {
      if (certificate.issuer.text !== anchor.subject || !(await isSignedBy(cache, certificate, anchor))) continue
      authorities.push({ anchor: anchorOf(certificate), item: certificateItem(certificate, null) })
      break
    }
  }
  return authorities
}

async function signerOf(
  signed: KnownCertificate | KnownCrl,
  { anchors }: Roots,
  authorities: readonly Authority[],
  cache: VerifyCache,
): Promise<Authority | null> {
  for (const authority of [...anchors.map((anchor) => ({ anchor, item: null })), ...authorities]) {
    if (signed.issuer.text === authority.anchor.subject && (await isSignedBy(cache, signed, authority.anchor))) return authority
  }
  return null
}

async function siftCertificate(
  certificate: KnownCertificate,
  roots: Roots,
  authorities: readonly Authority[],
  cache: VerifyCache,
): Promise<Item | null> {
  const signer = await signerOf(certificate, roots, authorities, cache)
  return signer === null ? null : certificateItem(certificate, signer.item)
}

async function tcbSigners(certificates: readonly KnownCertificate[], { dcap }: Roots, cache: VerifyCache): Promise<readonly TcbSigner[]> {
  const lists = await Promise.all(dcap.map((root) => findTcbSigners(certificates, root, cache)))
  return lists.flat()
}

function certificateItem(certificate: KnownCertificate, issuer: Item | null): Item {
  const { raw, sha256, notBefore, notAfter, subject } = certificate
  const extension = isPck(certificate) ? parsePckExtension(certificate) : null
  const pck = extension === null ? null : { pceId: extension.pceId, pceSvn: extension.pceSvn }
  return {
    kind: 'certificate',
    bytes: raw,
    sha256,
    notBefore,
    notAfter,
    evaluation: 0,
    text: subject.text,
    issuer,
    names: certificateNames(certificate),
    pck,
  }
}

const AMD_AUTHORITY = /^(?:SIMULATED )?SEV-(VLEK-)?(Milan|Genoa|Turin)$/
const ARK = /^(?:SIMULATED )?ARK-(Milan|Genoa|Turin)$/
const PCK_CA = /SGX PCK (Platform|Processor) CA/
const INTEL_ROOT = /SGX Root CA/

function certificateNames(certificate: KnownCertificate): readonly string[] {
  const authority = AMD_AUTHORITY.exec(certificate.subject.commonName ?? '')
  if (authority !== null) {
    const signer = authority[1] === undefined ? 'vcek' : 'vlek'
    return names({ kind: 'amd-chain', signer, product: productOf(authority[2]) })
  }
  if (vekKindOf(certificate) !== 'VCEK') return []
  const { product, hwId, tcb } = parseVek(certificate)
  return hwId === null ? [] : names({ kind: 'vcek', product, hwId: toHex(hwId), tcb: toHex(tcb) })
}

function crlItem({ raw, sha256, thisUpdate, nextUpdate, issuer: by }: KnownCrl, issuer: Item | null): Item {
  const name = by.commonName ?? ''
  const window = { notBefore: thisUpdate, notAfter: nextUpdate, evaluation: 0 }
  return { kind: 'crl', bytes: raw, sha256, ...window, text: `CRL of ${by.text}`, issuer, names: crlNames(name), pck: null }
}

/** AMD has one CRL for both kinds of keys and publishes it in two places. */
function crlNames(issuer: string): readonly string[] {
  const ark = ARK.exec(issuer)
  if (ark !== null) {
    const product = productOf(ark[1])
    return names(...(['vcek', 'vlek'] as const).map((signer: VekSigner) => ({ kind: 'amd-crl', signer, product }) as const))
  }
  const ca = PCK_CA.exec(issuer)?.[1]
  if (ca !== undefined) return names({ kind: 'pck-crl', ca: ca.toLowerCase() as PckCa })
  return INTEL_ROOT.test(issuer) ? names({ kind: 'root-crl' }) : []
}

/** Two spellings of one document get one form. */
function documentItem(document: IntelDocument, issuer: Item): Item {
  const { kind, content } = document
  const bytes = encodeIntelDocument(document)
  const { tee, tcbEvaluationDataNumber } = content
  const about = kind === 'tcb-info' ? `TCB info of ${tee} ${content.fmspc}` : `QE identity of ${tee}`
  return {
    kind: 'document',
    bytes,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    notBefore: content.issueDate,
    notAfter: content.nextUpdate,
    evaluation: tcbEvaluationDataNumber,
    text: `${about}, evaluation ${tcbEvaluationDataNumber}`,
    issuer,
    names: names(
      ...(['standard', 'early'] as const).map((update) =>
        kind === 'tcb-info'
          ? ({ kind: 'tcb-info', tee, fmspc: content.fmspc, update } as const)
          : ({ kind: 'qe-identity', tee, update } as const),
      ),
    ),
    pck: null,
  }
}

function productOf(text: string | undefined): 'Milan' | 'Genoa' | 'Turin' {
  return text as 'Milan' | 'Genoa' | 'Turin'
}

function names(...questions: readonly Question[]): readonly string[] {
  return questions.map(nameOf)
}
