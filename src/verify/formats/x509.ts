import type { SignatureScheme } from '../crypto/types.ts'
import { AttestError } from '../errors.ts'
import { assertDer, DerReader, decodeOid, TAG } from './der.ts'
import { readSignatureAlgorithm, serialText, signatureBytes } from './x509-algorithm.ts'
import { type Name, readName } from './x509-name.ts'

/** One extension as it stands in the certificate or CRL; `value` is the content of its OCTET STRING. */
export interface Extension {
  readonly oid: string
  readonly critical: boolean
  readonly value: Uint8Array
}

/** An X.509 v3 certificate that passed the DER gate. Nothing about it is trusted yet. */
export interface Certificate {
  readonly raw: Uint8Array
  /** The signed bytes. */
  readonly tbs: Uint8Array
  readonly signatureScheme: SignatureScheme
  /** In the form that the crypto backend takes. */
  readonly signature: Uint8Array
  /** Content of the INTEGER, hexadecimal. */
  readonly serial: string
  readonly issuer: Name
  readonly subject: Name
  /** Milliseconds since 1970, both inclusive. */
  readonly notBefore: number
  readonly notAfter: number
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array
  /** By OID; no OID twice. */
  readonly extensions: ReadonlyMap<string, Extension>
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | null } | null
  readonly keyUsage: { readonly certSign: boolean; readonly crlSign: boolean; readonly digitalSignature: boolean } | null
}

export const MAX_CERTIFICATE_SIZE: number = 64 * 1024

export const OID_KEY_USAGE = '2.5.29.15'
export const OID_BASIC_CONSTRAINTS = '2.5.29.19'

const VERSION_3 = 2

/**
 * Reads a certificate front to back.
 * @param input - DER, exactly one certificate, at most 64 KiB.
 * @throws AttestError `DER_MALFORMED`, `CERTIFICATE_MALFORMED`, `EVIDENCE_UNSUPPORTED` (signature algorithm).
 * @see RFC 5280 section 4.1.
 */
export function parseCertificate(input: Uint8Array, at = 'certificate'): Certificate {
  if (input.length > MAX_CERTIFICATE_SIZE)
    throw new AttestError('CERTIFICATE_MALFORMED', `larger than ${MAX_CERTIFICATE_SIZE} bytes`, { at })
  const raw = new Uint8Array(input)
  assertDer(raw, at)
  const { tbs, tbsReader, scheme, signature } = openSigned(raw, at)

  const version = tbsReader.open(0xa0).only((r) => r.smallInteger())
  if (version !== VERSION_3) throw new AttestError('CERTIFICATE_MALFORMED', 'want X.509 version 3', { at })
  const serial = serialText(tbsReader.content(TAG.integer))
  assertSameAlgorithm(tbsReader, scheme, at)
  const issuer = readName(tbsReader)
  const validity = tbsReader.open(TAG.sequence)
  const [notBefore, notAfter] = [validity.time(), validity.time()]
  validity.end()
  const subject = readName(tbsReader)
  const spki = tbsReader.whole(TAG.sequence)
  const extensions = tbsReader.done ? new Map<string, Extension>() : readExtensions(tbsReader.open(0xa3), at)
  tbsReader.end()

  return {
    raw,
    tbs,
    signatureScheme: scheme,
    signature,
    serial,
    issuer,
    subject,
    notBefore,
    notAfter,
    spki,
    extensions,
    basicConstraints: readBasicConstraints(extensions.get(OID_BASIC_CONSTRAINTS), at),
    keyUsage: readKeyUsage(extensions.get(OID_KEY_USAGE), at),
  }
}

/** The frame that certificates and CRLs share: SEQUENCE { tbs, signatureAlgorithm, signatureValue }. */
export function openSigned(
  raw: Uint8Array,
  at: string,
): { tbs: Uint8Array; tbsReader: DerReader; scheme: SignatureScheme; signature: Uint8Array } {
  const outer = new DerReader(raw, at).open(TAG.sequence)
  const tbs = outer.whole(TAG.sequence)
  const scheme = readSignatureAlgorithm(outer)
  const signature = outer.bitString()
  outer.end()
  const tbsReader = outer.within(tbs).open(TAG.sequence)
  return { tbs, tbsReader, scheme, signature: signatureBytes(scheme, signature, at) }
}

/** RFC 5280 section 4.1.1.2: the algorithm inside of the signed bytes is the one outside. */
export function assertSameAlgorithm(tbsReader: DerReader, scheme: SignatureScheme, at: string): void {
  if (readSignatureAlgorithm(tbsReader) !== scheme) throw new AttestError('CERTIFICATE_MALFORMED', 'two signature algorithms', { at })
}

/** @param wrapper - The explicitly tagged member that holds the extensions. */
export function readExtensions(wrapper: DerReader, at: string): Map<string, Extension> {
  const list = wrapper.open(TAG.sequence)
  wrapper.end()
  return readExtensionList(list, at)
}

export function readExtensionList(list: DerReader, at: string): Map<string, Extension> {
  const extensions = new Map<string, Extension>()
  while (!list.done) {
    const extension = list.open(TAG.sequence)
    const oid = decodeOid(extension.content(TAG.oid))
    const critical = extension.peek === TAG.boolean ? extension.boolean() : false
    const value = extension.content(TAG.octetString)
    extension.end()
    if (extensions.has(oid)) throw new AttestError('CERTIFICATE_MALFORMED', `extension ${oid} appears twice`, { at })
    extensions.set(oid, { oid, critical, value })
  }
  return extensions
}

/** OIDs of critical extensions that are not in `known`. A certificate with any of them must be refused (RFC 5280 section 4.2). */
export function unknownCritical(extensions: ReadonlyMap<string, Extension>, known: readonly string[]): readonly string[] {
  return [...extensions.values()].filter((e) => e.critical && !known.includes(e.oid)).map((e) => e.oid)
}

function readBasicConstraints(extension: Extension | undefined, at: string): Certificate['basicConstraints'] {
  if (extension === undefined) return null
  const reader = openValue(extension, at).open(TAG.sequence)
  const ca = reader.peek === TAG.boolean ? reader.boolean() : false
  const pathLength = reader.done ? null : reader.smallInteger()
  reader.end()
  return { ca, pathLength }
}

function readKeyUsage(extension: Extension | undefined, at: string): Certificate['keyUsage'] {
  if (extension === undefined) return null
  const reader = openValue(extension, at)
  const [, bits = 0] = reader.content(TAG.bitString)
  reader.end()
  return { digitalSignature: (bits & 0x80) !== 0, certSign: (bits & 0x04) !== 0, crlSign: (bits & 0x02) !== 0 }
}

function openValue(extension: Extension, at: string): DerReader {
  const place = `${at}.${extension.oid}`
  assertDer(extension.value, place)
  return new DerReader(extension.value, place)
}
