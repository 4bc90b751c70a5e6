import type { XmlAttribute, XmlElement } from './xml.ts'

type Namespaces = ReadonlyMap<string, string>

/**
 * Canonical form of an element as if it were the whole document.
 * @param inherited - Namespaces that its ancestors declared and that still hold.
 * @param leftOut - A child that is not part of it, as the enveloped-signature transform leaves out the signature.
 * @see Canonical XML 1.1 section 2.3. Without references, `xml:` attributes and characters beyond ASCII it is that of 1.0.
 */
export function canonicalXml(element: XmlElement, inherited: Namespaces, leftOut: XmlElement | null): string {
  return write({ ...element, namespaces: new Map([...inherited, ...element.namespaces]) }, new Map(), leftOut)
}

/** @param rendered - What the ancestors in the output declared. */
function write(element: XmlElement, rendered: Namespaces, leftOut: XmlElement | null): string {
  const fresh = [...element.namespaces].filter(([prefix, uri]) => (rendered.get(prefix) ?? '') !== uri)
  const within = fresh.length === 0 ? rendered : new Map([...rendered, ...fresh])
  let out = `<${element.name}`
  for (const [prefix, uri] of fresh.sort(byFirst)) out += ` xmlns${prefix === '' ? '' : `:${prefix}`}="${escapeAttribute(uri)}"`
  for (const { name, value } of [...element.attributes].sort(byExpandedName)) out += ` ${name}="${escapeAttribute(value)}"`
  out += '>'
  for (const child of element.children) {
    if (typeof child === 'string') out += child.replaceAll('>', '&gt;')
    else if (child !== leftOut) out += write(child, within, leftOut)
  }
  return `${out}</${element.name}>`
}

function byFirst([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return order(a, b)
}

/** By namespace, those without one first, then by local name. */
function byExpandedName(a: XmlAttribute, b: XmlAttribute): number {
  return order(a.uri, b.uri) || order(a.local, b.local)
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function escapeAttribute(value: string): string {
  return value.replaceAll('"', '&quot;')
}
