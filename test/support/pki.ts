import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsageExtension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { TlsIdentity } from '../../src/rpc/index.ts'

cryptoProvider.set(webcrypto as Crypto)

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const YEAR_MS = 365 * 24 * 3600 * 1000

/** A throwaway certificate authority. */
export interface TestAuthority {
  readonly ca: string
  /** @param uris - subjectAltName URIs, as many as wanted; what a real authority would never sign is fine too. */
  issue(uris: readonly string[], use?: 'client' | 'server'): Promise<TlsIdentity>
}

/** Makes an authority with fresh keys. Its certificates are valid now. */
export async function testAuthority(name = 'test CA'): Promise<TestAuthority> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const window = { notBefore: new Date(Date.now() - 3600_000), notAfter: new Date(Date.now() + YEAR_MS) }
  const root = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    ...window,
    signingAlgorithm: P256,
    keys,
    extensions: [new BasicConstraintsExtension(true, 0, true), new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true)],
  })
  const ca = root.toString('pem')
  return {
    ca,
    async issue(uris, use = 'client') {
      const own = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
      const addresses: JsonGeneralName[] = [
        { type: 'dns', value: 'localhost' },
        { type: 'ip', value: '127.0.0.1' },
      ]
      const names = [...(use === 'server' ? addresses : []), ...uris.map((value): JsonGeneralName => ({ type: 'url', value }))]
      const cert = await X509CertificateGenerator.create({
        subject: 'CN=test',
        issuer: root.subject,
        ...window,
        signingAlgorithm: P256,
        signingKey: keys.privateKey,
        publicKey: own.publicKey,
        extensions: [
          new ExtendedKeyUsageExtension([use === 'server' ? SERVER_AUTH : CLIENT_AUTH]),
          ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
        ],
      })
      const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', own.privateKey)
      return { ca, cert: cert.toString('pem'), key: PemConverter.encode(pkcs8, 'PRIVATE KEY') }
    },
  }
}
