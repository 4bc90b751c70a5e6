import { createHash, randomBytes, webcrypto } from 'node:crypto'
import 'reflect-metadata'
import { PemConverter, X509CertificateGenerator } from '@peculiar/x509'

/** The TLS key of one service. It is made inside the enclave and lives in its memory alone. */
export interface ServiceKey {
  /** PEM. Signed by itself: clients go by the digest that the evidence binds, by nothing else. */
  readonly cert: string
  readonly key: string
  /** base64url SHA-256 of the SPKI: `tls` of the binding. */
  readonly digest: string
}

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
/** An enclave has no clock that anybody trusts, so the certificate has no date (RFC 5280 section 4.1.2.5). */
const ALWAYS = { notBefore: new Date(0), notAfter: new Date('9999-12-31T23:59:59Z') } as const

export async function createServiceKey(): Promise<ServiceKey> {
  const keys = await webcrypto.subtle.generateKey(ECDSA, true, ['sign', 'verify'])
  const serialNumber = Buffer.concat([Buffer.of(0x40), randomBytes(15)]).toString('hex')
  const cert = await X509CertificateGenerator.createSelfSigned({
    serialNumber,
    name: 'CN=sealgate service',
    ...ALWAYS,
    signingAlgorithm: ECDSA,
    keys,
  })
  const spki = new Uint8Array(await webcrypto.subtle.exportKey('spki', keys.publicKey))
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
  return {
    cert: `${cert.toString('pem')}\n`,
    key: `${PemConverter.encode(pkcs8, 'PRIVATE KEY')}\n`,
    digest: createHash('sha256').update(spki).digest('base64url'),
  }
}
