/**
 * What is used of saxes 6. Its own declarations do not pass `exactOptionalPropertyTypes`, so `#saxes` (package.json, imports)
 * leads here for types and to the package for code.
 */
export interface SaxesAttribute {
  readonly name: string
  readonly prefix: string
  readonly local: string
  readonly uri: string
  readonly value: string
}

export interface SaxesTag {
  readonly name: string
  readonly local: string
  readonly uri: string
  readonly attributes: Readonly<Record<string, SaxesAttribute>>
}

export declare class SaxesParser {
  constructor(options: { readonly xmlns: true; readonly position: boolean })
  on(event: 'opentag' | 'closetag', handler: (tag: SaxesTag) => void): void
  on(event: 'text', handler: (text: string) => void): void
  on(event: 'error', handler: (error: Error) => void): void
  write(chunk: string): this
  close(): this
}
