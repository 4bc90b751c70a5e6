import { cosign, type NoteSigner } from '../seal/note.ts'
import { equal } from '../verify/bytes/bytes.ts'
import { AttestError } from '../verify/errors.ts'
import {
  type Checkpoint,
  encodeNote,
  NOTE_ED25519,
  noteKeyId,
  type ParsedAddCheckpoint,
  parseAddCheckpoint,
  parseVerifierKey,
  verifyConsistency,
  verifyLogCheckpoint,
} from '../verify/tlog/index.ts'
import type { WitnessedLog } from './config.ts'
import type { StateFile } from './state-file.ts'
import type { TagWatch } from './tag-watch.ts'

/** What a witness answers to `add-checkpoint`, as statuses of HTTP (C2SP tlog-witness). */
export type Answer =
  /** Cosigned: signature lines. */
  | { readonly status: 200; readonly lines: string }
  /** Another tree was cosigned last: its size. */
  | { readonly status: 409; readonly size: number }
  /** Malformed, not signed by the log or a slot used twice, unknown log, no proof, or not now. */
  | { readonly status: 400 | 403 | 404 | 422 | 503; readonly reason: string }

export interface CosignerParts {
  readonly signer: NoteSigner
  readonly logs: readonly WitnessedLog[]
  readonly state: StateFile
  /** By origin: logs whose leaves are read before they are cosigned. */
  readonly watches: ReadonlyMap<string, TagWatch>
  /** Told of a log that is not cosigned because of what its leaves say. */
  readonly onRepeat: (origin: string, why: string) => void
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** A clock that was put back by so much is waited for in silence: the newest time is signed again, which was true then. */
const SETBACK_SECONDS = 10

/**
 * Cosigns the checkpoints of the logs that it knows, as long as each only ever grows. One request at a time: between
 * reading what was cosigned last and making the new state durable nobody else may decide.
 */
export class Cosigner {
  readonly #parts: CosignerParts
  #tail: Promise<unknown> = Promise.resolve()

  constructor(parts: CosignerParts) {
    this.#parts = parts
  }

  /**
   * Answers one request.
   * @throws AttestError `LOG_CORRUPT`, `DISK_FULL`; errors of the disk. Nothing was cosigned then.
   */
  async addCheckpoint(body: Uint8Array): Promise<Answer> {
    const request = readRequest(body)
    if (request === null) return { status: 400, reason: 'want the body of add-checkpoint, its checkpoint without extension lines' }
    const { oldSize, note, checkpoint } = request
    const log = this.#parts.logs.find((known) => known.origin === checkpoint.origin)
    if (log === undefined) return { status: 404, reason: 'this log is not known here' }
    if (!(await isSigned(note, log))) return { status: 403, reason: 'no valid signature of the log' }
    if (oldSize > checkpoint.size) return { status: 400, reason: 'the old size is larger than the new one' }
    return this.#alone(() => this.#decide(log, request))
  }

  /** Resolves when every request so far is answered. */
  async settled(): Promise<void> {
    await this.#tail
  }

  async #decide(log: WitnessedLog, request: ParsedAddCheckpoint): Promise<Answer> {
    const { oldSize, checkpoint } = request
    const last = await this.#parts.state.read(log.origin)
    const known = last?.size ?? 0
    if (oldSize !== known) return { status: 409, size: known }
    if (last !== null && checkpoint.size === known && !equal(checkpoint.root, last.root)) return { status: 409, size: known }
    if (!(await isConsistent(last, request))) return { status: 422, reason: 'the consistency proof does not verify' }
    const reading = (await this.#parts.watches.get(log.origin)?.read(checkpoint)) ?? { kind: 'fits' }
    if (reading.kind === 'unread') return { status: 503, reason: reading.why }
    if (reading.kind === 'repeats') {
      this.#parts.onRepeat(log.origin, reading.why)
      return { status: 403, reason: reading.why }
    }
    const time = this.#timeAfter(last?.time ?? 0)
    if (time === null) return { status: 503, reason: 'the clock of this witness went back' }
    const signed = await ownNote(request, log)
    const cosigned = await cosign(signed, this.#parts.signer, time)
    await this.#parts.state.write({ origin: log.origin, key: log.key, checkpoint: cosigned })
    // Only now: whoever holds a cosignature may rely on this witness remembering it.
    return { status: 200, lines: cosigned.slice(signed.length) }
  }

  /** Null when the clock went back: a cosignature is a promise that now is not earlier. */
  #timeAfter(last: number): number | null {
    const now = Math.floor(this.#parts.now() / 1000)
    return now >= last - SETBACK_SECONDS ? Math.max(now, last) : null
  }

  #alone<T>(action: () => Promise<T>): Promise<T> {
    const mine = this.#tail.then(action)
    // A failed predecessor has told its own caller.
    this.#tail = mine.catch(() => undefined)
    return mine
  }
}

function readRequest(body: Uint8Array): ParsedAddCheckpoint | null {
  try {
    return parseAddCheckpoint(body)
  } catch (error) {
    if (error instanceof AttestError) return null
    throw error
  }
}

async function isSigned(note: string, log: WitnessedLog): Promise<boolean> {
  try {
    await verifyLogCheckpoint(note, log)
    return true
  } catch (error) {
    if (error instanceof AttestError) return false
    throw error
  }
}

async function isConsistent(last: Checkpoint | null, { checkpoint, proof }: ParsedAddCheckpoint): Promise<boolean> {
  // Nothing was cosigned yet: any tree is the first one, and there is nothing to prove.
  if (last === null) return proof.length === 0
  try {
    await verifyConsistency({ oldSize: last.size, oldRoot: last.root, newSize: checkpoint.size, newRoot: checkpoint.root, proof })
    return true
  } catch (error) {
    if (error instanceof AttestError) return false
    throw error
  }
}

/** The checkpoint with the line of the log's key alone. */
async function ownNote({ checkpoint }: ParsedAddCheckpoint, log: WitnessedLog): Promise<string> {
  const key = await parseVerifierKey(log.key, NOTE_ED25519)
  const id = await noteKeyId(key)
  const { text, signatures } = checkpoint.note
  return encodeNote({ text, signatures: signatures.filter((s) => s.name === key.name && equal(s.keyId, id)) })
}
