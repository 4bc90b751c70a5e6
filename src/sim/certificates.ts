import 'reflect-metadata'
import {
  BasicConstraintsExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PublicKey,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509'
import { spkiOf } from './keys.ts'

/** Bits of keyUsage (RFC 5280 section 4.2.1.3). */
export const USAGE: Readonly<Record<'certSign' | 'crlSign' | 'digitalSignature' | 'agree', number>> = {
  certSign: KeyUsageFlags.keyCertSign,
  crlSign: KeyUsageFlags.cRLSign,
  digitalSignature: KeyUsageFlags.digitalSignature,
  agree: KeyUsageFlags.keyAgreement,
}

/** How an authority signs. */
export type SigningAlgorithm = RsaHashedImportParams | (EcKeyImportParams & EcdsaParams) | (RsaHashedImportParams & RsaPssParams)

/** RSASSA-PSS as AMD uses it: SHA-384, MGF1-SHA-384, salt 48 (AMD 57230 section 3). */
export const PSS: SigningAlgorithm = { name: 'RSA-PSS', hash: 'SHA-384', saltLength: 48 }
export const P256: SigningAlgorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
export const P384: SigningAlgorithm = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' }

/** Names are texts as RFC 4514 writes them, in the order of the encoding. */
export interface Signer {
  readonly name: string
  /** PKCS #8 DER. */
  readonly key: Uint8Array
  readonly algorithm: SigningAlgorithm
}

export interface CertificateContent {
  readonly subject: string
  /** Hexadecimal. */
  readonly serial: string
  readonly notBefore: Date
  readonly notAfter: Date
  /** The subject's private key, PKCS #8 DER. */
  readonly key: Uint8Array
  readonly extensions: readonly Extension[]
}

export interface CrlContent {
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  readonly revoked: readonly { readonly serial: string; readonly at: Date }[]
}

/** @returns DER. */
export async function issueCertificate(content: CertificateContent, signer: Signer): Promise<Uint8Array> {
  const certificate = await X509CertificateGenerator.create({
    serialNumber: content.serial,
    subject: content.subject,
    issuer: signer.name,
    notBefore: content.notBefore,
    notAfter: content.notAfter,
    publicKey: new PublicKey(plain(spkiOf(content.key))),
    signingKey: await importKey(signer),
    signingAlgorithm: signer.algorithm,
    extensions: [...content.extensions],
  })
  return new Uint8Array(certificate.rawData)
}

/** @returns DER. */
export async function issueCertificateList(content: CrlContent, signer: Signer): Promise<Uint8Array> {
  const crl = await X509CrlGenerator.create({
    issuer: signer.name,
    thisUpdate: content.thisUpdate,
    nextUpdate: content.nextUpdate,
    entries: content.revoked.map(({ serial, at }) => ({ serialNumber: serial, revocationDate: at })),
    signingAlgorithm: signer.algorithm,
    signingKey: await importKey(signer),
  })
  return new Uint8Array(crl.rawData)
}

/** CA certificates' two critical extensions. @param pathLength - Null leaves it out. */
export function authorityExtensions(usage: number, pathLength: number | null): readonly Extension[] {
  return [new BasicConstraintsExtension(true, pathLength ?? undefined, true), new KeyUsagesExtension(usage, true)]
}

export function extension(oid: string, value: Uint8Array, critical = false): Extension {
  return new Extension(oid, critical, plain(value))
}

function importKey({ key, algorithm }: Signer): Promise<CryptoKey> {
  return globalThis.crypto.subtle.importKey('pkcs8', plain(key), algorithm, false, ['sign'])
}

/** The libraries' types want a buffer that nothing shares. */
function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}
