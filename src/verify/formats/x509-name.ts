import { fromUtf8, isAscii } from '../bytes/bytes.ts'
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

/** Attribute types 2.5.4.x by their last arc (RFC 4514 section 3, RFC 4519). */
const SHORT: Readonly<Record<number, string>> = { 3: 'CN', 6: 'C', 7: 'L', 8: 'ST', 10: 'O', 11: 'OU' }

/** Short name of an attribute type; others keep their dotted form. @param oid - Content of the OBJECT IDENTIFIER. */
function typeOf(oid: Uint8Array): string {
  const [first, second, last = 0] = oid
  const short = oid.length === 3 && first === 0x55 && second === 0x04 ? SHORT[last] : undefined
  return short ?? decodeOid(oid)
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
      const type = typeOf(attribute.content(TAG.oid))
      const value = readText(attribute)
      attribute.end()
      if (type === 'CN') commonNames.push(value)
      members.push(`${type}=${escapeValue(value)}`)
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
  if (tag !== TAG.utf8String && !isAscii(bytes))
    throw new AttestError('CERTIFICATE_MALFORMED', 'name is not ASCII', { at: attribute.placeAt(start) })
  const text = fromUtf8(bytes)
  if (text.length > 256 || CONTROL.test(text))
    throw new AttestError('CERTIFICATE_MALFORMED', 'name is too long or has control characters', { at: attribute.placeAt(start) })
  return text
}

const CONTROL = /\p{Cc}/u
const SPECIAL = /[\\,+"<>;=]/

function escapeValue(value: string): string {
  return SPECIAL.test(value) ? value.replace(/[\\,+"<>;=]/g, (c) => `\\${c}`) : value
}
