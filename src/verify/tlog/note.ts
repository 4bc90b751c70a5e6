import { fromBase64, toBase64 } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'

/** Largest signed note, in UTF-16 units, and the most signature lines. */
export const MAX_NOTE_SIZE: number = 16 * 1024
const MAX_SIGNATURES = 100

const KEY_ID_SIZE = 4
const MARK = '— '

/** One signature line: `— name base64(keyId ‖ signature)`. */
export interface NoteSignature {
  readonly name: string
  /** 4 bytes. Name and id together name a key and its algorithm. */
  readonly keyId: Uint8Array
  readonly signature: Uint8Array
}

/** A C2SP signed note, read but not verified. `text` is what is signed: it ends in a newline. */
export interface Note {
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

/** Key names here are printable ASCII: C2SP allows any but Unicode spaces and `+`, whose reading differs between libraries. */
export function isKeyName(name: string): boolean {
  return name.length <= 255 && /^[\x21-\x2a\x2c-\x7e]+$/.test(name)
}

/**
 * Reads a signed note (C2SP signed-note). One spelling: `parseNote` then {@link encodeNote} gives the same text back.
 * @throws AttestError `NOTE_MALFORMED`.
 */
export function parseNote(note: string): Note {
  if (note.length > MAX_NOTE_SIZE) throw malformed(`longer than ${MAX_NOTE_SIZE} characters`)
  if (!note.isWellFormed() || hasControl(note)) throw malformed('control characters and lone surrogates are not allowed')
  // Text may hold empty lines, signatures cannot: the last empty line is the border.
  const border = note.lastIndexOf('\n\n')
  if (border < 1 || !note.endsWith('\n')) throw malformed('want text, an empty line, and signature lines')
  const lines = note.slice(border + 2, -1).split('\n')
  if (lines.length > MAX_SIGNATURES) throw malformed(`more than ${MAX_SIGNATURES} signatures`)
  const signatures = lines.map(parseSignature)
  const keys = signatures.map((s) => `${s.name} ${toBase64(s.keyId)}`)
  if (new Set(keys).size !== keys.length) throw malformed('one key signed twice')
  return { text: note.slice(0, border + 1), signatures }
}

function parseSignature(line: string): NoteSignature {
  const [name, base64, ...rest] = line.startsWith(MARK) ? line.slice(MARK.length).split(' ') : []
  if (name === undefined || base64 === undefined || rest.length > 0 || !isKeyName(name)) {
    throw malformed('want signature lines of the form "— name base64"')
  }
  const bytes = decode(base64)
  if (bytes.length <= KEY_ID_SIZE) throw malformed('signature is too short')
  return { name, keyId: bytes.slice(0, KEY_ID_SIZE), signature: bytes.slice(KEY_ID_SIZE) }
}

function decode(base64: string): Uint8Array {
  try {
    return fromBase64(base64)
  } catch (cause) {
    throw malformed('signature is not base64', cause)
  }
}

/** Inverse of {@link parseNote}. @throws AttestError `NOTE_MALFORMED` for a note that parseNote would refuse. */
export function encodeNote(note: Note): string {
  const lines = note.signatures.map((s) => `${MARK}${s.name} ${toBase64(Uint8Array.of(...s.keyId, ...s.signature))}\n`)
  const encoded = `${note.text}\n${lines.join('')}`
  parseNote(encoded)
  return encoded
}

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x20 && unit !== 0x0a) return true
  }
  return false
}

function malformed(message: string, cause?: unknown): AttestError {
  return new AttestError('NOTE_MALFORMED', message, { at: 'note', cause })
}
