import { fromUtf8 } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'
import { type DerReader, decodeOid, TAG } from './der.ts'

/** A distinguished name, in encoded order. Two names are the same when their `text` is. */
export interface Name {
  /** `OU=Engineering,C=US,…,CN=ARK-Milan`: RFC 4514 escapes, in the order of the encoding. */
  readonly text: string
  /** As encoded. A view, not a copy. */
  readonly der: Uint8Array
  /** The one commonName, or null when there is none or more than one. */
  readonly commonName: string | null
}

/** RFC 4514 section 3 and RFC 4519; others keep their dotted form. */
const SHORT: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
}

/** @see RFC 5280 section 4.1.2.4: RDNSequence ::= SEQUENCE OF SET OF SEQUENCE { type, value }. */
export function readName(reader: DerReader): Name {
  const parts: string[] = []
  const commonNames: string[] = []
  const der = reader.whole(TAG.sequence)
  for (const rdns = reader.within(der).open(TAG.sequence); !rdns.done; ) {
    const rdn = rdns.open(TAG.set)
    const members: string[] = []
    while (!rdn.done) {
      const attribute = rdn.open(TAG.sequence)
      const oid = decodeOid(attribute.content(TAG.oid))
      const value = readText(attribute)
      attribute.end()
      if (oid === '2.5.4.3') commonNames.push(value)
      members.push(`${SHORT[oid] ?? oid}=${escapeValue(value)}`)
    }
    if (members.length === 0) throw new AttestError('CERTIFICATE_MALFORMED', 'empty relative distinguished name', { at: rdns.place })
    parts.push(members.join('+'))
  }
  return { text: parts.join(','), der, commonName: commonNames.length === 1 ? (commonNames[0] ?? null) : null }
}

function readText(attribute: DerReader): string {
  const tag = attribute.peek
  const start = attribute.position
  if (tag !== TAG.utf8String && tag !== TAG.printableString && tag !== TAG.ia5String) {
    throw new AttestError('CERTIFICATE_MALFORMED', 'name is not UTF8String, PrintableString or IA5String', { at: attribute.placeAt(start) })
  }
  const bytes = attribute.content(tag)
  if (tag !== TAG.utf8String && bytes.some((b) => b >= 0x80))
    throw new AttestError('CERTIFICATE_MALFORMED', 'name is not ASCII', { at: attribute.placeAt(start) })
  const text = fromUtf8(bytes)
  if (text.length > 256 || hasControl(text))
    throw new AttestError('CERTIFICATE_MALFORMED', 'name is too long or has control characters', { at: attribute.placeAt(start) })
  return text
}

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x20 || (unit >= 0x7f && unit < 0xa0)) return true
  }
  return false
}

function escapeValue(value: string): string {
  return value.replace(/[\\,+"<>;=]/g, (c) => `\\${c}`)
}
