import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  CRLDistributionPointsExtension,
  cryptoProvider,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509'
import type { TestAk } from './tpm-maker.ts'

cryptoProvider.set(webcrypto as Crypto)

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const [NOT_BEFORE, NOT_AFTER] = [new Date('2025-01-01T00:00:00Z'), new Date('2027-01-01T00:00:00Z')]
/** tcg-kp-AIKCertificate. */
export const AIK = '2.23.133.8.3'

export interface AkCertificateChange {
  readonly usage?: string | null
  readonly notAfter?: Date
  readonly keyUsage?: KeyUsageFlags
  readonly extra?: readonly Extension[]
  readonly crl?: boolean
}

/** A root and an intermediate that certify attestation keys, SIMULATED. */
export class TpmAuthority {
  readonly root: Uint8Array
  readonly intermediate: Uint8Array
  readonly #keys: { readonly root: CryptoKeyPair; readonly intermediate: CryptoKeyPair }
  readonly #name: string

  private constructor(
    name: string,
    root: Uint8Array,
    intermediate: Uint8Array,
    keys: { root: CryptoKeyPair; intermediate: CryptoKeyPair },
  ) {
    this.#name = name
    this.root = root
    this.intermediate = intermediate
    this.#keys = keys
  }

  static async create(
    name = 'SIMULATED vTPM',
    intermediate: { readonly ca?: boolean; readonly pathLength?: number } = {},
  ): Promise<TpmAuthority> {
    const pair = (): Promise<CryptoKeyPair> => webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
    const keys = { root: await pair(), intermediate: await pair() }
    const issue = async (subject: string, publicKey: CryptoKey, ca: boolean, pathLength?: number): Promise<Uint8Array> => {
      const certificate = await X509CertificateGenerator.create({
        serialNumber: subject.endsWith('CA') ? '02' : '01',
        subject,
        issuer: `CN=${name} root`,
        notBefore: NOT_BEFORE,
        notAfter: NOT_AFTER,
        signingAlgorithm: P256,
        signingKey: keys.root.privateKey,
        publicKey,
        extensions: [
          new BasicConstraintsExtension(ca, pathLength, true),
          new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        ],
      })
      return new Uint8Array(certificate.rawData)
    }
    const root = await issue(`CN=${name} root`, keys.root.publicKey, true)
    const { ca = true, pathLength } = intermediate
    return new TpmAuthority(name, root, await issue(`CN=${name} CA`, keys.intermediate.publicKey, ca, pathLength), keys)
  }

  /** Certifies an attestation key under the intermediate. */
  async certify(ak: TestAk, change: AkCertificateChange = {}): Promise<Uint8Array> {
    const { usage = AIK, crl = false, extra = [] } = change
    const isRsa = ak.kind === 'rsassa' || ak.kind === 'rsapss'
    const algorithm = isRsa ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } : P256
    const certificate = await X509CertificateGenerator.create({
      serialNumber: '0a',
      subject: 'CN=ak',
      issuer: `CN=${this.#name} CA`,
      notBefore: NOT_BEFORE,
      notAfter: change.notAfter ?? NOT_AFTER,
      signingAlgorithm: P256,
      signingKey: this.#keys.intermediate.privateKey,
      publicKey: await webcrypto.subtle.importKey('spki', ak.spki, algorithm, true, ['verify']),
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(change.keyUsage ?? KeyUsageFlags.digitalSignature, true),
        ...(usage === null ? [] : [new ExtendedKeyUsageExtension([usage])]),
        ...(crl ? [new CRLDistributionPointsExtension(['http://simulated.invalid/ca.crl'])] : []),
        ...extra,
      ],
    })
    return new Uint8Array(certificate.rawData)
  }

  /** CRL of the intermediate or of the root. */
  async crl(by: 'root' | 'intermediate', serials: readonly string[], nextUpdate: Date = NOT_AFTER): Promise<Uint8Array> {
    const crl = await X509CrlGenerator.create({
      issuer: `CN=${this.#name} ${by === 'root' ? 'root' : 'CA'}`,
      thisUpdate: NOT_BEFORE,
      nextUpdate,
      entries: serials.map((serialNumber) => ({ serialNumber, revocationDate: NOT_BEFORE })),
      signingAlgorithm: P256,
      signingKey: this.#keys[by].privateKey,
    })
    return new Uint8Array(crl.rawData)
  }
}
