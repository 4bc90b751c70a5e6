import { X509Certificate } from '@peculiar/x509'
import { fromHex, utf8 } from '../../verify/bytes/bytes.ts'
import { der } from '../der.ts'
import { digest, pointOf, signEcdsa } from '../keys.ts'
import { keyIdentifier, type NamedKey } from './authority.ts'

/** Reasons by the names and numbers of RFC 5280 section 5.3.1. */
export const REASON = { unspecified: 0, keyCompromise: 1, certificateHold: 6 } as const

export type OcspStatus = 'good' | 'unknown' | { readonly at: Date; readonly reason: keyof typeof REASON }

/** What an answer says. */
export interface OcspFields {
  /** DER. */
  readonly certificate: Uint8Array
  /** The certificate's issuer, DER. */
  readonly issuer: Uint8Array
  readonly status: OcspStatus
  readonly thisUpdate: Date
  /** Null leaves it out. */
  readonly nextUpdate: Date | null
  /** Hash of the CertID. */
  readonly hash: 'sha1' | 'sha256' | 'sha384'
  /** Null leaves the extension out. */
  readonly nonce: Uint8Array | null
}

const HASH_OID = { sha1: '1.3.14.3.2.26', sha256: '2.16.840.1.101.3.4.2.1', sha384: '2.16.840.1.101.3.4.2.2' } as const
const ECDSA_SHA384 = der.sequence(der.oid('1.2.840.10045.4.3.3'))

/** An answer of one status, with the responder's certificate (RFC 6960 section 4.2.1). @returns DER. */
export function answerOcsp(fields: OcspFields, responder: NamedKey): Uint8Array {
  const { nonce, thisUpdate } = fields
  const extensions =
    nonce === null ? [] : [der.tagged(1, der.sequence(der.sequence(der.oid('1.3.6.1.5.5.7.48.1.2'), der.octets(der.octets(nonce)))))]
  const data = der.sequence(
    der.tagged(2, der.octets(keyIdentifier(responder.key))),
    der.time(thisUpdate),
    der.sequence(singleResponse(fields)),
    ...extensions,
  )
  const signature = der.bits(signEcdsa(data, responder.key, 'P-384', 'der'))
  const basic = der.sequence(data, ECDSA_SHA384, signature, der.tagged(0, der.sequence(responder.certificate)))
  return der.sequence(der.enumerated(0), der.tagged(0, der.sequence(der.oid('1.3.6.1.5.5.7.48.1.1'), der.octets(basic))))
}

function singleResponse({ certificate, issuer, status, thisUpdate, nextUpdate, hash }: OcspFields): Uint8Array {
  const { subjectName, publicKey } = new X509Certificate(new Uint8Array(issuer))
  const name = digest(hash, new Uint8Array(subjectName.toArrayBuffer()))
  const key = digest(hash, pointOf(new Uint8Array(publicKey.rawData), 'P-384'))
  const serial = fromHex(new X509Certificate(new Uint8Array(certificate)).serialNumber)
  const algorithm = der.sequence(der.oid(HASH_OID[hash]), der.nothing())
  const certId = der.sequence(algorithm, der.octets(name), der.octets(key), der.bigInteger(serial))
  const next = nextUpdate === null ? [] : [der.tagged(0, der.time(nextUpdate))]
  return der.sequence(certId, encodeStatus(status), der.time(thisUpdate), ...next)
}

function encodeStatus(status: OcspStatus): Uint8Array {
  if (status === 'good') return der.implicit(0, utf8(''))
  if (status === 'unknown') return der.implicit(2, utf8(''))
  return der.tagged(1, der.time(status.at), der.tagged(0, der.enumerated(REASON[status.reason])))
}
