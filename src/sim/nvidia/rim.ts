import { toBase64, toHex, utf8 } from '../../verify/bytes/bytes.ts'
import { digest, signEcdsa } from '../keys.ts'
import { wrapBase64 } from '../pem.ts'
import { canonicalXml, type Element, writeXml } from './xml.ts'

/** Golden values of one index, from 0. */
export interface RimMeasurement {
  readonly index: number
  readonly active: boolean
  /** Any of them is good; 48 bytes each. */
  readonly alternatives: readonly Uint8Array[]
}

/** What a reference integrity manifest says (ISO/IEC 19770-2 with TCG's RIM attributes). */
export interface RimFields {
  /** Product: GH100, GB100 or LS10. */
  readonly product: string
  readonly edition: string
  /** Version of the driver or firmware. */
  readonly colloquialVersion: string
  readonly measurements: readonly RimMeasurement[]
}

export interface RimSigner {
  /** P-384, PKCS #8 DER. */
  readonly key: Uint8Array
  /** What KeyInfo holds: signer first, DER. */
  readonly certificates: readonly Uint8Array[]
}

const SWID = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd'
const SHA384 = 'http://www.w3.org/2001/04/xmlenc#sha384'
const RIM = 'https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/'
const DSIG = 'http://www.w3.org/2000/09/xmldsig#'
const C14N11 = 'http://www.w3.org/2006/12/xml-c14n11'
const ROOT_NAMESPACES = [
  ['', SWID],
  ['ns0', SWID],
  ['ns2', SHA384],
] as const

/** A signed manifest in the one shape that NVIDIA's have. @returns XML, UTF-8. */
export function encodeRim(fields: RimFields, signer: RimSigner): Uint8Array {
  const manifest = manifestOf(fields)
  return utf8(writeXml({ ...manifest, children: [...(manifest.children ?? []), signatureOf(manifest, signer)] }))
}

/** The manifest without its signature: what the signature's digest is of. */
function manifestOf({ product, edition, colloquialVersion, measurements }: RimFields): Element {
  return {
    name: 'SoftwareIdentity',
    namespaces: ROOT_NAMESPACES,
    attributes: [
      ['corpus', 'false'],
      ['name', product],
      ['patch', 'false'],
      ['supplemental', 'false'],
      ['tagId', toHex(digest('sha384', utf8(`SIMULATED ${product} ${edition} ${colloquialVersion}`)))],
      ['version', '1.0'],
      ['tagVersion', '0'],
    ],
    children: [
      '\n    ',
      {
        name: 'ns0:Entity',
        attributes: [
          ['name', 'SIMULATED by sealgate'],
          ['role', 'softwareCreator tagCreator'],
        ],
      },
      '\n    ',
      metaOf(product, edition, colloquialVersion),
      '\n    ',
      {
        name: 'ns0:Payload',
        namespaces: [['SHA384', SHA384]],
        children: [...measurements.flatMap((m) => ['\n        ', resourceOf(m)]), '\n    '],
      },
      '\n',
    ],
  }
}

function metaOf(product: string, edition: string, colloquialVersion: string): Element {
  return {
    name: 'ns0:Meta',
    namespaces: [['ns1', RIM]],
    attributes: [
      ['colloquialVersion', colloquialVersion],
      ['edition', edition],
      ['product', product],
      ['revision', 'r1'],
      ['PayloadType', 'direct'],
      ['ns1:BindingSpec', 'RIMIM'],
      ['ns1:BindingSpecVersion', '1.01'],
      ['ns1:PlatformManufacturerId', '5703'],
      ['ns1:PlatformManufacturerStr', 'NVIDIA Corporation'],
      ['ns1:PlatformModel', product],
      ['ns1:FirmwareManufacturer', 'NVIDIA Corporation'],
      ['ns1:FirmwareManufacturerId', '5703'],
    ],
  }
}

function resourceOf({ index, active, alternatives }: RimMeasurement): Element {
  return {
    name: 'ns0:Resource',
    attributes: [
      ['type', 'Measurement'],
      ['index', String(index)],
      ['active', active ? 'True' : 'False'],
      ['alternatives', String(alternatives.length)],
      ...alternatives.map((value, i) => [`ns2:Hash${i}`, toHex(value)] as const),
      ['name', `Measurement_${index}`],
      ['size', '48'],
    ],
  }
}

/** Enveloped signature over the whole document (XML Signature 1.1 section 4), ECDSA P-384 with SHA-384. */
function signatureOf(manifest: Element, { key, certificates }: RimSigner): Element {
  const algorithm = (name: string, uri: string): Element => ({ name: `ds:${name}`, attributes: [['Algorithm', uri]] })
  const signedInfo: Element = {
    name: 'ds:SignedInfo',
    children: [
      algorithm('CanonicalizationMethod', C14N11),
      algorithm('SignatureMethod', 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384'),
      {
        name: 'ds:Reference',
        attributes: [['URI', '']],
        children: [
          { name: 'ds:Transforms', children: [algorithm('Transform', `${DSIG}enveloped-signature`), algorithm('Transform', C14N11)] },
          algorithm('DigestMethod', 'http://www.w3.org/2001/04/xmldsig-more#sha384'),
          { name: 'ds:DigestValue', children: [toBase64(digest('sha384', utf8(canonicalXml(manifest))))] },
        ],
      },
    ],
  }
  const signed = canonicalXml(signedInfo, [...ROOT_NAMESPACES, ['ds', DSIG]])
  return {
    name: 'ds:Signature',
    namespaces: [['ds', DSIG]],
    children: [
      signedInfo,
      { name: 'ds:SignatureValue', children: [toBase64(signEcdsa(utf8(signed), key, 'P-384'))] },
      { name: 'ds:KeyInfo', children: [{ name: 'ds:X509Data', children: certificates.map(certificateElement) }] },
    ],
  }
}

function certificateElement(certificate: Uint8Array): Element {
  return { name: 'ds:X509Certificate', children: [`${wrapBase64(certificate)}\n`] }
}
