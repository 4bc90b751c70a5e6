import { crypto } from '#crypto'
import { toHex, utf8 } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'
import { type Crl, MAX_CRL_SIZE, parseCrl } from '../formats/crl.ts'
import { DerReader, splitDer, TAG } from '../formats/der.ts'
import { looksLikePem, parsePem } from '../formats/pem.ts'
import { type Certificate, parseCertificate } from '../formats/x509.ts'
import { remember, type VerifyCache } from './cache.ts'
import { type IntelDocument, looksLikeIntelCollateral, readIntelCollateral } from './dcap/collateral-json.ts'
import { looksLikeCertificateTable, parseCertificateTable } from './sev-snp/certificate-table.ts'
import { decodeText } from './text-encoding.ts'

/** A certificate with the digests by which facts about it are remembered. */
export interface KnownCertificate extends Certificate {
  /** SHA-256 of the DER bytes and of the SubjectPublicKeyInfo, hexadecimal. */
  readonly sha256: string
  readonly spkiSha256: string
}

export interface KnownCrl extends Crl {
  readonly sha256: string
}

/** Certificates, CRLs and Intel's documents from anywhere. Nothing here is trusted, and nothing here adds trust. */
export interface Collateral {
  /** Names these very items, in their order. */
  readonly id: string
  readonly certificates: readonly KnownCertificate[]
  readonly crls: readonly KnownCrl[]
  /** TCB info and identities of quoting enclaves. */
  readonly documents: readonly IntelDocument[]
  /** Names of the items that hold none of these. */
  readonly unrecognized: readonly string[]
}

/** One piece of collateral and what to call it in an error. */
export interface CollateralItem {
  readonly name: string
  readonly bytes: Uint8Array
}

/** Limits on what one call looks at. */
export const MAX_COLLATERAL_ITEMS = 256
const MAX_CERTIFICATES = 1024
/** Largest piece of collateral, in bytes: a CRL of 1 MiB as PEM. */
export const MAX_COLLATERAL_SIZE: number = MAX_CRL_SIZE + 512 * 1024

type Recognized = Pick<Collateral, 'certificates' | 'crls' | 'documents'>
const NOTHING: Recognized = { certificates: [], crls: [], documents: [] }

/**
 * Sorts collateral by its content: PEM or DER, certificates, chains (DER side by side) and CRLs; certificate tables of SEV-SNP;
 * hexadecimal and base64 of these; Intel's collateral as JSON. An item of any other kind is only named.
 * @throws AttestError `DER_MALFORMED`, `CERTIFICATE_MALFORMED`, `ENCODING_INVALID`, `JSON_MALFORMED` or `DOCUMENT_INVALID` for
 *   an item that is one of these kinds but damaged, `EVIDENCE_TRUNCATED` or `EVIDENCE_TRAILING` for a table; `LIMIT_EXCEEDED`.
 */
export async function loadCollateral(items: readonly CollateralItem[], cache: VerifyCache): Promise<Collateral> {
  if (items.length > MAX_COLLATERAL_ITEMS) throw new AttestError('LIMIT_EXCEEDED', `more than ${MAX_COLLATERAL_ITEMS} pieces of collateral`)
  const large = items.find(({ bytes }) => bytes.length > MAX_COLLATERAL_SIZE)
  if (large !== undefined) throw new AttestError('LIMIT_EXCEEDED', `larger than ${MAX_COLLATERAL_SIZE} bytes`, { at: large.name })
  const lengths = utf8(`${items.map(({ bytes }) => bytes.length).join()};`)
  const id = toHex(await crypto.digestParts('SHA-256', [lengths, ...items.map(({ bytes }) => bytes)]))
  const size = items.reduce((sum, { bytes }) => sum + bytes.length, 0)
  return remember(cache, `collateral:${id}:${items.map((i) => i.name).join()}`, size, () => sortItems(id, items, cache))
}

/** Both as if they had been loaded together; what is in both counts once. */
export function joinCollateral(a: Collateral, b: Collateral): Collateral {
  const both = <T extends { readonly sha256: string }>(x: readonly T[], y: readonly T[]): readonly T[] => [
    ...new Map([...x, ...y].map((item) => [item.sha256, item])).values(),
  ]
  return {
    id: `${a.id}+${b.id}`,
    certificates: both(a.certificates, b.certificates),
    crls: both(a.crls, b.crls),
    documents: both(a.documents, b.documents),
    unrecognized: [...a.unrecognized, ...b.unrecognized],
  }
}

async function sortItems(id: string, items: readonly CollateralItem[], cache: VerifyCache): Promise<Collateral> {
  const certificates = new Map<string, KnownCertificate>()
  const crls = new Map<string, KnownCrl>()
  const documents = new Map<string, IntelDocument>()
  const unrecognized: string[] = []
  for (const { name, bytes } of items) {
    const found = await remember(cache, `item:${await sha256(bytes)}`, 4 * bytes.length, () => recognize(bytes, name))
    if (found.certificates.length + found.crls.length + found.documents.length === 0) unrecognized.push(name)
    for (const certificate of found.certificates) certificates.set(certificate.sha256, certificate)
    for (const crl of found.crls) crls.set(crl.sha256, crl)
    for (const document of found.documents) documents.set(document.sha256, document)
    // A chain file can hold a thousand: each would cost a signature check.
    if (certificates.size > MAX_CERTIFICATES)
      throw new AttestError('LIMIT_EXCEEDED', `more than ${MAX_CERTIFICATES} certificates`, { at: name })
  }
  return { id, certificates: [...certificates.values()], crls: [...crls.values()], documents: [...documents.values()], unrecognized }
}

async function recognize(bytes: Uint8Array, name: string): Promise<Recognized> {
  const { pieces, documents } = await takeApart(bytes, name)
  const certificates: KnownCertificate[] = []
  const crls: KnownCrl[] = []
  for (const { kind, der } of pieces) {
    if (kind === 'certificate') certificates.push(await knownCertificate(parseCertificate(der, name)))
    if (kind === 'crl') crls.push({ ...parseCrl(der, name), sha256: await sha256(der) })
  }
  return certificates.length + crls.length + documents.length === 0 ? NOTHING : { certificates, crls, documents }
}

/** DER, and what it is taken for. */
interface Piece {
  readonly kind: 'certificate' | 'crl' | 'other'
  readonly der: Uint8Array
}

interface Parts {
  readonly pieces: readonly Piece[]
  readonly documents: readonly IntelDocument[]
}

async function takeApart(bytes: Uint8Array, name: string): Promise<Parts> {
  const binary = binaryPieces(bytes, name)
  if (binary !== null) return { pieces: binary, documents: [] }
  const text = textOf(bytes)
  return looksLikeIntelCollateral(text) ? intelParts(text, name) : { pieces: textPieces(text, name), documents: [] }
}

/** Of PEM, or of text that spells binary. */
function textPieces(text: string, name: string): readonly Piece[] {
  if (looksLikePem(text)) return pemPieces(text, name)
  const decoded = decodeText(text.trim())
  return (decoded === null ? null : binaryPieces(decoded, name)) ?? []
}

/** Null for bytes that are neither DER nor a certificate table of SEV-SNP, which holds DER or PEM. */
function binaryPieces(bytes: Uint8Array, name: string): readonly Piece[] | null {
  if (looksLikeDer(bytes)) return splitDer(bytes, name).map((der) => ({ kind: kindOf(der, name), der }))
  if (!looksLikeCertificateTable(bytes)) return null
  return parseCertificateTable(bytes, name).flatMap((content) =>
    looksLikeDer(content) ? (binaryPieces(content, name) ?? []) : pemPieces(textOf(content), name),
  )
}

async function intelParts(text: string, name: string): Promise<Parts> {
  const { documents, certificates, crls } = await readIntelCollateral(text, name)
  const pieces = [
    ...certificates.map((der) => ({ kind: 'certificate', der }) as const),
    ...crls.map((der) => ({ kind: 'crl', der }) as const),
  ]
  return { pieces, documents }
}

const PEM_KINDS: Readonly<Record<string, Piece['kind']>> = { CERTIFICATE: 'certificate', 'X509 CRL': 'crl' }

function pemPieces(text: string, name: string): readonly Piece[] {
  return parsePem(text, name).map(({ label, der }) => ({ kind: PEM_KINDS[label] ?? 'other', der }))
}

export async function knownCertificate(certificate: Certificate): Promise<KnownCertificate> {
  return { ...certificate, sha256: await sha256(certificate.raw), spkiSha256: await sha256(certificate.spki) }
}

async function sha256(bytes: Uint8Array): Promise<string> {
  return toHex(await crypto.digest('SHA-256', bytes))
}

/** A SEQUENCE of at least 128 bytes, as every certificate and CRL is; no text begins so. */
function looksLikeDer(bytes: Uint8Array): boolean {
  return bytes[0] === TAG.sequence && (bytes[1] ?? 0) > 0x80
}

/** Empty for bytes that are no text. */
function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return ''
  }
}

/** Both begin SEQUENCE { SEQUENCE {; then a certificate has its tagged version, a CRL the plain one. */
function kindOf(der: Uint8Array, name: string): Piece['kind'] {
  const outer = new DerReader(der, name)
  if (outer.peek !== TAG.sequence) return 'other'
  const signed = outer.open(TAG.sequence)
  if (signed.peek !== TAG.sequence) return 'other'
  const first = signed.open(TAG.sequence).peek
  return first === 0xa0 ? 'certificate' : first === TAG.integer ? 'crl' : 'other'
}
