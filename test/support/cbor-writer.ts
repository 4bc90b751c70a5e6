import { concat, utf8 } from '../../src/verify/bytes/bytes.ts'

/** CBOR as tests want it: the order of a map is that of its entries, and `raw` bytes go in as they are. */
export type Writable = null | boolean | number | string | Uint8Array | Raw | readonly Writable[] | ReadonlyMap<number | string, Writable>

interface Raw {
  readonly raw: Uint8Array
}

export const cbor = (value: Writable): Uint8Array => {
  if (value === null) return Uint8Array.of(0xf6)
  if (typeof value === 'boolean') return Uint8Array.of(value ? 0xf5 : 0xf4)
  if (typeof value === 'number') return value < 0 ? cborHead(1, -1 - value) : cborHead(0, value)
  if (typeof value === 'string') return concat(cborHead(3, utf8(value).length), utf8(value))
  if (value instanceof Uint8Array) return concat(cborHead(2, value.length), value)
  if (value instanceof Map) return concat(cborHead(5, value.size), entries(value as ReadonlyMap<number | string, Writable>))
  if ('raw' in value) return value.raw
  const items = value as readonly Writable[]
  return concat(cborHead(4, items.length), ...items.map(cbor))
}

/** Keys and values of a map without its head. */
export function entries(map: ReadonlyMap<number | string, Writable>): Uint8Array {
  return concat(...[...map].flatMap(([key, value]) => [cbor(key), cbor(value)]))
}

/** Major type and number in the shortest form. */
export function cborHead(major: number, value: number): Uint8Array {
  const type = major << 5
  if (value < 24) return Uint8Array.of(type | value)
  const size = value < 0x100 ? 1 : value < 0x10000 ? 2 : value < 0x100000000 ? 4 : 8
  const out = new Uint8Array(1 + size)
  out[0] = type | (24 + Math.log2(size))
  const view = new DataView(out.buffer)
  if (size === 8) view.setBigUint64(1, BigInt(value))
  else for (let i = 0, rest = value; i < size; i++, rest = Math.floor(rest / 256)) view.setUint8(size - i, rest % 256)
  return out
}
