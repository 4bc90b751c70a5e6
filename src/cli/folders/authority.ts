import { randomBytes, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import 'reflect-metadata'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type GeneralNameType,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { AttestError } from '../../verify/errors.ts'

/** A key pair with its certificate, both PEM; the key is PKCS#8. */
export interface PemIdentity {
  readonly cert: string
  readonly key: string
}

type Role = 'gateway' | 'client' | 'host'

export interface IdentityRequest {
  readonly role: Role
  /** [a-z0-9][a-z0-9-]{0,62} */
  readonly name: string
  /** DNS names and IP addresses that a gateway answers at; empty for others. */
  readonly addresses: readonly string[]
  /** RSA-3072 for consumers that read no elliptic curves; else P-256. */
  readonly rsa: boolean
}

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const RSA = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 3072 } as const
const DAY_MS = 24 * 3600 * 1000
const AUTHORITY_DAYS = 3650
const IDENTITY_DAYS = 397
/** Certificates are valid a little before they are made: clocks of other machines differ. */
const SKEW_MS = 5 * 60 * 1000

/** @throws AttestError `USAGE` for anything but a name that certificates may carry. */
export function checkName(name: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,62}$/.test(name)) return name
  throw new AttestError('USAGE', `"${name}" is not a name; want a-z, 0-9 and "-", at most 63, starting with a letter or digit`)
}

/** Makes the P-256 certificate authority of one gateway. */
export async function createAuthority(name: string, at: Date): Promise<PemIdentity> {
  const keys = await webcrypto.subtle.generateKey(ECDSA, true, ['sign', 'verify'])
  const cert = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=sealgate ${checkName(name)} CA`,
    notBefore: new Date(at.getTime() - SKEW_MS),
    notAfter: new Date(at.getTime() + AUTHORITY_DAYS * DAY_MS),
    signingAlgorithm: ECDSA,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { cert: pemOf(cert), key: await privateKeyPem(keys.privateKey) }
}

/** Issues an identity whose role and name stand in one URI: `urn:sealgate:ROLE:NAME`. */
export async function issueIdentity(authority: PemIdentity, request: IdentityRequest, at: Date): Promise<PemIdentity> {
  const issuer = new X509Certificate(authority.cert)
  const signingKey = await webcrypto.subtle.importKey('pkcs8', PemConverter.decodeFirst(authority.key), ECDSA, false, ['sign'])
  const keys = await webcrypto.subtle.generateKey(request.rsa ? RSA : ECDSA, true, ['sign', 'verify'])
  const name = checkName(request.name)
  const cert = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${name}, OU=${request.role}, O=sealgate`,
    issuer: issuer.subject,
    notBefore: new Date(at.getTime() - SKEW_MS),
    notAfter: new Date(Math.min(at.getTime() + IDENTITY_DAYS * DAY_MS, issuer.notAfter.getTime())),
    signingAlgorithm: ECDSA,
    signingKey,
    publicKey: keys.publicKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      // A client's certificate must never pass for a gateway's, nor the other way round.
      new ExtendedKeyUsageExtension([request.role === 'gateway' ? ExtendedKeyUsage.serverAuth : ExtendedKeyUsage.clientAuth]),
      new SubjectAlternativeNameExtension([...request.addresses.map(addressName), uriOf(request.role, name)]),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(await issuer.publicKey.export()),
    ],
  })
  return { cert: pemOf(cert), key: await privateKeyPem(keys.privateKey) }
}

function uriOf(role: Role, name: string): JsonGeneralName {
  return { type: 'url', value: `urn:sealgate:${role}:${name}` }
}

function addressName(address: string): JsonGeneralName {
  const type: GeneralNameType = isIP(address) === 0 ? 'dns' : 'ip'
  return { type, value: address }
}

/** RFC 5280 section 4.1.2.2: positive, unpredictable, at most 20 octets. */
function serialNumber(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes.toString('hex')
}

function pemOf(cert: X509Certificate): string {
  return `${cert.toString('pem')}\n`
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`
}
