import { fromUtf8, utf8 } from '../../../bytes/bytes.ts'
import { canonicalXml } from './canonical.ts'
import type { Rim } from './parse.ts'
import { parseXml, type XmlElement } from './xml.ts'

/**
 * A manifest in the one form that endorsements have: Canonical XML 1.1 of the whole document, the signature last, in it one
 * prefix, no white space but the signed, base64 without line ends. What is signed stays as it is, so it still verifies; what is
 * not has no second spelling.
 */
export function encodeRim({ raw }: Rim): Uint8Array {
  const root = parseXml(fromUtf8(raw), 'rim')
  const signature = elementsOf(root).at(-1)
  const [info, value, keyInfo] = signature === undefined ? [] : elementsOf(signature)
  if (signature === undefined || info === undefined || value === undefined || keyInfo === undefined) return raw
  const prefix = info.name.slice(0, -info.local.length)
  const make = (local: string, children: XmlElement['children']): XmlElement => {
    return { name: `${prefix}${local}`, local, uri: info.uri, namespaces: new Map(), attributes: [], children }
  }
  const certificates = elementsOf(keyInfo).flatMap(elementsOf)
  const data = make(
    'X509Data',
    certificates.map((certificate) => make('X509Certificate', [inOneLine(certificate)])),
  )
  const spelled: XmlElement = {
    ...make('Signature', [info, make('SignatureValue', [inOneLine(value)]), make('KeyInfo', [data])]),
    namespaces: new Map([...signature.namespaces, ...info.namespaces]),
  }
  const signed = root.children.filter((child) => child !== signature)
  return utf8(canonicalXml({ ...root, children: [...signed, spelled] }, new Map(), null))
}

function elementsOf({ children }: XmlElement): readonly XmlElement[] {
  return children.filter((child) => typeof child !== 'string')
}

function inOneLine({ children }: XmlElement): string {
  return children
    .filter((child) => typeof child === 'string')
    .join('')
    .replaceAll('\n', '')
}
