import { SaxesParser, type SaxesTag } from '#saxes'
import { AttestError } from '../../../errors.ts'

/** An attribute that is no namespace declaration. */
export interface XmlAttribute {
  /** As written, with its prefix. */
  readonly name: string
  readonly local: string
  /** Namespace; empty where the name has no prefix. */
  readonly uri: string
  readonly value: string
}

export interface XmlElement {
  /** As written, with its prefix. */
  readonly name: string
  readonly local: string
  readonly uri: string
  /** Declared on this element: prefix (empty for the default) to namespace. */
  readonly namespaces: ReadonlyMap<string, string>
  readonly attributes: readonly XmlAttribute[]
  readonly children: readonly (XmlElement | string)[]
}

/** Largest manifest, in bytes; the largest seen has 26 KB. */
export const MAX_XML_SIZE: number = 128 * 1024
const MAX_DEPTH = 8
const MAX_ELEMENTS = 256
const MAX_ATTRIBUTES = 32

/**
 * What no genuine manifest has and nobody needs: bytes outside of printable ASCII and line feed, references to entities or
 * characters, and every markup but elements (declarations, DOCTYPE, CDATA, comments, processing instructions). So what is
 * left has one reading, and canonical form escapes nothing but `>` in text.
 */
const FORBIDDEN = /[^\n\x20-\x7e]|&|<[!?]/

/**
 * Reads XML of elements, attributes, namespaces and text.
 * @throws AttestError `DOCUMENT_INVALID` for anything else, malformed XML, and more than it may hold.
 * @see Extensible Markup Language 1.0 (fifth edition), Namespaces in XML 1.0 (third edition).
 */
export function parseXml(text: string, at: string): XmlElement {
  if (text.length > MAX_XML_SIZE) throw invalid(`larger than ${MAX_XML_SIZE} bytes`, at)
  const forbidden = FORBIDDEN.exec(text)
  if (forbidden !== null) throw invalid('holds more than elements and ASCII text', `${at}[${forbidden.index}]`)
  return new TreeBuilder(at).build(text)
}

type Open = XmlElement & { readonly children: (XmlElement | string)[] }

class TreeBuilder {
  readonly #at: string
  readonly #open: Open[] = []
  #elements = 0
  #root: XmlElement | null = null

  constructor(at: string) {
    this.#at = at
  }

  build(text: string): XmlElement {
    const parser = new SaxesParser({ xmlns: true, position: false })
    parser.on('error', (cause) => {
      throw new AttestError('DOCUMENT_INVALID', 'not well-formed XML', { at: this.#at, cause })
    })
    parser.on('opentag', (tag) => this.#enter(tag))
    parser.on('text', (content) => this.#open.at(-1)?.children.push(content))
    parser.on('closetag', () => this.#leave())
    parser.write(text).close()
    if (this.#root === null) throw invalid('no element', this.#at)
    return this.#root
  }

  #enter(tag: SaxesTag): void {
    this.#elements++
    const all = Object.values(tag.attributes)
    const tooMuch = this.#elements > MAX_ELEMENTS || this.#open.length >= MAX_DEPTH || all.length > MAX_ATTRIBUTES
    if (tooMuch) throw invalid('too many elements, levels or attributes', this.#at)
    const isDeclaration = ({ name, prefix }: { name: string; prefix: string }): boolean => name === 'xmlns' || prefix === 'xmlns'
    this.#open.push({
      name: tag.name,
      local: tag.local,
      uri: tag.uri,
      namespaces: new Map(all.filter(isDeclaration).map((a) => [a.name === 'xmlns' ? '' : a.local, a.value])),
      attributes: all.filter((a) => !isDeclaration(a)).map(({ name, local, uri, value }) => ({ name, local, uri, value })),
      children: [],
    })
  }

  #leave(): void {
    const element = this.#open.pop()
    if (element === undefined) throw invalid('an element ends that did not begin', this.#at)
    const parent = this.#open.at(-1)
    if (parent === undefined) this.#root = element
    else parent.children.push(element)
  }
}

function invalid(message: string, at: string): AttestError {
  return new AttestError('DOCUMENT_INVALID', message, { at })
}
