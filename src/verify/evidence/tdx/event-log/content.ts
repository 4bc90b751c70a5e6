import { crypto } from '#crypto'
import { equal, fromUtf8, toHex, utf8 } from '../../../bytes/bytes.ts'

/** What an event's data says, as far as its type has a known form. */
export type EventContent =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'variable'; readonly guid: string; readonly name: string; readonly value: string }
  | { readonly kind: 'tagged'; readonly id: number; readonly text: string | null }
  | { readonly kind: 'runtime'; readonly name: string; readonly payload: string }
  | { readonly kind: 'opaque'; readonly sizeBytes: number }

/** TCG PC Client Platform Firmware Profile 1.06, section 10.4.1. */
const TYPE_NAMES: Readonly<Record<number, string>> = {
  0: 'EV_PREBOOT_CERT',
  1: 'EV_POST_CODE',
  3: 'EV_NO_ACTION',
  4: 'EV_SEPARATOR',
  5: 'EV_ACTION',
  6: 'EV_EVENT_TAG',
  7: 'EV_S_CRTM_CONTENTS',
  8: 'EV_S_CRTM_VERSION',
  9: 'EV_CPU_MICROCODE',
  10: 'EV_PLATFORM_CONFIG_FLAGS',
  11: 'EV_TABLE_OF_DEVICES',
  12: 'EV_COMPACT_HASH',
  13: 'EV_IPL',
  14: 'EV_IPL_PARTITION_DATA',
  15: 'EV_NONHOST_CODE',
  16: 'EV_NONHOST_CONFIG',
  17: 'EV_NONHOST_INFO',
  18: 'EV_OMIT_BOOT_DEVICE_EVENTS',
  2147483649: 'EV_EFI_VARIABLE_DRIVER_CONFIG',
  2147483650: 'EV_EFI_VARIABLE_BOOT',
  2147483651: 'EV_EFI_BOOT_SERVICES_APPLICATION',
  2147483652: 'EV_EFI_BOOT_SERVICES_DRIVER',
  2147483653: 'EV_EFI_RUNTIME_SERVICES_DRIVER',
  2147483654: 'EV_EFI_GPT_EVENT',
  2147483655: 'EV_EFI_ACTION',
  2147483656: 'EV_EFI_PLATFORM_FIRMWARE_BLOB',
  2147483657: 'EV_EFI_HANDOFF_TABLES',
  2147483658: 'EV_EFI_PLATFORM_FIRMWARE_BLOB2',
  2147483659: 'EV_EFI_HANDOFF_TABLES2',
  2147483660: 'EV_EFI_VARIABLE_BOOT2',
  2147483661: 'EV_EFI_GPT_EVENT2',
  2147483664: 'EV_EFI_HCRTM_EVENT',
  2147483872: 'EV_EFI_VARIABLE_AUTHORITY',
  2147483873: 'EV_EFI_SPDM_FIRMWARE_BLOB',
  2147483874: 'EV_EFI_SPDM_FIRMWARE_CONFIG',
  134217729: 'DSTACK_RUNTIME_EVENT',
}

const EVENT_TAG = 0x06
const TEXTS: ReadonlySet<number> = new Set([0x01, 0x05, 0x08, 0x0a, 0x0d, 0x80000007])
const VARIABLES: ReadonlySet<number> = new Set([0x80000001, 0x80000002, 0x8000000c, 0x800000e0])
const VARIABLE_HEADER = 32
/** What GRUB and shim put in front of the words that they measure. */
const MEASURED_AFTER = /^(?:grub_cmd|kernel_cmdline|module_cmdline): /

export function eventTypeName(type: number): string {
  return TYPE_NAMES[type] ?? `0x${type.toString(16).padStart(8, '0')}`
}

export function describeContent(type: number, data: Uint8Array): EventContent {
  if (VARIABLES.has(type)) return readVariable(data) ?? opaque(data)
  if (type === EVENT_TAG) return readTagged(data) ?? opaque(data)
  const text = TEXTS.has(type) ? textOf(data) : null
  return text === null ? opaque(data) : { kind: 'text', text }
}

/** How much of what {@link describeContent} shows an event's digest proves. */
export interface Measured {
  /** The digest is of all of `content`. */
  readonly contentIsMeasured: boolean
  /** The digest is of an EFI variable's value, or of the text after its label. Name and label are then nobody's word. */
  readonly valueIsMeasured: boolean
}

/** For most events the digest is of something else, such as a program, and the data is a label that nothing proves. */
export async function findMeasured(type: number, data: Uint8Array, digest: Uint8Array): Promise<Measured> {
  const { whole, value } = measurable(type, data)
  if (await isDigestOfAny(whole, digest)) return { contentIsMeasured: true, valueIsMeasured: true }
  return { contentIsMeasured: false, valueIsMeasured: await isDigestOfAny(value, digest) }
}

/** Whoever writes the log can exchange what stands beside a measured value: a GRUB command could pass for the kernel's command line. */
function measurable(type: number, data: Uint8Array): { whole: readonly Uint8Array[]; value: readonly Uint8Array[] } {
  const variable = VARIABLES.has(type) ? cutVariable(data) : null
  if (variable !== null) return { whole: [data], value: [variable.value] }
  const text = TEXTS.has(type) ? textOf(data) : null
  if (text === null) return { whole: [data], value: [] }
  const unlabelled = text.replace(MEASURED_AFTER, '')
  return { whole: [data, utf8(text)], value: unlabelled === text ? [] : [utf8(unlabelled)] }
}

async function isDigestOfAny(candidates: readonly Uint8Array[], digest: Uint8Array): Promise<boolean> {
  for (const candidate of candidates) if (equal(await crypto.digest('SHA-384', candidate), digest)) return true
  return false
}

/** UEFI_VARIABLE_DATA: GUID, length of the name in characters, length of the value, both. */
function cutVariable(data: Uint8Array): { guid: Uint8Array; name: Uint8Array; value: Uint8Array } | null {
  if (data.length < VARIABLE_HEADER) return null
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const [characters, size] = [view.getBigUint64(16, true), view.getBigUint64(24, true)]
  if (BigInt(VARIABLE_HEADER) + 2n * characters + size !== BigInt(data.length)) return null
  const nameEnd = VARIABLE_HEADER + 2 * Number(characters)
  return { guid: data.subarray(0, 16), name: data.subarray(VARIABLE_HEADER, nameEnd), value: data.subarray(nameEnd) }
}

function readVariable(data: Uint8Array): EventContent | null {
  const cut = cutVariable(data)
  const name = cut === null ? null : utf16Of(cut.name)
  return cut === null || name === null ? null : { kind: 'variable', guid: guidText(cut.guid), name, value: toHex(cut.value) }
}

/** The one reading of these bytes: no byte order mark is dropped, nothing is replaced. Null for bytes that are no text. */
function utf16Of(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-16le', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

/** TCG_PCClientTaggedEvent: id, length, data. */
function readTagged(data: Uint8Array): EventContent | null {
  if (data.length < 8) return null
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  if (view.getUint32(4, true) !== data.length - 8) return null
  return { kind: 'tagged', id: view.getUint32(0, true), text: textOf(data.subarray(8)) }
}

/** Text without its closing zero byte; null for bytes that are none. */
function textOf(data: Uint8Array): string | null {
  const body = data.length > 0 && data[data.length - 1] === 0 ? data.subarray(0, -1) : data
  if (body.length === 0 || body.some((b) => b < 0x20 && b !== 0x0a && b !== 0x09)) return null
  try {
    return fromUtf8(body)
  } catch {
    return null
  }
}

function opaque(data: Uint8Array): EventContent {
  return { kind: 'opaque', sizeBytes: data.length }
}

/** The first three fields of a GUID are little-endian. */
function guidText(bytes: Uint8Array): string {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
  const text = toHex(Uint8Array.from(order, (i) => bytes[i] ?? 0))
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join('-')
}
