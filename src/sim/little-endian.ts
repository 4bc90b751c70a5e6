import { concat } from '../verify/bytes/bytes.ts'

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8)
}

export function u32(value: number): Uint8Array {
  return concat(u16(value & 0xffff), u16(value >>> 16))
}
