import 'reflect-metadata'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import {
  BasicConstraintsExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PublicKey,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509'
import { concat, utf8 } from '../../verify/bytes/bytes.ts'
import { OID, SPL_OID, type SplName } from '../../verify/evidence/sev-snp/vek.ts'
import type { Extension as RawExtension } from '../../verify/formats/x509.ts'

/** A private key, PKCS #8 DER, and the name it goes by. */
export interface Authority {
  readonly key: Uint8Array
  readonly commonName: string
}

/** What stands in every certificate. */
export interface CertificateFields {
  readonly commonName: string
  readonly serial: string
  readonly notBefore: Date
  readonly notAfter: Date
}

/** What stands in a VEK certificate besides. A null leaves the extension out. */
export interface VekFields extends CertificateFields {
  readonly structVersion: number
  readonly productName: string
  readonly spl: Readonly<Partial<Record<SplName, number>>>
  readonly hwId: Uint8Array | null
  readonly cspId: string | null
  readonly extra: readonly RawExtension[]
}

export interface CrlFields {
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  readonly revoked: readonly { readonly serial: string; readonly at: Date }[]
}

/** RSASSA-PSS as AMD uses it: SHA-384, MGF1-SHA-384, salt 48 (AMD 57230 section 3). */
const PSS = { name: 'RSA-PSS', hash: 'SHA-384', saltLength: 48 }
const AUTHORITY_USAGE = KeyUsageFlags.keyCertSign

/** AMD's names with another organisation, so that no reader takes a simulated certificate for AMD's. */
function nameOf(commonName: string): string {
  return `OU=Engineering, C=US, L=Santa Clara, ST=CA, O=SIMULATED by sealgate, CN=${commonName}`
}

export async function issueAuthority(fields: CertificateFields, key: Uint8Array, issuer: Authority): Promise<Uint8Array> {
  const isRoot = issuer.commonName === fields.commonName
  const usage = isRoot ? AUTHORITY_USAGE | KeyUsageFlags.cRLSign : AUTHORITY_USAGE
  const extensions = [new BasicConstraintsExtension(true, isRoot ? undefined : 0, true), new KeyUsagesExtension(usage, true)]
  return issue(fields, spkiOf(key), issuer, extensions)
}

export async function issueVek(fields: VekFields, key: Uint8Array, issuer: Authority): Promise<Uint8Array> {
  const levels = (Object.keys(fields.spl) as SplName[]).map((name) => integerExtension(SPL_OID[name], fields.spl[name] ?? 0))
  const extensions = [
    integerExtension(OID.structVersion, fields.structVersion),
    textExtension(OID.productName, fields.productName),
    ...levels,
    ...(fields.hwId === null ? [] : [new Extension(OID.hwId, false, plain(fields.hwId))]),
    ...(fields.cspId === null ? [] : [textExtension(OID.cspId, fields.cspId)]),
    ...fields.extra.map((e) => new Extension(e.oid, e.critical, plain(e.value))),
  ]
  return issue(fields, spkiOf(key), issuer, extensions)
}

export async function issueCrl(fields: CrlFields, issuer: Authority): Promise<Uint8Array> {
  const crl = await X509CrlGenerator.create({
    issuer: nameOf(issuer.commonName),
    thisUpdate: fields.thisUpdate,
    nextUpdate: fields.nextUpdate,
    entries: fields.revoked.map(({ serial, at }) => ({ serialNumber: serial, revocationDate: at })),
    signingAlgorithm: PSS,
    signingKey: await signingKey(issuer.key),
  })
  return new Uint8Array(crl.rawData)
}

async function issue(
  fields: CertificateFields,
  spki: Uint8Array,
  issuer: Authority,
  extensions: readonly Extension[],
): Promise<Uint8Array> {
  const certificate = await X509CertificateGenerator.create({
    serialNumber: fields.serial,
    subject: nameOf(fields.commonName),
    issuer: nameOf(issuer.commonName),
    notBefore: fields.notBefore,
    notAfter: fields.notAfter,
    publicKey: new PublicKey(plain(spki)),
    signingKey: await signingKey(issuer.key),
    signingAlgorithm: PSS,
    extensions: [...extensions],
  })
  return new Uint8Array(certificate.rawData)
}

function signingKey(pkcs8: Uint8Array): Promise<CryptoKey> {
  return globalThis.crypto.subtle.importKey('pkcs8', plain(pkcs8), PSS, false, ['sign'])
}

function spkiOf(pkcs8: Uint8Array): Uint8Array {
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' })
  return createPublicKey(key).export({ format: 'der', type: 'spki' })
}

/** INTEGER of 0 to 255; from 128 on it needs a leading zero. */
function integerExtension(oid: string, value: number): Extension {
  const content = value >= 0x80 ? Uint8Array.of(0, value) : Uint8Array.of(value)
  return new Extension(oid, false, plain(concat(Uint8Array.of(0x02, content.length), content)))
}

/** IA5String. */
function textExtension(oid: string, text: string): Extension {
  return new Extension(oid, false, plain(concat(Uint8Array.of(0x16, text.length), utf8(text))))
}

function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}
