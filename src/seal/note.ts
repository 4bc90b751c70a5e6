import { utf8 } from '../verify/bytes/bytes.ts'
import type { Awaitable } from '../verify/crypto/types.ts'
import { AttestError } from '../verify/errors.ts'
import { type Checkpoint, cosignedMessage, encodeCheckpoint, parseCheckpoint } from '../verify/tlog/checkpoint.ts'
import { encodeNote, type NoteSignature } from '../verify/tlog/note.ts'
import { COSIGNATURE_ED25519, NOTE_ED25519, type NoteKey, noteKeyId } from '../verify/tlog/vkey.ts'

/** An Ed25519 key that signs notes. The private half stays with its owner behind `sign`. */
export interface NoteSigner {
  /** Name of the log (its origin) or of the witness. */
  readonly name: string
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** Ed25519 (RFC 8032) over the message, 64 bytes. */
  sign(message: Uint8Array): Awaitable<Uint8Array>
}

/**
 * Signs a checkpoint as its log (signature type 0x01). Whoever calls this has made sure that the tree only ever grew.
 * @returns a C2SP signed note with one signature line.
 */
export async function signCheckpoint(checkpoint: Checkpoint, log: NoteSigner): Promise<string> {
  if (log.name !== checkpoint.origin) throw new AttestError('INTERNAL', 'a log signs under its origin')
  const text = encodeCheckpoint(checkpoint)
  const signature = await signatureOf(log, NOTE_ED25519, await log.sign(utf8(text)))
  return encodeNote({ text, signatures: [signature] })
}

/**
 * Adds a timestamped cosignature (type 0x04) to a checkpoint that the cosigner has verified.
 * @param time - Seconds since the epoch, by the cosigner's clock.
 */
export async function cosign(note: string, cosigner: NoteSigner, time: number): Promise<string> {
  const { text, signatures } = parseCheckpoint(note).note
  if (!Number.isSafeInteger(time) || time <= 0) throw new AttestError('INTERNAL', 'a cosignature has a time')
  const signed = new Uint8Array(72)
  new DataView(signed.buffer).setBigUint64(0, BigInt(time))
  signed.set(await cosigner.sign(cosignedMessage(text, time)), 8)
  return encodeNote({ text, signatures: [...signatures, await signatureOf(cosigner, COSIGNATURE_ED25519, signed)] })
}

async function signatureOf(signer: NoteSigner, type: NoteKey['type'], signature: Uint8Array): Promise<NoteSignature> {
  const keyId = await noteKeyId({ name: signer.name, type, publicKey: signer.publicKey })
  return { name: signer.name, keyId, signature }
}
