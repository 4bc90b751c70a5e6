import 'reflect-metadata'
import { createHash, KeyObject, sign, webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { der } from '../../src/sim/der.ts'
import { fromHex, toBase64, utf8 } from '../../src/verify/bytes/bytes.ts'
import { parseCertificate } from '../../src/verify/formats/x509.ts'

cryptoProvider.set(webcrypto as Crypto)

const P384 = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' } as const
export const AT: Date = new Date('2026-06-01T00:00:00Z')
const WINDOW = { notBefore: new Date('2026-01-01T00:00:00Z'), notAfter: new Date('2027-01-01T00:00:00Z') }
const OCSP_SIGNING = '1.3.6.1.5.5.7.3.9'

/** A certificate with its key. */
export interface Holder {
  readonly der: Uint8Array
  readonly certificate: X509Certificate
  readonly keys: webcrypto.CryptoKeyPair
}

/** What a certificate is for. */
export type Use = 'authority' | 'signer' | 'ocsp'

/** Issues a P-384 certificate; without an issuer it is a root. */
export async function issue(name: string, use: Use, issuer?: Holder, window: Partial<typeof WINDOW> = {}): Promise<Holder> {
  const keys = await webcrypto.subtle.generateKey(P384, true, ['sign', 'verify'])
  const certSign = KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign
  const certificate = await X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: issuer === undefined ? `CN=${name}` : issuer.certificate.subject,
    ...WINDOW,
    ...window,
    signingAlgorithm: P384,
    signingKey: (issuer ?? { keys }).keys.privateKey,
    publicKey: keys.publicKey,
    extensions: [
      new BasicConstraintsExtension(use === 'authority', undefined, true),
      new KeyUsagesExtension(use === 'authority' ? certSign : KeyUsageFlags.digitalSignature, true),
      ...(use === 'ocsp' ? [new ExtendedKeyUsageExtension([OCSP_SIGNING], true)] : []),
    ],
  })
  return { der: new Uint8Array(certificate.rawData), certificate, keys }
}

/** ECDSA P-384 with SHA-384. */
export function signWith({ keys }: Holder, data: Uint8Array, dsaEncoding: 'ieee-p1363' | 'der'): Uint8Array {
  return new Uint8Array(sign('sha384', data, { key: KeyObject.from(keys.privateKey), dsaEncoding }))
}

const SWID = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd'
const XMLNS = `xmlns="${SWID}"`
const NS = `xmlns:ns0="${SWID}" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384"`
const DS = 'xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'
const TCG = 'xmlns:ns1="https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/"'

export interface RimParts {
  readonly product?: string
  readonly version?: string
  /** Resource elements; a row of one golden value each where none are given. */
  readonly resources?: string
  /** Changes the text after it was signed. */
  readonly change?: (xml: string) => string
}

export function resource(index: number | string, values: readonly string[], change: (xml: string) => string = (xml) => xml): string {
  const hashes = values.map((value, i) => ` ns2:Hash${i}="${value}"`).join('')
  return change(
    `<ns0:Resource active="True" alternatives="${values.length}" index="${index}" name="Measurement_${index}" size="48" type="Measurement"${hashes}></ns0:Resource>`,
  )
}

/** A manifest that is written in canonical form to begin with, so that what is signed can be seen. Signer first. */
export function makeRim(
  chain: readonly Holder[],
  { product = 'GH100', version = '550.90.07', resources, change }: RimParts = {},
): Uint8Array {
  const rows = resources ?? resource(0, ['00'.repeat(48)])
  const head = `<SoftwareIdentity ${XMLNS} ${NS} corpus="false" name="${product}" patch="false" supplemental="false" tagId="x" tagVersion="0" version="1.0">`
  const entity = '<ns0:Entity name="NVIDIA Corporation" role="softwareCreator tagCreator"></ns0:Entity>'
  const own = ['BindingSpec="RIMIM"', 'BindingSpecVersion="1.01"', 'FirmwareManufacturer="N"', 'FirmwareManufacturerId="5703"']
  const more = ['PlatformManufacturerId="5703"', 'PlatformManufacturerStr="N"', `PlatformModel="${product}"`]
  const tcg = [...own, ...more].map((attribute) => `ns1:${attribute}`).join(' ')
  const meta = `<ns0:Meta ${TCG} PayloadType="direct" colloquialVersion="${version}" edition="GPU" product="${product}" revision="r1" ${tcg}></ns0:Meta>`
  const body = `\n  ${entity}\n  ${meta}\n  <ns0:Payload>${rows}</ns0:Payload>\n`
  const end = '</SoftwareIdentity>'
  const digest = toBase64(createHash('sha384').update(`${head}${body}${end}`).digest())
  const algorithm = (name: string, uri: string): string => `<ds:${name} Algorithm="${uri}"></ds:${name}>`
  const c14n = 'http://www.w3.org/2006/12/xml-c14n11'
  const transforms = `<ds:Transforms>${algorithm('Transform', 'http://www.w3.org/2000/09/xmldsig#enveloped-signature')}${algorithm('Transform', c14n)}</ds:Transforms>`
  const reference = `<ds:Reference URI="">${transforms}${algorithm('DigestMethod', 'http://www.w3.org/2001/04/xmldsig-more#sha384')}<ds:DigestValue>${digest}</ds:DigestValue></ds:Reference>`
  const methods = `${algorithm('CanonicalizationMethod', c14n)}${algorithm('SignatureMethod', 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384')}`
  const info = `${methods}${reference}</ds:SignedInfo>`
  const [signer] = chain
  if (signer === undefined) throw new Error('a signer is due')
  const value = toBase64(signWith(signer, utf8(`<ds:SignedInfo ${XMLNS} ${DS} ${NS}>${info}`), 'ieee-p1363'))
  const certificates = chain.map((c) => `<ds:X509Certificate>${toBase64(c.der)}\n</ds:X509Certificate>`).join('')
  const signature = `<ds:Signature ${DS}><ds:SignedInfo>${info}<ds:SignatureValue>${value}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>${certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>`
  return utf8((change ?? ((xml: string) => xml))(`${head}${body}${signature}${end}`))
}

const HASH = { sha1: '1.3.14.3.2.26', sha256: '2.16.840.1.101.3.4.2.1', sha384: '2.16.840.1.101.3.4.2.2' } as const
const ECDSA_SHA384 = der.sequence(der.oid('1.2.840.10045.4.3.3'))

export interface OcspParts {
  readonly hash?: keyof typeof HASH
  /** CertStatus, DER. */
  readonly status?: Uint8Array
  readonly thisUpdate?: string
  readonly nextUpdate?: string | null
  readonly nonce?: Uint8Array
  /** Issuer that the answer names; the certificate's own by default. */
  readonly namedIssuer?: Holder
  /** Without it the signer is the issuer itself, or somebody whose certificate is missing. */
  readonly embed?: boolean
  /** Changes the signed bytes after they were signed. */
  readonly change?: (tbs: Uint8Array) => Uint8Array
}

export const GOOD: Uint8Array = der.implicit(0, new Uint8Array())
export const UNKNOWN: Uint8Array = der.implicit(2, new Uint8Array())
export function revoked(time: string, reason?: number): Uint8Array {
  return der.tagged(1, timeOf(time), ...(reason === undefined ? [] : [der.tagged(0, der.enumerated(reason))]))
}

/** An OCSP response about `subject`, which `issuer` issued, signed by `signer`. */
export function makeOcsp(subject: Holder, issuer: Holder, signer: Holder, parts: OcspParts = {}): Uint8Array {
  const { hash = 'sha384', status = GOOD, nextUpdate = '20260601120000Z', embed = true } = parts
  const named = parts.namedIssuer ?? issuer
  const digest = (data: Uint8Array, name: string = hash): Uint8Array => new Uint8Array(createHash(name).update(data).digest())
  const { issuer: issuerName, serial } = parseCertificate(subject.der)
  const id = der.sequence(
    der.sequence(der.oid(HASH[hash])),
    der.octets(digest(issuerName.der)),
    der.octets(digest(keyOf(named))),
    der.bigInteger(fromHex(serial)),
  )
  const single = der.sequence(
    id,
    status,
    timeOf(parts.thisUpdate ?? '20260531120000Z'),
    ...(nextUpdate === null ? [] : [der.tagged(0, timeOf(nextUpdate))]),
  )
  const nonce = (value: Uint8Array): Uint8Array =>
    der.tagged(1, der.sequence(der.sequence(der.oid('1.3.6.1.5.5.7.48.1.2'), der.octets(der.octets(value)))))
  const tbs = der.sequence(
    der.tagged(2, der.octets(digest(keyOf(signer), 'sha1'))),
    timeOf('20260531120000Z'),
    der.sequence(single),
    ...(parts.nonce === undefined ? [] : [nonce(parts.nonce)]),
  )
  const signature = der.bits(signWith(signer, tbs, 'der'))
  const sent = parts.change?.(tbs) ?? tbs
  const basic = der.sequence(sent, ECDSA_SHA384, signature, ...(embed ? [der.tagged(0, der.sequence(signer.der))] : []))
  const bytes = der.sequence(der.oid('1.3.6.1.5.5.7.48.1.1'), der.octets(basic))
  return der.sequence(der.enumerated(0), der.tagged(0, bytes))
}

/** @param text - GeneralizedTime. */
function timeOf(text: string): Uint8Array {
  return der.time(new Date(text.replace(/^(....)(..)(..)(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z')))
}

/** The point of an uncompressed P-384 key: the last 97 bytes of its SubjectPublicKeyInfo. */
function keyOf({ certificate }: Holder): Uint8Array {
  return new Uint8Array(certificate.publicKey.rawData).slice(-97)
}
