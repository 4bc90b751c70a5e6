import { AttestError } from '../../../errors.ts'
import type { XmlElement } from './xml.ts'

/** A name with its namespace; empty for an attribute without prefix. */
export type QName = readonly [uri: string, local: string]

/** Attribute without a prefix. */
export const plain = (local: string): QName => ['', local]
/** ISO/IEC 19770-2:2015. */
export const swid = (local: string): QName => ['http://standards.iso.org/iso/19770/-2/2015/schema.xsd', local]
/** TCG Reference Integrity Manifest information model. */
export const tcg = (local: string): QName => [
  'https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/',
  local,
]
/** Attributes that hold hashes. */
export const sha384 = (local: string): QName => ['http://www.w3.org/2001/04/xmlenc#sha384', local]
/** XML Signature. */
export const dsig = (local: string): QName => ['http://www.w3.org/2000/09/xmldsig#', local]

/** Walks a tree that may have one shape alone. Whatever differs is refused with its place. */
export class Shape {
  readonly element: XmlElement
  readonly place: string

  /** @throws AttestError `DOCUMENT_INVALID` unless it is this element of this namespace. */
  constructor(element: XmlElement, [uri, local]: QName, at: string) {
    this.place = `${at}.${local}`
    this.element = element
    if (element.uri !== uri || element.local !== local) throw this.invalid(`is ${element.name}`)
  }

  /** Exactly these child elements in this order, and nothing but white space between them. */
  children<const N extends readonly QName[]>(...names: N): { readonly [K in keyof N]: Shape } {
    const elements = this.#elements()
    if (elements.length !== names.length) throw this.invalid(`want the elements ${localsOf(names)}`)
    return elements.map((child, i) => new Shape(child, names[i] ?? ['', ''], this.place)) as { readonly [K in keyof N]: Shape }
  }

  /** One to `max` child elements of this name alone. */
  list(name: QName, max: number): readonly Shape[] {
    const elements = this.#elements()
    if (elements.length === 0 || elements.length > max) throw this.invalid(`want 1 to ${max} ${name[1]}`)
    return elements.map((child) => new Shape(child, name, this.place))
  }

  #elements(): readonly XmlElement[] {
    const elements = this.element.children.filter((child) => typeof child !== 'string')
    const blank = this.element.children.every((child) => typeof child !== 'string' || /^[\n ]*$/.test(child))
    if (!blank) throw this.invalid('holds text')
    return elements
  }

  /** Exactly these attributes; by local name. */
  attributes(...names: readonly QName[]): ReadonlyMap<string, string> {
    const { attributes } = this.element
    const known = attributes.every((a) => names.some(([uri, local]) => a.uri === uri && a.local === local))
    if (!known || attributes.length !== names.length) throw this.invalid(`want the attributes ${localsOf(names)}`)
    return new Map(attributes.map((a) => [a.local, a.value]))
  }

  /** Empty, and its one attribute has this value. */
  constant(attribute: string, value: string): void {
    if (this.attributes(plain(attribute)).get(attribute) !== value) throw this.invalid(`want ${attribute} ${value}`)
    this.children()
  }

  /** Text alone, without attributes. */
  text(): string {
    this.attributes()
    const [text, ...more] = this.element.children
    if (typeof text !== 'string' || more.length > 0) throw this.invalid('want a text')
    return text
  }

  invalid(message: string): AttestError {
    return new AttestError('DOCUMENT_INVALID', message, { at: this.place })
  }
}

function localsOf(names: readonly QName[]): string {
  return names.map(([, local]) => local).join(', ')
}
