import { fromBase64, fromUtf8, toBase64, utf8 } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'
import { type Checkpoint, parseCheckpoint } from './checkpoint.ts'
import { HASH_SIZE } from './hash.ts'
import { MAX_NOTE_SIZE, type Note } from './note.ts'

/** C2SP tlog-witness: a client must not send more. */
const MAX_PROOF_LINES = 63
/** base64 of 32 bytes and a newline. */
const PROOF_LINE_SIZE = 45
/** `old `, at most 16 digits, two newlines. */
const HEAD_SIZE = 22

/** Largest body of `add-checkpoint`, in bytes: the proof, and a note whose characters have 3 bytes at most. */
export const MAX_ADD_CHECKPOINT_SIZE: number = HEAD_SIZE + MAX_PROOF_LINES * PROOF_LINE_SIZE + 3 * MAX_NOTE_SIZE

/** What a log asks of a witness (C2SP tlog-witness, `add-checkpoint`). */
export interface AddCheckpoint {
  /** Size of the newest tree that the witness has cosigned, as far as the log knows. */
  readonly oldSize: number
  /** From the old tree to that of the checkpoint; 32 bytes each, at most 63. */
  readonly proof: readonly Uint8Array[]
  /** The checkpoint: a signed note. */
  readonly note: string
}

/** A request that was read. Nothing of it is verified. */
export interface ParsedAddCheckpoint extends AddCheckpoint {
  readonly checkpoint: Checkpoint & { readonly note: Note }
}

/**
 * Reads the body of `add-checkpoint`: `old SIZE`, one base64 hash a line, an empty line, the checkpoint. One spelling:
 * {@link encodeAddCheckpoint} gives the same bytes back.
 * @throws AttestError `LIMIT_EXCEEDED`, `NOTE_MALFORMED`, `ENCODING_INVALID` for what is not UTF-8.
 */
export function parseAddCheckpoint(body: Uint8Array): ParsedAddCheckpoint {
  if (body.length > MAX_ADD_CHECKPOINT_SIZE) {
    throw new AttestError('LIMIT_EXCEEDED', `the request is longer than ${MAX_ADD_CHECKPOINT_SIZE} bytes`, { at: 'add-checkpoint' })
  }
  const text = fromUtf8(body)
  const border = text.indexOf('\n\n')
  if (border < 0) throw malformed('want the old size, proof lines, an empty line, and a checkpoint')
  const [first = '', ...lines] = text.slice(0, border).split('\n')
  if (lines.length > MAX_PROOF_LINES) throw malformed(`more than ${MAX_PROOF_LINES} proof lines`)
  const note = text.slice(border + 2)
  return { oldSize: parseOldSize(first), proof: lines.map(parseHash), note, checkpoint: parseCheckpoint(note) }
}

function parseOldSize(line: string): number {
  const match = /^old (0|[1-9][0-9]{0,15})$/.exec(line)
  const size = Number(match?.[1])
  if (!Number.isSafeInteger(size)) throw malformed('want "old" and a decimal below 2^53')
  return size
}

function parseHash(line: string): Uint8Array {
  let hash: Uint8Array
  try {
    hash = fromBase64(line)
  } catch (cause) {
    throw malformed('a proof line is not base64', cause)
  }
  if (hash.length !== HASH_SIZE) throw malformed('a proof line must have 32 bytes')
  return hash
}

/** Inverse of {@link parseAddCheckpoint}. @throws AttestError for what that would refuse. */
export function encodeAddCheckpoint({ oldSize, proof, note }: AddCheckpoint): Uint8Array {
  const body = utf8(`old ${oldSize}\n${proof.map((hash) => `${toBase64(hash)}\n`).join('')}\n${note}`)
  parseAddCheckpoint(body)
  return body
}

function malformed(message: string, cause?: unknown): AttestError {
  return new AttestError('NOTE_MALFORMED', message, { at: 'add-checkpoint', cause })
}
