import { concat, utf8 } from '../../src/verify/bytes/bytes.ts'

/** Writes DER, for certificates' own extensions. */
export const der = {
  sequence: (...members: readonly Uint8Array[]): Uint8Array => value(0x30, concat(...members)),
  octets: (bytes: Uint8Array): Uint8Array => value(0x04, bytes),
  enumerated: (n: number): Uint8Array => value(0x0a, Uint8Array.of(n)),
  boolean: (is: boolean): Uint8Array => value(0x01, Uint8Array.of(is ? 0xff : 0)),
  integer: (n: number): Uint8Array => value(0x02, minimal(n)),
  oid: (text: string): Uint8Array => value(0x06, arcs(text)),
  bits: (bytes: Uint8Array): Uint8Array => value(0x03, concat(Uint8Array.of(0), bytes)),
  time: (text: string): Uint8Array => value(0x18, utf8(text)),
  tagged: (tag: number, content: Uint8Array): Uint8Array => value(tag, content),
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
