import { crypto } from '#crypto'
import { equal, fromBase64, fromUtf8, utf8 } from '../../../bytes/bytes.ts'
import { AttestError } from '../../../errors.ts'
import { DIGEST_SIZE, SIGNATURE_SIZE } from '../layout.ts'
import { canonicalXml } from './canonical.ts'
import { type GoldenMeasurement, readMeasurements } from './measurements.ts'
import { dsig, plain, Shape, swid, tcg } from './shape.ts'
import { MAX_XML_SIZE, parseXml, type XmlElement } from './xml.ts'

/** A reference integrity manifest. Its signature is not checked yet, nor who signed. */
export interface Rim {
  /** XML, as published. */
  readonly raw: Uint8Array
  /** What it is about: `GH100`, `GB100`, `LS10`. */
  readonly product: string
  /** Version of the driver, vBIOS or switch BIOS. */
  readonly colloquialVersion: string
  readonly measurements: readonly GoldenMeasurement[]
  /** Whether the digest in the signature is that of the manifest without its signature. */
  readonly digestMatches: boolean
  /** Canonical SignedInfo: what is signed. */
  readonly tbs: Uint8Array
  readonly signatureScheme: 'ecdsa-p384-sha384'
  /** r‖s. */
  readonly signature: Uint8Array
  /** DER, signer first. */
  readonly certificates: readonly Uint8Array[]
}

/** XML Signature algorithms of NVIDIA's manifests; there is no choice. */
const ALGORITHM = {
  canonicalization: 'http://www.w3.org/2006/12/xml-c14n11',
  signature: 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384',
  enveloped: 'http://www.w3.org/2000/09/xmldsig#enveloped-signature',
  digest: 'http://www.w3.org/2001/04/xmldsig-more#sha384',
} as const

const ATTRIBUTES = {
  identity: ['corpus', 'name', 'patch', 'supplemental', 'tagId', 'version', 'tagVersion'].map(plain),
  entity: ['name', 'role'].map(plain),
  meta: [
    ...['colloquialVersion', 'edition', 'product', 'revision', 'PayloadType'].map(plain),
    ...['BindingSpec', 'BindingSpecVersion', 'PlatformManufacturerId', 'PlatformManufacturerStr', 'PlatformModel'].map(tcg),
    ...['FirmwareManufacturer', 'FirmwareManufacturerId'].map(tcg),
  ],
} as const

const MAX_CERTIFICATES = 6
const MAX_BASE64 = 8192
const PLAIN_TEXT = /^[A-Za-z0-9._-]{1,64}$/

/** A text that begins like a manifest. */
export function looksLikeRim(text: string): boolean {
  return /^\s{0,64}<(\w{1,16}:)?SoftwareIdentity[\s>]/.test(text)
}

/**
 * Reads a manifest of NVIDIA's one shape: SoftwareIdentity { Entity, Meta, Payload, Signature }, one enveloped signature with
 * fixed algorithms over the whole document. Values are taken from the very tree whose digest is computed, so nothing can be
 * wrapped around or put beside what is signed; keys in the signature count for nothing but their certificates.
 * @param input - XML as published, at most 128 KiB.
 * @throws AttestError `DOCUMENT_INVALID`, `ENCODING_INVALID`.
 * @see ISO/IEC 19770-2:2015 (SoftwareIdentity), TCG RIM Information Model 1.01 (Meta), XML Signature 1.1.
 */
export async function parseRim(input: Uint8Array, at: string): Promise<Rim> {
  if (input.length > MAX_XML_SIZE) throw new AttestError('DOCUMENT_INVALID', `larger than ${MAX_XML_SIZE} bytes`, { at })
  const root = parseXml(fromUtf8(input), at)
  const identity = new Shape(root, swid('SoftwareIdentity'), at)
  const [entity, meta, payload, signature] = identity.children(swid('Entity'), swid('Meta'), swid('Payload'), dsig('Signature'))
  assertWhole(identity, entity)
  payload.attributes()
  const signed = readSignature(root, signature)
  const digest = await crypto.digest('SHA-384', utf8(canonicalXml(root, new Map(), signature.element)))
  return {
    raw: input.slice(),
    ...readMeta(identity, meta),
    measurements: readMeasurements(payload),
    digestMatches: equal(digest, signed.digest),
    tbs: signed.tbs,
    signatureScheme: 'ecdsa-p384-sha384',
    signature: signed.signature,
    certificates: signed.certificates,
  }
}

function assertWhole(identity: Shape, entity: Shape): void {
  const root = identity.attributes(...ATTRIBUTES.identity)
  if (['corpus', 'patch', 'supplemental'].some((flag) => root.get(flag) !== 'false'))
    throw identity.invalid('is a corpus, patch or supplement')
  entity.attributes(...ATTRIBUTES.entity)
  entity.children()
}

function readMeta(identity: Shape, meta: Shape): Pick<Rim, 'product' | 'colloquialVersion'> {
  meta.children()
  const attributes = meta.attributes(...ATTRIBUTES.meta)
  const [product, colloquialVersion] = [attributes.get('product') ?? '', attributes.get('colloquialVersion') ?? '']
  if (attributes.get('PayloadType') !== 'direct') throw meta.invalid('want PayloadType direct')
  if (!PLAIN_TEXT.test(product) || !PLAIN_TEXT.test(colloquialVersion)) throw meta.invalid('want a product and a version')
  const names = [identity.attributes(...ATTRIBUTES.identity).get('name'), attributes.get('PlatformModel')]
  if (names.some((name) => name !== product)) throw meta.invalid('names more than one product')
  return { product, colloquialVersion }
}

interface Signed extends Pick<Rim, 'tbs' | 'signature' | 'certificates'> {
  readonly digest: Uint8Array
}

function readSignature(root: XmlElement, shape: Shape): Signed {
  shape.attributes()
  const [info, value, keyInfo] = shape.children(dsig('SignedInfo'), dsig('SignatureValue'), dsig('KeyInfo'))
  keyInfo.attributes()
  const [data] = keyInfo.children(dsig('X509Data'))
  data.attributes()
  const inherited = new Map([...root.namespaces, ...shape.element.namespaces])
  return {
    digest: readSignedInfo(info),
    tbs: utf8(canonicalXml(info.element, inherited, null)),
    signature: base64(value, SIGNATURE_SIZE),
    certificates: data.list(dsig('X509Certificate'), MAX_CERTIFICATES).map((certificate) => base64(certificate, null)),
  }
}

/** @returns the digest of the one reference, which is to the whole document. */
function readSignedInfo(info: Shape): Uint8Array {
  info.attributes()
  const [c14n, method, reference] = info.children(dsig('CanonicalizationMethod'), dsig('SignatureMethod'), dsig('Reference'))
  c14n.constant('Algorithm', ALGORITHM.canonicalization)
  method.constant('Algorithm', ALGORITHM.signature)
  if (reference.attributes(plain('URI')).get('URI') !== '') throw reference.invalid('want the whole document')
  const [transforms, digestMethod, digestValue] = reference.children(dsig('Transforms'), dsig('DigestMethod'), dsig('DigestValue'))
  transforms.attributes()
  const [enveloped, canonical] = transforms.children(dsig('Transform'), dsig('Transform'))
  enveloped.constant('Algorithm', ALGORITHM.enveloped)
  canonical.constant('Algorithm', ALGORITHM.canonicalization)
  digestMethod.constant('Algorithm', ALGORITHM.digest)
  return base64(digestValue, DIGEST_SIZE)
}

/** Base64 in lines, as XML Signature allows. @param size - Wanted size in bytes. */
function base64(shape: Shape, size: number | null): Uint8Array {
  const text = shape.text()
  if (text.length > MAX_BASE64) throw shape.invalid('too long')
  const bytes = fromBase64(text.replaceAll('\n', ''))
  if (size !== null && bytes.length !== size) throw shape.invalid(`want ${size} bytes`)
  return bytes
}
