import { concat, utf8 } from '../../verify/bytes/bytes.ts'
import { signEcdsa } from '../keys.ts'
import { u16 } from '../little-endian.ts'

/** One member of the opaque data: type, and the value as it stands. */
export interface OpaqueField {
  readonly type: number
  readonly value: Uint8Array
}

export interface MeasurementBlock {
  /** From 1. */
  readonly index: number
  /** 48 bytes. */
  readonly value: Uint8Array
}

/** What a report carries. It is laid out as given. */
export interface DeviceReportFields {
  /** 32 bytes that the verifier chose. */
  readonly nonce: Uint8Array
  /** 32 bytes that the device chose. */
  readonly responderNonce: Uint8Array
  readonly blocks: readonly MeasurementBlock[]
  readonly opaque: readonly OpaqueField[]
}

/** SPDM 1.1 GET_MEASUREMENTS with a signature over all measurements, and the head of its answer (DMTF DSP0274 1.1, section 10.11). */
const REQUEST_HEAD = Uint8Array.of(0x11, 0xe0, 0x01, 0xff)
const RESPONSE_HEAD = Uint8Array.of(0x11, 0x60, 0x00, 0x00)

/** Request ‖ response, all but the signature. */
export function encodeDeviceReport({ nonce, responderNonce, blocks, opaque }: DeviceReportFields): Uint8Array {
  const record = concat(...blocks.map(encodeBlock))
  const data = concat(...opaque.map(({ type, value }) => concat(u16(type), u16(value.length), value)))
  const length = Uint8Array.of(record.length & 0xff, (record.length >> 8) & 0xff, record.length >> 16)
  const request = concat(REQUEST_HEAD, nonce, new Uint8Array(1))
  return concat(request, RESPONSE_HEAD, Uint8Array.of(blocks.length), length, record, responderNonce, u16(data.length), data)
}

/** DMTF specification, a raw SHA-384 digest as value (DMTF DSP0274 1.1, section 10.11.1). */
function encodeBlock({ index, value }: MeasurementBlock): Uint8Array {
  return concat(Uint8Array.of(index, 1), u16(value.length + 3), Uint8Array.of(1), u16(value.length), value)
}

/** @param key - P-384, PKCS #8 DER. @returns The report with r ‖ s behind it. */
export function signDeviceReport(unsigned: Uint8Array, key: Uint8Array): Uint8Array {
  return concat(unsigned, signEcdsa(unsigned, key, 'P-384'))
}

/** ASCII with a zero byte at its end. */
export function cText(text: string): Uint8Array {
  return concat(utf8(text), new Uint8Array(1))
}
