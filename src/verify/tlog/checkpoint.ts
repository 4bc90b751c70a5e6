import { crypto } from '#crypto'
import { concat, equal, fromBase64, toBase64, toHex, utf8 } from '../bytes/bytes.ts'
import type { Policy } from '../documents/policy.ts'
import { AttestError } from '../errors.ts'
import type { Verified } from '../verdict.ts'
import { emptyRoot, HASH_SIZE } from './hash.ts'
import { type Note, type NoteSignature, parseNote } from './note.ts'
import { COSIGNATURE_ED25519, importEd25519, NOTE_ED25519, type NoteKey, noteKeyId, parseVerifierKey } from './vkey.ts'

/** 9999-12-31T23:59:59Z: later times are no dates. */
const MAX_TIME = 253_402_300_799n

/** A log's tree head (C2SP tlog-checkpoint). */
export interface Checkpoint {
  readonly origin: string
  /** Number of leaves. */
  readonly size: number
  /** Merkle Tree Hash, 32 bytes. */
  readonly root: Uint8Array
}

/** A checkpoint under a log's own signature, at a time that the demanded cosignatures vouch for. */
export interface WitnessedCheckpoint extends Checkpoint {
  /** Seconds since the epoch: the latest t that a quorum of cosignatures reaches, so now is not earlier. */
  readonly time: number
  /**
   * Seconds since the epoch: a quorum of cosignatures says that the checkpoint was there by then, and fewer liars than a quorum cannot say
   * so too early. Null: nobody but the log says when.
   */
  readonly provenBy: number | null
}

/** Which log to believe, and whose cosignatures it takes. */
export interface LogTrust {
  readonly origin: string
  /** C2SP verifier key of type 0x01, its name equal to the origin. */
  readonly key: string
  readonly witnessing: Policy['witnessing']
}

/** Note text of a checkpoint: origin, size and root, one line each. @throws AttestError `NOTE_MALFORMED`. */
export function encodeCheckpoint(checkpoint: Checkpoint): string {
  const text = `${checkpoint.origin}\n${checkpoint.size}\n${toBase64(checkpoint.root)}\n`
  parseCheckpointText(text)
  return text
}

/**
 * Reads the text of a checkpoint. Extension lines, which C2SP discourages, are refused: nobody here would check them.
 * @throws AttestError `NOTE_MALFORMED`.
 */
export function parseCheckpointText(text: string): Checkpoint {
  const [origin, digits, base64, end, ...rest] = text.split('\n')
  if (origin === undefined || origin === '' || digits === undefined || base64 === undefined || end !== '' || rest.length > 0) {
    throw malformed('want three lines: origin, size, root')
  }
  const size = Number(digits)
  if (!/^(0|[1-9][0-9]{0,15})$/.test(digits) || !Number.isSafeInteger(size)) throw malformed('size must be a decimal below 2^53')
  return { origin, size, root: decodeRoot(base64) }
}

function decodeRoot(base64: string): Uint8Array {
  let root: Uint8Array
  try {
    root = fromBase64(base64)
  } catch (cause) {
    throw malformed('root is not base64', cause)
  }
  if (root.length !== HASH_SIZE) throw malformed('root must have 32 bytes')
  return root
}

/** Reads a signed checkpoint without verifying it: who signed it, and for which tree. @throws AttestError `NOTE_MALFORMED`. */
export function parseCheckpoint(note: string): Checkpoint & { readonly note: Note } {
  const parsed = parseNote(note)
  return { ...parseCheckpointText(parsed.text), note: parsed }
}

/**
 * Verifies that the named log signed this checkpoint and that the demanded witnesses cosigned it. With `witnessing: none`
 * the log's own cosignature is required and gives the time. Otherwise k distinct witness keys must have cosigned; two
 * names for one key count once, and the log's key never counts. Lines of unknown keys are ignored (C2SP signed-note), a
 * wrong signature of a known key is not. Says nothing of consistency with other checkpoints: see {@link verifyConsistency}.
 * @throws AttestError `NOTE_MALFORMED`, `LOG_CHECKPOINT_INVALID`.
 */
export async function verifyCheckpoint(note: string, log: LogTrust): Promise<Verified<WitnessedCheckpoint>> {
  const { note: parsed, ...checkpoint } = parseCheckpoint(note)
  const key = await verifyLog(parsed, checkpoint, log)
  const times = await witnessedTime(parsed, key, log.witnessing)
  return { ...checkpoint, ...times } as Verified<WitnessedCheckpoint>
}

/**
 * Verifies the log's signature alone, as a witness does before it cosigns: the checkpoint has no time yet.
 * @throws AttestError `NOTE_MALFORMED`, `LOG_CHECKPOINT_INVALID`.
 */
export async function verifyLogCheckpoint(note: string, log: Pick<LogTrust, 'origin' | 'key'>): Promise<Verified<Checkpoint>> {
  const { note: parsed, ...checkpoint } = parseCheckpoint(note)
  await verifyLog(parsed, checkpoint, log)
  return checkpoint as Verified<Checkpoint>
}

/** One witness's cosignature of a checkpoint. */
export interface Cosignature {
  /** Seconds since the epoch, by the witness's clock. */
  readonly time: number
  readonly line: NoteSignature
}

/**
 * Verifies the cosignature of one key (type 0x04) in a note. Says nothing of the log's own signature.
 * @throws AttestError `NOTE_MALFORMED`, `LOG_CHECKPOINT_INVALID` also when there is none.
 */
export async function verifyCosignature(note: string, key: string): Promise<Cosignature> {
  const { note: parsed } = parseCheckpoint(note)
  const cosigner = await parseVerifierKey(key, COSIGNATURE_ED25519)
  const line = await lineOf(parsed, cosigner)
  const time = await cosignedTime(parsed, cosigner)
  if (line === null || time === null) throw invalid(`no cosignature of ${cosigner.name}`)
  return { time, line }
}

async function verifyLog(note: Note, checkpoint: Checkpoint, log: Pick<LogTrust, 'origin' | 'key'>): Promise<NoteKey> {
  const key = await parseVerifierKey(log.key, NOTE_ED25519)
  if (checkpoint.origin !== log.origin) throw invalid(`origin is ${checkpoint.origin}, want ${log.origin}`)
  if (key.name !== log.origin) throw invalid(`the log's key is named ${key.name}, want ${log.origin}`)
  if (checkpoint.size === 0 && !equal(checkpoint.root, await emptyRoot())) throw invalid('an empty tree has another root')
  await verifyLogSignature(note, key)
  return key
}

async function verifyLogSignature(note: Note, key: NoteKey): Promise<void> {
  const line = await lineOf(note, key)
  if (line === null) throw invalid(`no signature of ${key.name}`)
  if (!(await crypto.verify(await importEd25519(key.publicKey), line.signature, utf8(note.text)))) {
    throw invalid(`the signature of ${key.name} does not verify`)
  }
}

async function witnessedTime(
  note: Note,
  log: NoteKey,
  witnessing: Policy['witnessing'],
): Promise<Pick<WitnessedCheckpoint, 'time' | 'provenBy'>> {
  if (witnessing.mode === 'none') {
    const time = await cosignedTime(note, { ...log, type: COSIGNATURE_ED25519 })
    if (time === null) throw invalid(`no cosignature of ${log.name}, so no time`)
    return { time, provenBy: null }
  }
  const times = new Map<string, number>()
  for (const text of witnessing.keys) {
    const witness = await parseVerifierKey(text, COSIGNATURE_ED25519)
    const time = equal(witness.publicKey, log.publicKey) ? null : await cosignedTime(note, witness)
    if (time !== null) times.set(toHex(witness.publicKey), time)
  }
  const latestFirst = [...times.values()].sort((a, b) => b - a)
  const [time, provenBy] = [latestFirst[witnessing.k - 1], latestFirst.at(-witnessing.k)]
  if (witnessing.k < 1 || time === undefined || provenBy === undefined)
    throw invalid(`${times.size} witnesses cosigned, want ${witnessing.k}`)
  return { time, provenBy }
}

/** Time of this key's cosignature, or null without one. */
async function cosignedTime(note: Note, key: NoteKey): Promise<number | null> {
  const line = await lineOf(note, key)
  if (line === null) return null
  const { time, signature } = splitCosignature(line)
  if (!(await crypto.verify(await importEd25519(key.publicKey), signature, cosignedMessage(note.text, time)))) {
    throw invalid(`the cosignature of ${key.name} does not verify`)
  }
  return time
}

/** u64be(time) ‖ Ed25519 signature. */
function splitCosignature(line: NoteSignature): { readonly time: number; readonly signature: Uint8Array } {
  if (line.signature.length !== 72) throw invalid(`the cosignature of ${line.name} has the wrong size`)
  const bytes = line.signature
  const time = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0)
  if (time === 0n || time > MAX_TIME) throw invalid(`the cosignature of ${line.name} has no usable time`)
  return { time: Number(time), signature: bytes.subarray(8) }
}

/** What a cosigner signs (C2SP tlog-cosignature). @param time - Seconds since the epoch. */
export function cosignedMessage(text: string, time: number): Uint8Array {
  return concat(utf8(`cosignature/v1\ntime ${time}\n`), utf8(text))
}

async function lineOf(note: Note, key: NoteKey): Promise<NoteSignature | null> {
  const id = await noteKeyId(key)
  return note.signatures.find((s) => s.name === key.name && equal(s.keyId, id)) ?? null
}

function malformed(message: string, cause?: unknown): AttestError {
  return new AttestError('NOTE_MALFORMED', message, { at: 'checkpoint', cause })
}

function invalid(message: string): AttestError {
  return new AttestError('LOG_CHECKPOINT_INVALID', message, { at: 'checkpoint' })
}
