import { crypto } from '#crypto'
import { concat, fromBase64, toBase64, toHex, utf8 } from '../bytes/bytes.ts'
import type { PublicKey } from '../crypto/types.ts'
import { AttestError } from '../errors.ts'
import { isKeyName } from './note.ts'

/** C2SP signature types: a plain Ed25519 note signature, and a timestamped Ed25519 cosignature (tlog-cosignature). */
export const NOTE_ED25519 = 0x01
export const COSIGNATURE_ED25519 = 0x04

export type SignatureType = typeof NOTE_ED25519 | typeof COSIGNATURE_ED25519

/** A key that may sign notes, in the sense of one signature type. */
export interface NoteKey {
  readonly name: string
  readonly type: SignatureType
  /** Ed25519 public key, 32 bytes (RFC 8032). */
  readonly publicKey: Uint8Array
}

/** First 4 bytes of SHA-256(name ‖ "\n" ‖ type ‖ public key). */
export async function noteKeyId(key: NoteKey): Promise<Uint8Array> {
  const hash = await crypto.digest('SHA-256', concat(utf8(`${key.name}\n`), Uint8Array.of(key.type), key.publicKey))
  return hash.slice(0, 4)
}

/** C2SP verifier key: `name+hex(keyId)+base64(type ‖ public key)`. */
export async function encodeVerifierKey(key: NoteKey): Promise<string> {
  if (!isKeyName(key.name) || key.publicKey.length !== 32) throw malformed('want a key name and 32 bytes')
  return `${key.name}+${toHex(await noteKeyId(key))}+${toBase64(concat(Uint8Array.of(key.type), key.publicKey))}`
}

/**
 * Reads a verifier key of the wanted type, in its one spelling.
 * @throws AttestError `NOTE_MALFORMED`, also when the key id is not that of the key.
 */
export async function parseVerifierKey(text: string, type: SignatureType): Promise<NoteKey> {
  const [name, id, ...rest] = text.split('+')
  if (name === undefined || id === undefined || !isKeyName(name)) throw malformed('want name+keyid+key')
  const bytes = decode(rest.join('+'))
  if (bytes.length !== 33 || bytes[0] !== type) throw malformed(`want 32 bytes of signature type ${type}`)
  const key = { name, type, publicKey: bytes.slice(1) }
  if (id !== toHex(await noteKeyId(key))) throw malformed('key id does not fit the key')
  return key
}

/** SubjectPublicKeyInfo of Ed25519 (RFC 8410) up to the key. */
const SPKI_PREFIX = Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00)

/** @param publicKey - 32 bytes (RFC 8032). */
export async function importEd25519(publicKey: Uint8Array): Promise<PublicKey> {
  return crypto.importPublicKey('ed25519', concat(SPKI_PREFIX, publicKey))
}

function decode(base64: string): Uint8Array {
  try {
    return fromBase64(base64)
  } catch (cause) {
    throw malformed('verifier key is not base64', cause)
  }
}

function malformed(message: string, cause?: unknown): AttestError {
  return new AttestError('NOTE_MALFORMED', message, { at: 'verifier-key', cause })
}
