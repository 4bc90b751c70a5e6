import { concat, fromHex, utf8 } from '../../src/verify/bytes/bytes.ts'

/** One opaque field: type and value. */
export type Field = readonly [type: number, value: Uint8Array]

/** What a made-up report says. Its signature is zeros unless one is given. */
export interface ReportParts {
  readonly nonce?: Uint8Array
  readonly measurements?: readonly Uint8Array[]
  readonly fields?: readonly Field[]
  readonly signature?: Uint8Array
}

export const u16le = (n: number): Uint8Array => Uint8Array.of(n & 0xff, n >> 8)
const text = (value: string): Uint8Array => concat(utf8(value), Uint8Array.of(0))

/** Opaque fields of a GPU, each to be replaced by its type. */
export function gpuFields(change: readonly Field[] = []): readonly Field[] {
  const fields: readonly Field[] = [
    [6, fromHex('009f009601000000')],
    [15, text('882')],
    [17, text('1010')],
    [18, text('0200')],
    [3, text('550.90.07')],
    [11, Uint8Array.of(0x55)],
    [20, new Uint8Array(48).fill(7)],
    [21, Uint8Array.of(0x55)],
  ]
  const replaced = new Map(change)
  return [
    ...fields.map(([type, value]): Field => [type, replaced.get(type) ?? value]),
    ...change.filter(([type]) => !fields.some((f) => f[0] === type)),
  ]
}

/** Opaque fields of a switch. */
export function switchFields(pdi: string, gpus: readonly string[]): readonly Field[] {
  return [
    [6, utf8('96.10.55.00.01')],
    [22, fromHex(pdi)],
    [26, concat(...gpus.map(fromHex), new Uint8Array(64))],
  ]
}

export function opaqueData(fields: readonly Field[]): Uint8Array {
  return concat(...fields.map(([type, value]) => concat(u16le(type), u16le(value.length), value)))
}

/** GET_MEASUREMENTS ‖ MEASUREMENTS. */
export function makeReport({ nonce, measurements, fields, signature }: ReportParts = {}): Uint8Array {
  const values = measurements ?? Array.from({ length: 64 }, (_, i) => new Uint8Array(48).fill(i))
  const blocks = values.map((value, i) => concat(Uint8Array.of(i + 1, 1), u16le(51), Uint8Array.of(1), u16le(48), value))
  const record = concat(...blocks)
  const opaque = opaqueData(fields ?? gpuFields())
  return concat(
    fromHex('11e001ff'),
    nonce ?? new Uint8Array(32).fill(0xaa),
    fromHex('00' + '11600000'),
    Uint8Array.of(values.length, record.length & 0xff, (record.length >> 8) & 0xff, record.length >> 16),
    record,
    new Uint8Array(32).fill(0xbb),
    u16le(opaque.length),
    opaque,
    signature ?? new Uint8Array(96),
  )
}
