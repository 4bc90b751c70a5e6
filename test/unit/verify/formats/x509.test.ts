import 'reflect-metadata'
import { generateKeyPairSync, X509Certificate as NodeCertificate } from 'node:crypto'
import {
  BasicConstraintsExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, toHex } from '../../../../src/verify/bytes/bytes.ts'
import { isPointOn } from '../../../../src/verify/crypto/ec-spki.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { isAuthority } from '../../../../src/verify/evidence/authority.ts'
import { createVerifyCache } from '../../../../src/verify/evidence/cache.ts'
import { knownCertificate } from '../../../../src/verify/evidence/collateral.ts'
import { isSignedBy } from '../../../../src/verify/evidence/signed-by.ts'
import { parseCertificate, unknownCritical } from '../../../../src/verify/formats/x509.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { simulatedPlatform } from '../../../support/simulated-platform.ts'

const platform = simulatedPlatform()
const vek = platform.vek.certificate
const { subtle } = globalThis.crypto

interface Made {
  readonly der: Uint8Array
  readonly peculiar: X509Certificate
}

async function make(algorithm: EcKeyGenParams & EcdsaParams, extensions: Extension[] = [], subject = 'CN=Test, O=A\\, B'): Promise<Made> {
  const keys = await subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const peculiar = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '0080ff',
    name: subject,
    notBefore: new Date('2026-01-01T00:00:00Z'),
    notAfter: new Date('2051-01-01T00:00:00Z'),
    signingAlgorithm: algorithm,
    keys,
    extensions,
  })
  return { der: new Uint8Array(peculiar.rawData), peculiar }
}

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const P384 = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' }

describe('a certificate', () => {
  it.each([platform.root.certificate, platform.intermediate.certificate, vek])(
    'is read as node:crypto and @peculiar/x509 read it',
    (der) => {
      const [ours, node, peculiar] = [parseCertificate(der), new NodeCertificate(der), new X509Certificate(new Uint8Array(der))]
      expect(ours.subject.text).toBe(node.subject.split('\n').join(','))
      expect(ours.issuer.text).toBe(node.issuer.split('\n').join(','))
      expect(ours.serial.toUpperCase()).toBe(node.serialNumber)
      expect([ours.notBefore, ours.notAfter]).toEqual([peculiar.notBefore.getTime(), peculiar.notAfter.getTime()])
      expect(toHex(ours.spki)).toBe(node.publicKey.export({ format: 'der', type: 'spki' }).toString('hex'))
      expect(toHex(ours.signature)).toBe(toHex(new Uint8Array(peculiar.signature)))
      expect(ours.signatureScheme).toBe('rsa-pss-sha384')
      expect(ours.basicConstraints?.ca ?? false).toBe(node.ca)
      expect([...ours.extensions.keys()]).toEqual(peculiar.extensions.map((e) => e.type))
    },
  )

  it.each([
    ['ecdsa-p256-sha256', P256],
    ['ecdsa-p384-sha384', P384],
  ])('with an ECDSA signature verifies as r‖s: %s', async (scheme, algorithm) => {
    // Leading zeros of r or s come and go, so that one certificate is not enough.
    for (let i = 0; i < 24; i++) {
      const certificate = await knownCertificate(parseCertificate((await make(algorithm)).der))
      expect(certificate.signatureScheme).toBe(scheme)
      expect(await isSignedBy(createVerifyCache(), certificate, certificate)).toBe(true)
      expect(await isSignedBy(createVerifyCache(), { ...certificate, tbs: certificate.tbs.subarray(1) }, certificate)).toBe(false)
    }
  })

  it('keeps commas of a name apart from those between names', async () => {
    const { der } = await make(P256)
    expect(parseCertificate(der).subject).toMatchObject({ text: 'CN=Test,O=A\\, B', commonName: 'Test' })
    expect(parseCertificate((await make(P256, [], 'CN=a, CN=b')).der).subject.commonName).toBeNull()
  })

  it('says which critical extensions nobody knows', async () => {
    const secret = new Extension('1.2.3.4', true, new Uint8Array([5, 0]))
    const { der } = await make(P256, [
      secret,
      new BasicConstraintsExtension(true, 3, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    ])
    const certificate = parseCertificate(der)
    expect(unknownCritical(certificate.extensions, ['2.5.29.15', '2.5.29.19'])).toEqual(['1.2.3.4'])
    expect(certificate.basicConstraints).toEqual({ ca: true, pathLength: 3 })
    expect(certificate.keyUsage).toEqual({ certSign: true, crlSign: false, digitalSignature: false })
    expect(isAuthority(certificate)).toBe(false)
  })

  it.each([
    [
      'CA and keyCertSign',
      [new BasicConstraintsExtension(true, undefined, true), new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true)],
      true,
    ],
    ['no extension', [], false],
    ['CA alone', [new BasicConstraintsExtension(true, undefined, true)], false],
    ['keyCertSign alone', [new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true)], false],
    ['CA false', [new BasicConstraintsExtension(false, undefined, true), new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true)], false],
    ['CA and cRLSign', [new BasicConstraintsExtension(true, undefined, true), new KeyUsagesExtension(KeyUsageFlags.cRLSign, true)], false],
  ])('with %s is an authority: %s', async (_, extensions, want) => {
    expect(isAuthority(parseCertificate((await make(P256, extensions)).der))).toBe(want)
  })

  it('rejects an extension that appears twice', async () => {
    const twice = new Extension('1.2.3.4', false, new Uint8Array([5, 0]))
    const { der } = await make(P256, [twice, new Extension('1.2.3.5', false, new Uint8Array([5, 0]))])
    const at = toHex(der).indexOf('2a0305') / 2 // 1.2.3.5
    const copy = new Uint8Array(der)
    copy[at + 2] = 4
    expect(await outcomeOf(() => parseCertificate(copy))).toBe('CERTIFICATE_MALFORMED')
  })

  it('rejects what other readers let through: trailing bytes, indefinite and padded lengths', async () => {
    const trailing = concat(vek, Uint8Array.of(0))
    const indefinite = concat(Uint8Array.of(0x30, 0x80), vek.subarray(4), Uint8Array.of(0, 0))
    const padded = concat(Uint8Array.of(0x30, 0x83, 0), vek.subarray(2))
    for (const der of [trailing, indefinite, padded]) expect(await outcomeOf(() => parseCertificate(der))).toBe('DER_MALFORMED')
  })

  it('rejects a signature algorithm that differs inside and outside of what is signed', async () => {
    const { der } = await make(P256)
    const sha384 = toHex(der).lastIndexOf('2a8648ce3d040302') / 2
    const copy = new Uint8Array(der)
    copy[sha384 + 7] = 3
    expect(await outcomeOf(() => parseCertificate(copy))).toBe('CERTIFICATE_MALFORMED')
  })

  it('rejects other parameters of RSASSA-PSS', async () => {
    const salt = toHex(vek).indexOf('a203020130') / 2
    const copy = new Uint8Array(vek)
    copy[salt + 4] = 32
    expect(await outcomeOf(() => parseCertificate(copy))).toBe('EVIDENCE_UNSUPPORTED')
    const hash = toHex(vek).indexOf('608648016503040202') / 2
    const other = new Uint8Array(vek)
    other[hash + 8] = 1
    expect(await outcomeOf(() => parseCertificate(other))).toBe('EVIDENCE_UNSUPPORTED')
  })

  it('rejects every truncation with a typed error', async () => {
    for (let size = 0; size < vek.length; size++)
      expect(await outcomeOf(() => parseCertificate(vek.subarray(0, size)))).toBe('DER_MALFORMED')
  })

  it('fails only with an AttestError, whatever byte of it is changed', () => {
    fc.assert(
      fc.property(fc.nat(vek.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const copy = vek.map((b, i) => (i === at ? b ^ mask : b))
        try {
          const read = parseCertificate(copy)
          expect(toHex(read.raw)).toBe(toHex(copy))
        } catch (error) {
          expect(error).toBeInstanceOf(AttestError)
        }
      }),
      { numRuns: 3000 },
    )
  })

  it('does not change when its bytes do', () => {
    const bytes = new Uint8Array(vek)
    const certificate = parseCertificate(bytes)
    bytes.fill(0)
    expect(toHex(certificate.raw)).toBe(toHex(vek))
  })
})

describe('a P-384 key', () => {
  const spkiOf = (namedCurve: string, format?: 'compressed'): Uint8Array => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve, paramEncoding: 'named' })
    const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }))
    return format === undefined ? spki : concat(spki.subarray(0, 23), Uint8Array.of(2), spki.subarray(24, 72))
  }

  it('has one accepted encoding', () => {
    expect(isPointOn('P-384', spkiOf('P-384'))).toBe(true)
    expect(isPointOn('P-384', spkiOf('P-256'))).toBe(false)
    expect(isPointOn('P-384', spkiOf('P-384', 'compressed'))).toBe(false)
  })
})
