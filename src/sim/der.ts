import { concat, utf8 } from '../verify/bytes/bytes.ts'

/** Writes DER (X.690): what certificates' own extensions and OCSP answers need. */
export const der = {
  sequence: (...members: readonly Uint8Array[]): Uint8Array => value(0x30, concat(...members)),
  octets: (bytes: Uint8Array): Uint8Array => value(0x04, bytes),
  /** BIT STRING with no unused bits. */
  bits: (bytes: Uint8Array): Uint8Array => value(0x03, concat(new Uint8Array(1), bytes)),
  enumerated: (n: number): Uint8Array => value(0x0a, Uint8Array.of(n)),
  boolean: (is: boolean): Uint8Array => value(0x01, Uint8Array.of(is ? 0xff : 0)),
  nothing: (): Uint8Array => value(0x05, new Uint8Array()),
  integer: (n: number): Uint8Array => value(0x02, minimal(n)),
  /** @param content - Of the INTEGER, as it stands. */
  bigInteger: (content: Uint8Array): Uint8Array => value(0x02, content),
  oid: (text: string): Uint8Array => value(0x06, arcs(text)),
  ia5: (text: string): Uint8Array => value(0x16, utf8(text)),
  /** GeneralizedTime to the second. */
  time: (at: Date): Uint8Array => value(0x18, utf8(`${at.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`)),
  /** Context tag around whole members, or in place of a constructed type's own. */
  tagged: (tag: number, ...members: readonly Uint8Array[]): Uint8Array => value(0xa0 + tag, concat(...members)),
  /** Context tag in place of a primitive type's own. */
  implicit: (tag: number, content: Uint8Array): Uint8Array => value(0x80 + tag, content),
}

function value(tag: number, content: Uint8Array): Uint8Array {
  const n = content.length
  const length = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 0xff]
  return concat(Uint8Array.of(tag, ...length), content)
}

function minimal(n: number): Uint8Array {
  const bytes: number[] = []
  for (let rest = n; rest > 0 || bytes.length === 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  return Uint8Array.from((bytes[0] ?? 0) >= 0x80 ? [0, ...bytes] : bytes)
}

function arcs(text: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number)
  return Uint8Array.from([40 * first + second, ...rest].flatMap(base128))
}

function base128(arc: number): number[] {
  const out = [arc % 128]
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) out.unshift((rest % 128) + 128)
  return out
}
