/** An XML element to be written: by its qualified name, attributes and namespaces in the order in which they are written. */
export interface Element {
  readonly name: string
  /** Prefix ('' for the default) and URI. */
  readonly namespaces?: readonly (readonly [string, string])[]
  readonly attributes?: readonly (readonly [string, string])[]
  readonly children?: readonly (Element | string)[]
}

type Scope = ReadonlyMap<string, string>

/** As a person would write it: attributes in their order, an element without content as one tag. */
export function writeXml({ name, namespaces = [], attributes = [], children = [] }: Element): string {
  const head = [name, ...namespaces.map(declaration), ...attributes.map(attribute)].join(' ')
  if (children.length === 0) return `<${head}/>`
  return `<${head}>${children.map((child) => (typeof child === 'string' ? escapeText(child) : writeXml(child))).join('')}</${name}>`
}

/**
 * Canonical XML 1.1 of the element with all that is in it.
 * @param inherited - Namespaces of the elements around it, which an apex element takes over (Canonical XML 1.1 section 2.4).
 */
export function canonicalXml(element: Element, inherited: readonly (readonly [string, string])[] = []): string {
  const { namespaces = [] } = element
  return canonical({ ...element, namespaces: [...new Map([...inherited, ...namespaces])] }, new Map())
}

function canonical({ name, namespaces = [], attributes = [], children = [] }: Element, outer: Scope): string {
  const scope = new Map([...outer, ...namespaces])
  const declared = namespaces.filter(([prefix, uri]) => outer.get(prefix) !== uri).sort(([a], [b]) => order(a, b))
  const keyOf = (qualified: string): string => {
    const [local = '', prefix] = qualified.split(':').reverse()
    return `${prefix === undefined ? '' : scope.get(prefix)}\n${local}`
  }
  const sorted = [...attributes].sort(([a], [b]) => order(keyOf(a), keyOf(b)))
  const head = [name, ...declared.map(declaration), ...sorted.map(attribute)].join(' ')
  const content = children.map((child) => (typeof child === 'string' ? escapeText(child) : canonical(child, scope)))
  return `<${head}>${content.join('')}</${name}>`
}

function declaration([prefix, uri]: readonly [string, string]): string {
  return attribute([prefix === '' ? 'xmlns' : `xmlns:${prefix}`, uri])
}

function attribute([name, value]: readonly [string, string]): string {
  return `${name}="${value.replace(/[&<"]/g, (c) => ESCAPES[c] ?? c)}"`
}

function escapeText(text: string): string {
  return text.replace(/[&<>]/g, (c) => ESCAPES[c] ?? c)
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
