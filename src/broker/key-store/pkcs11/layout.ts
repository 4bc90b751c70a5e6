import type { Cryptoki, Structure } from './library.ts'

// Structures of pkcs11t.h on 64-bit Unix: CK_ULONG and pointers have 8 bytes, little-endian, in natural alignment.

/** Attribute types, classes, key types and mechanisms (PKCS #11 v2.40, pkcs11t.h). */
export const CKA = {
  CLASS: 0x0,
  TOKEN: 0x1,
  PRIVATE: 0x2,
  LABEL: 0x3,
  KEY_TYPE: 0x100,
  ID: 0x102,
  SENSITIVE: 0x103,
  ENCRYPT: 0x104,
  DECRYPT: 0x105,
  WRAP: 0x106,
  UNWRAP: 0x107,
  VALUE_LEN: 0x161,
  EXTRACTABLE: 0x162,
  LOCAL: 0x163,
  NEVER_EXTRACTABLE: 0x164,
  ALWAYS_SENSITIVE: 0x165,
} as const
export const CKO_SECRET_KEY = 4
export const CKK_AES = 0x1f
export const CKM_AES_KEY_GEN = 0x1080
const CKM_AES_GCM = 0x1087

const ATTRIBUTE_SIZE = 24
const MECHANISM_SIZE = 24
/** CK_GCM_PARAMS with ulIvBits (v2.40 errata 01 section 2.12.2, and v3.0). */
const GCM_PARAMS_SIZE = 48

export type AttributeValue = boolean | number | Uint8Array
export type Attribute = readonly [type: number, value: AttributeValue]

export function ulong(value: number | bigint = 0): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true)
  return bytes
}

export function readUlong(bytes: Uint8Array, at = 0): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true)
}

/** `CK_ATTRIBUTE[]`. */
export function attributesOf(cryptoki: Cryptoki, attributes: readonly Attribute[]): Structure {
  const bytes = new Uint8Array(attributes.length * ATTRIBUTE_SIZE)
  const view = new DataView(bytes.buffer)
  const holds = attributes.map(([, value]) => valueBytes(value))
  attributes.forEach(([type], i) => {
    const value = holds[i] ?? new Uint8Array(0)
    view.setBigUint64(i * ATTRIBUTE_SIZE, BigInt(type), true)
    view.setBigUint64(i * ATTRIBUTE_SIZE + 8, cryptoki.address(value), true)
    view.setBigUint64(i * ATTRIBUTE_SIZE + 16, BigInt(value.length), true)
  })
  return { bytes, holds }
}

function valueBytes(value: AttributeValue): Uint8Array {
  if (typeof value === 'boolean') return Uint8Array.of(value ? 1 : 0)
  return typeof value === 'number' ? ulong(value) : value
}

/** `CK_MECHANISM` without a parameter. */
export function mechanism(type: number): Uint8Array {
  const bytes = new Uint8Array(MECHANISM_SIZE)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(type), true)
  return bytes
}

/** `CK_MECHANISM` of AES-GCM with a nonce of our own and a tag of 128 bits. */
export function gcmMechanism(cryptoki: Cryptoki, nonce: Uint8Array, aad: Uint8Array): Structure {
  const params = new Uint8Array(GCM_PARAMS_SIZE)
  const p = new DataView(params.buffer)
  p.setBigUint64(0, cryptoki.address(nonce), true) // pIv
  p.setBigUint64(8, BigInt(nonce.length), true) // ulIvLen
  p.setBigUint64(16, BigInt(nonce.length * 8), true) // ulIvBits
  p.setBigUint64(24, cryptoki.address(aad), true) // pAAD
  p.setBigUint64(32, BigInt(aad.length), true) // ulAADLen
  p.setBigUint64(40, 128n, true) // ulTagBits
  const bytes = mechanism(CKM_AES_GCM)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(8, cryptoki.address(params), true)
  view.setBigUint64(16, BigInt(params.length), true)
  return { bytes, holds: [params, nonce, aad] }
}

/** `CK_TOKEN_INFO`: 32 + 32 + 16 + 16 characters padded with blanks, then numbers. */
export const TOKEN_INFO_SIZE = 208
const LABEL_SIZE = 32
const SERIAL = { at: 80, size: 16 } as const

export function tokenNames(info: Uint8Array): { readonly label: string; readonly serial: string } {
  const text = (at: number, size: number): string => new TextDecoder().decode(info.subarray(at, at + size)).trimEnd()
  return { label: text(0, LABEL_SIZE), serial: text(SERIAL.at, SERIAL.size) }
}
