import { crypto } from '#crypto'
import { toHex, utf8 } from '../bytes/bytes.ts'
import type { Awaitable } from '../crypto/types.ts'
import { AttestError } from '../errors.ts'
import { type Crl, MAX_CRL_SIZE, parseCrl } from '../formats/crl.ts'
import { DerReader, splitDer, TAG } from '../formats/der.ts'
import { type OcspResponse, parseOcspResponse } from '../formats/ocsp.ts'
import { looksLikePem, parsePem } from '../formats/pem.ts'
import { type Certificate, parseCertificate } from '../formats/x509.ts'
import { remember, type VerifyCache } from './cache.ts'
import { type Companion, companionKind } from './companions.ts'
import { type IntelDocument, looksLikeIntelCollateral, readIntelCollateral } from './dcap/collateral-json.ts'
import { looksLikeRim, parseRim, type Rim } from './nvidia/rim/parse.ts'
import { looksLikeRimAnswer, readRimAnswer } from './nvidia/rim/service.ts'
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

/** NVIDIA's reference manifest with the certificates of its signer. */
export interface KnownRim extends Rim {
  readonly sha256: string
  readonly chain: readonly KnownCertificate[]
}

/** An OCSP response with the certificates that came with it. */
export interface KnownOcsp extends OcspResponse {
  readonly sha256: string
  readonly delegates: readonly KnownCertificate[]
}

/** Certificates, CRLs and vendors' documents from anywhere. Nothing here is trusted, and nothing here adds trust. */
export interface Collateral {
  /** Names these very items, in their order. */
  readonly id: string
  readonly certificates: readonly KnownCertificate[]
  readonly crls: readonly KnownCrl[]
  /** TCB info and identities of quoting enclaves. */
  readonly documents: readonly IntelDocument[]
  /** NVIDIA's reference manifests. */
  readonly rims: readonly KnownRim[]
  readonly ocsp: readonly KnownOcsp[]
  /** The certificates of each item that holds any, in its order, as chains are handed out. */
  readonly chains: readonly CertificateChain[]
  /** Parts of evidence that is not in one piece: signatures, PCR values, keys, quotes of another TEE. */
  readonly companions: readonly Companion[]
  /** Names of the items that hold none of these. */
  readonly unrecognized: readonly string[]
}

/** Certificates that came in one piece. */
export interface CertificateChain {
  readonly sha256: string
  readonly certificates: readonly KnownCertificate[]
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

type Recognized = Pick<Collateral, 'certificates' | 'crls' | 'documents' | 'rims' | 'ocsp' | 'companions'>
const NOTHING: Recognized = { certificates: [], crls: [], documents: [], rims: [], ocsp: [], companions: [] }

/**
 * Sorts collateral by its content: PEM or DER, certificates, chains (DER side by side), CRLs and OCSP responses; certificate tables
 * of SEV-SNP; hexadecimal and base64 of these; Intel's collateral as JSON; NVIDIA's reference manifests as XML or as its service
 * answers; companions of TPM evidence. An item of any other kind is only named.
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
    rims: both(a.rims, b.rims),
    ocsp: both(a.ocsp, b.ocsp),
    chains: both(a.chains, b.chains),
    companions: both(a.companions, b.companions),
    unrecognized: [...a.unrecognized, ...b.unrecognized],
  }
}

async function sortItems(id: string, items: readonly CollateralItem[], cache: VerifyCache): Promise<Collateral> {
  const certificates = new Map<string, KnownCertificate>()
  const crls = new Map<string, KnownCrl>()
  const documents = new Map<string, IntelDocument>()
  const rims = new Map<string, KnownRim>()
  const ocsp = new Map<string, KnownOcsp>()
  const chains = new Map<string, CertificateChain>()
  const companions = new Map<string, Companion>()
  const unrecognized: string[] = []
  for (const { name, bytes } of items) {
    const digest = await sha256(bytes)
    const found = await remember(cache, `item:${digest}`, 4 * bytes.length, () => recognize(bytes, name, cache))
    if (found === NOTHING) unrecognized.push(name)
    if (found.certificates.length > 0) chains.set(digest, { sha256: digest, certificates: found.certificates })
    for (const certificate of found.certificates) certificates.set(certificate.sha256, certificate)
    for (const crl of found.crls) crls.set(crl.sha256, crl)
    for (const document of found.documents) documents.set(document.sha256, document)
    for (const rim of found.rims) rims.set(rim.sha256, rim)
    for (const response of found.ocsp) ocsp.set(response.sha256, response)
    for (const companion of found.companions) companions.set(companion.sha256, companion)
    // A chain file can hold a thousand: each would cost a signature check.
    if (certificates.size > MAX_CERTIFICATES)
      throw new AttestError('LIMIT_EXCEEDED', `more than ${MAX_CERTIFICATES} certificates`, { at: name })
  }
  return {
    id,
    certificates: [...certificates.values()],
    crls: [...crls.values()],
    documents: [...documents.values()],
    rims: [...rims.values()],
    ocsp: [...ocsp.values()],
    chains: [...chains.values()],
    companions: [...companions.values()],
    unrecognized,
  }
}

async function recognize(bytes: Uint8Array, name: string, cache: VerifyCache): Promise<Recognized> {
  const { pieces, documents, rims } = await takeApart(bytes, name)
  const certificates: KnownCertificate[] = []
  const crls: KnownCrl[] = []
  const ocsp: KnownOcsp[] = []
  const others: Uint8Array[] = []
  for (const { kind, der } of pieces) {
    if (kind === 'certificate') certificates.push(await readCertificate(der, name, cache))
    if (kind === 'crl') crls.push({ ...parseCrl(der, name), sha256: await sha256(der) })
    if (kind === 'ocsp') ocsp.push(await knownOcsp(der, name))
    if (kind === 'other') others.push(der)
  }
  const isText = documents.length + rims.length > 0
  const companions = isText ? [] : await companionsIn(pieces.length === 0 ? [bytes] : others)
  const count = certificates.length + crls.length + documents.length + rims.length + ocsp.length + companions.length
  return count === 0 ? NOTHING : { certificates, crls, documents, rims, ocsp, companions }
}

async function companionsIn(pieces: readonly Uint8Array[]): Promise<readonly Companion[]> {
  const companions: Companion[] = []
  for (const bytes of pieces) {
    const kind = companionKind(bytes)
    if (kind !== null) companions.push({ kind, bytes: bytes.slice(), sha256: await sha256(bytes) })
  }
  return companions
}

async function knownOcsp(der: Uint8Array, name: string): Promise<KnownOcsp> {
  const response = parseOcspResponse(der, name)
  return { ...response, sha256: await sha256(der), delegates: await knownCertificates(response.certificates, name) }
}

async function knownRim(xml: Uint8Array, name: string): Promise<KnownRim> {
  const rim = await parseRim(xml, name)
  return { ...rim, sha256: await sha256(xml), chain: await knownCertificates(rim.certificates, name) }
}

function knownCertificates(ders: readonly Uint8Array[], name: string): Promise<readonly KnownCertificate[]> {
  return Promise.all(ders.map((der) => knownCertificate(parseCertificate(der, name))))
}

/** DER, and what it is taken for. */
interface Piece {
  readonly kind: 'certificate' | 'crl' | 'ocsp' | 'other'
  readonly der: Uint8Array
}

interface Parts {
  readonly pieces: readonly Piece[]
  readonly documents: readonly IntelDocument[]
  readonly rims: readonly KnownRim[]
}

async function takeApart(bytes: Uint8Array, name: string): Promise<Parts> {
  const none = { pieces: [], documents: [], rims: [] }
  const binary = binaryPieces(bytes, name)
  if (binary !== null) return { ...none, pieces: binary }
  const text = textOf(bytes)
  if (looksLikeRim(text)) return { ...none, rims: [await knownRim(bytes, name)] }
  if (looksLikeRimAnswer(text)) return { ...none, rims: [await knownRim(readRimAnswer(text, name), name)] }
  return looksLikeIntelCollateral(text) ? intelParts(text, name) : { ...none, pieces: textPieces(text, name) }
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
  return { pieces, documents, rims: [] }
}

const PEM_KINDS: Readonly<Record<string, Piece['kind']>> = { CERTIFICATE: 'certificate', 'X509 CRL': 'crl' }

function pemPieces(text: string, name: string): readonly Piece[] {
  return parsePem(text, name).map(({ label, der }) => ({ kind: PEM_KINDS[label] ?? 'other', der }))
}

/**
 * Reads a certificate, once per cache: authorities stand in many chains.
 * @throws AttestError as {@link parseCertificate}.
 */
export async function readCertificate(der: Uint8Array, at: string, cache: VerifyCache): Promise<KnownCertificate> {
  const digest = await sha256(der)
  return remember(cache, `certificate:${digest}`, 4 * der.length, () => identify(parseCertificate(der, at), digest))
}

export async function knownCertificate(certificate: Certificate): Promise<KnownCertificate> {
  return identify(certificate, await sha256(certificate.raw))
}

async function identify(certificate: Certificate, digest: string): Promise<KnownCertificate> {
  return { ...certificate, sha256: digest, spkiSha256: await sha256(certificate.spki) }
}

function sha256(bytes: Uint8Array): Awaitable<string> {
  return crypto.digestHex('SHA-256', bytes)
}

/**
 * A SEQUENCE of at least 128 bytes, as every certificate and CRL is; no text begins so. A bare signature may; then what follows
 * is not its own length.
 */
function looksLikeDer(bytes: Uint8Array): boolean {
  if (bytes[0] !== TAG.sequence || (bytes[1] ?? 0) <= 0x80) return false
  return isOneDerValue(bytes) || companionKind(bytes) !== 'tpm-signature'
}

function isOneDerValue(bytes: Uint8Array): boolean {
  const [, form = 0, high = 0, low = 0] = bytes
  return (form === 0x81 && 3 + high === bytes.length) || (form === 0x82 && 4 + 256 * high + low === bytes.length)
}

/** Empty for bytes that are no text. */
function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return ''
  }
}

/** An OCSP response begins SEQUENCE { ENUMERATED. The others SEQUENCE { SEQUENCE {, then a certificate has its tagged version, a CRL the plain one. */
function kindOf(der: Uint8Array, name: string): Piece['kind'] {
  const outer = new DerReader(der, name)
  if (outer.peek !== TAG.sequence) return 'other'
  const signed = outer.open(TAG.sequence)
  if (signed.peek === TAG.enumerated) return 'ocsp'
  if (signed.peek !== TAG.sequence) return 'other'
  const first = signed.open(TAG.sequence).peek
  return first === 0xa0 ? 'certificate' : first === TAG.integer ? 'crl' : 'other'
}
