import { crypto } from '#crypto'
import { equal } from '../bytes/bytes.ts'
import type { Digest, SignatureScheme } from '../crypto/types.ts'
import { AttestError } from '../errors.ts'
import { assertDer, DerReader, TAG } from './der.ts'
import { type Certificate, type Extension, readExtensions, unknownCritical } from './x509.ts'
import { readSignatureAlgorithm, serialText, signatureBytes } from './x509-algorithm.ts'
import { type Name, readName } from './x509-name.ts'

/** What a responder says of one certificate. */
export interface SingleResponse {
  readonly hash: Digest
  readonly issuerNameHash: Uint8Array
  readonly issuerKeyHash: Uint8Array
  /** Content of the INTEGER, hexadecimal. */
  readonly serial: string
  readonly status: 'good' | 'revoked' | 'unknown'
  /** Set for `revoked`: milliseconds since 1970; CRLReason, 0 (unspecified) where none is given. */
  readonly revokedAt: number | null
  readonly reason: number | null
  readonly thisUpdate: number
  readonly nextUpdate: number | null
}

/** A BasicOCSPResponse that passed the DER gate. Its signature is not checked yet, nor who signed. */
export interface OcspResponse {
  /** DER. */
  readonly raw: Uint8Array
  readonly tbs: Uint8Array
  readonly signatureScheme: SignatureScheme
  readonly signature: Uint8Array
  /** Name or SHA-1 of the key of the responder. */
  readonly responder: Name | Uint8Array
  readonly producedAt: number
  readonly responses: readonly SingleResponse[]
  /** Set where the answer repeats the nonce of a request. */
  readonly nonce: Uint8Array | null
  /** DER of the certificates that came with it. */
  readonly certificates: readonly Uint8Array[]
}

export const MAX_OCSP_SIZE: number = 64 * 1024
/** CRLReason certificateHold (RFC 5280 section 5.3.1): the one that may be taken back. */
export const REASON_HOLD = 6

const OID_BASIC = '1.3.6.1.5.5.7.48.1.1'
const OID_NONCE = '1.3.6.1.5.5.7.48.1.2'
const SUCCESSFUL = 0
const MAX_RESPONSES = 64
const MAX_CERTIFICATES = 4

const HASHES: Readonly<Record<string, Digest>> = {
  '1.3.14.3.2.26': 'SHA-1',
  '2.16.840.1.101.3.4.2.1': 'SHA-256',
  '2.16.840.1.101.3.4.2.2': 'SHA-384',
}

/**
 * Reads an OCSP response front to back.
 * @param input - DER, exactly one OCSPResponse of type basic, at most 64 KiB.
 * @throws AttestError `DER_MALFORMED`, `CERTIFICATE_MALFORMED`, `EVIDENCE_UNSUPPORTED` (no answer, algorithm, critical extension).
 * @see RFC 6960 section 4.2.1.
 */
export function parseOcspResponse(input: Uint8Array, at = 'ocsp'): OcspResponse {
  if (input.length > MAX_OCSP_SIZE) throw new AttestError('CERTIFICATE_MALFORMED', `larger than ${MAX_OCSP_SIZE} bytes`, { at })
  const raw = new Uint8Array(input)
  assertDer(raw, at)
  const outer = new DerReader(raw, at).open(TAG.sequence)
  const [status = SUCCESSFUL] = outer.content(TAG.enumerated)
  if (status !== SUCCESSFUL) throw new AttestError('EVIDENCE_UNSUPPORTED', `the responder answered with error ${status}`, { at })
  const bytes = outer.open(0xa0).only((r) => r.open(TAG.sequence))
  outer.end()
  if (bytes.oid() !== OID_BASIC) throw new AttestError('EVIDENCE_UNSUPPORTED', 'want a basic OCSP response', { at })
  const basic = parseBasic(
    bytes.only((r) => r.content(TAG.octetString)),
    at,
  )
  return { raw, ...basic }
}

function parseBasic(input: Uint8Array, at: string): Omit<OcspResponse, 'raw'> {
  assertDer(input, at)
  const basic = new DerReader(input, at).open(TAG.sequence)
  const tbs = basic.whole(TAG.sequence)
  const signatureScheme = readSignatureAlgorithm(basic)
  const signature = signatureBytes(signatureScheme, basic.bitString(), at)
  const certificates = basic.done ? [] : readCertificates(basic.open(0xa0).only((r) => r.open(TAG.sequence)))
  basic.end()
  return { tbs, signatureScheme, signature, certificates, ...readData(new DerReader(tbs, at).open(TAG.sequence), at) }
}

function readCertificates(list: DerReader): readonly Uint8Array[] {
  const certificates: Uint8Array[] = []
  for (; !list.done; certificates.push(list.whole(TAG.sequence))) {
    if (certificates.length >= MAX_CERTIFICATES)
      throw new AttestError('CERTIFICATE_MALFORMED', `more than ${MAX_CERTIFICATES} certificates`, { at: list.place })
  }
  return certificates
}

/** ResponseData. Version 1 is the default, which DER leaves out. */
function readData(data: DerReader, at: string): Pick<OcspResponse, 'responder' | 'producedAt' | 'responses' | 'nonce'> {
  const responder = data.peek === 0xa1 ? data.open(0xa1).only(readName) : data.open(0xa2).only((r) => r.content(TAG.octetString))
  const producedAt = data.time()
  const list = data.open(TAG.sequence)
  const responses: SingleResponse[] = []
  while (!list.done) {
    if (responses.length >= MAX_RESPONSES)
      throw new AttestError('CERTIFICATE_MALFORMED', `more than ${MAX_RESPONSES} responses`, { at: list.place })
    responses.push(readSingle(list.open(TAG.sequence), at))
  }
  const extensions = data.done ? null : readExtensions(data.open(0xa1), at)
  data.end()
  const nonce = extensions?.get(OID_NONCE)
  if (extensions !== null) assertNothingCritical(extensions, [OID_NONCE], at)
  return { responder, producedAt, responses, nonce: nonce === undefined ? null : readNonce(nonce, at) }
}

/** RFC 8954 section 2.1. */
function readNonce({ value }: Extension, at: string): Uint8Array {
  assertDer(value, `${at}.nonce`)
  return new DerReader(value, `${at}.nonce`).only((r) => r.content(TAG.octetString))
}

function readSingle(single: DerReader, at: string): SingleResponse {
  const id = single.open(TAG.sequence)
  const hash = readHash(id)
  const [issuerNameHash, issuerKeyHash] = [id.content(TAG.octetString), id.content(TAG.octetString)]
  const serial = serialText(id.only((r) => r.content(TAG.integer)))
  const status = readStatus(single)
  const thisUpdate = single.time()
  const nextUpdate = single.peek === 0xa0 ? single.open(0xa0).only((r) => r.time()) : null
  if (!single.done) assertNothingCritical(readExtensions(single.open(0xa1), at), [], at)
  single.end()
  return { hash, issuerNameHash, issuerKeyHash, serial, ...status, thisUpdate, nextUpdate }
}

function readHash(id: DerReader): Digest {
  const start = id.position
  const oid = id.open(TAG.sequence).only((algorithm) => {
    const name = algorithm.oid()
    if (!algorithm.done) algorithm.content(TAG.null)
    return name
  })
  const hash = HASHES[oid]
  if (hash === undefined) throw new AttestError('EVIDENCE_UNSUPPORTED', `hash algorithm ${oid}`, { at: id.placeAt(start) })
  return hash
}

/** CertStatus: good [0], revoked [1], unknown [2]. */
function readStatus(single: DerReader): Pick<SingleResponse, 'status' | 'revokedAt' | 'reason'> {
  const start = single.position
  if (single.peek === 0xa1) {
    const revoked = single.open(0xa1)
    const revokedAt = revoked.time()
    const reason = revoked.done ? 0 : revoked.open(0xa0).only((r) => r.content(TAG.enumerated)[0] ?? 0)
    revoked.end()
    return { status: 'revoked', revokedAt, reason }
  }
  const status = single.peek === 0x80 ? 'good' : 'unknown'
  if (single.content(status === 'good' ? 0x80 : 0x82).length > 0)
    throw new AttestError('CERTIFICATE_MALFORMED', 'status has content', { at: single.placeAt(start) })
  return { status, revokedAt: null, reason: null }
}

function assertNothingCritical(extensions: ReadonlyMap<string, Extension>, known: readonly string[], at: string): void {
  const oids = unknownCritical(extensions, known)
  if (oids.length > 0) throw new AttestError('EVIDENCE_UNSUPPORTED', `critical OCSP extension ${oids.join(', ')}`, { at })
}

/** Whether a response is about this certificate: its issuer's name and key by the response's own hash, and its serial number. */
export async function isAbout(response: SingleResponse, certificate: Certificate, issuerSpki: Uint8Array): Promise<boolean> {
  if (response.serial !== certificate.serial) return false
  const name = await crypto.digest(response.hash, certificate.issuer.der)
  const key = await crypto.digest(response.hash, keyBits(issuerSpki))
  return equal(name, response.issuerNameHash) && equal(key, response.issuerKeyHash)
}

/** Whether the response names this certificate as its responder. */
export async function isResponder({ responder }: OcspResponse, { subject, spki }: Pick<Certificate, 'subject' | 'spki'>): Promise<boolean> {
  if (!(responder instanceof Uint8Array)) return responder.text === subject.text
  return equal(await crypto.digest('SHA-1', keyBits(spki)), responder)
}

/** The key without its algorithm, tag, length and bit count (RFC 6960 section 4.1.1). */
function keyBits(spki: Uint8Array): Uint8Array {
  const reader = new DerReader(spki, 'spki').open(TAG.sequence)
  reader.open(TAG.sequence)
  return reader.only((r) => r.bitString())
}
