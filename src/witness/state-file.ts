import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import { encodeDocument, parseDocument, textField } from '../verify/documents/fields.ts'
import { AttestError } from '../verify/errors.ts'
import { verifyCheckpoint, type WitnessedCheckpoint } from '../verify/tlog/index.ts'
import { MAX_LOGS } from './config.ts'

/** The newest tree of one log that this witness has cosigned. */
export interface SeenLog {
  readonly origin: string
  /** Verifier key under which the checkpoint was signed. */
  readonly key: string
  /** The checkpoint with two signatures, the log's and this witness's: together they cover all that must not be lost. */
  readonly checkpoint: string
}

export interface WitnessState {
  readonly v: 1
  readonly type: 'sealgate/witness-state/v1'
  /** Verifier key of the witness: the state of another one is none of ours. */
  readonly witness: string
  readonly logs: readonly SeenLog[]
}

const MAX_STATE_SIZE = 1024 * 1024

const schema: z.ZodType<WitnessState> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/witness-state/v1'),
  witness: textField(512),
  logs: z
    .array(
      z.strictObject({
        origin: textField(256),
        key: textField(512),
        checkpoint: z.string().min(1).max(4096),
      }),
    )
    .max(MAX_LOGS),
})

/** What a new witness has seen: nothing. Written once, when its folder is made. */
export function encodeEmptyState(witness: string): Uint8Array {
  return encodeState({ v: 1, type: 'sealgate/witness-state/v1', witness, logs: [] })
}

export function encodeState(state: WitnessState): Uint8Array {
  return encodeDocument('witness-state', schema, state)
}

/** What of the file system a write needs, so that tests can fail each of its steps. */
export interface DiskCalls {
  /** Writes a new file, or over an old one, and syncs it. */
  write(path: string, bytes: Uint8Array): Promise<void>
  rename(from: string, to: string): Promise<void>
  syncFolder(folder: string): Promise<void>
}

export const systemDisk: DiskCalls = {
  write: async (path, bytes) => {
    const file = await open(path, 'w', 0o600)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
  },
  rename,
  syncFolder: async (folder) => {
    const handle = await open(folder, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },
}

/**
 * The state of a witness, in one file. It is read anew for every answer: what counts is what the disk holds, also after a
 * write that failed and nobody knows how. A file that is gone or damaged is never replaced by an empty one, because a
 * witness without memory cosigns any history.
 */
export class StateFile {
  readonly #path: string
  readonly #witness: string
  readonly #disk: DiskCalls

  private constructor(path: string, witness: string, disk: DiskCalls) {
    this.#path = path
    this.#witness = witness
    this.#disk = disk
  }

  /**
   * @param witness - Verifier key of the witness.
   * @throws AttestError `LOG_CORRUPT` for a file that is missing, damaged, or of another witness.
   */
  static async open(path: string, witness: string, disk: DiskCalls = systemDisk): Promise<StateFile> {
    const file = new StateFile(path, witness, disk)
    const { logs } = await file.#load()
    for (const seen of logs) await file.#verify(seen)
    await rm(temporaryOf(path), { force: true })
    return file
  }

  /** The newest tree of a log that was cosigned, with the time of that; null for none. @throws AttestError `LOG_CORRUPT`. */
  async read(origin: string): Promise<WitnessedCheckpoint | null> {
    const seen = (await this.#load()).logs.find((log) => log.origin === origin)
    return seen === undefined ? null : this.#verify(seen)
  }

  /**
   * Puts the newest tree of a log in place of the one before. Durable when it returns. When it throws the old state or the
   * new one is there, whole: nothing was cosigned for the new one, and going on from it is as good as from the old.
   * @throws AttestError `LOG_CORRUPT`, `DISK_FULL`; errors of the disk.
   */
  async write(seen: SeenLog): Promise<void> {
    const state = await this.#load()
    const logs = [...state.logs.filter((log) => log.origin !== seen.origin), seen]
    const temporary = temporaryOf(this.#path)
    try {
      await this.#disk.write(temporary, encodeState({ ...state, logs }))
      // Durable now: the new state beside the old one. A crash here costs the answer; the log asks again.
      await this.#disk.rename(temporary, this.#path)
      await this.#disk.syncFolder(dirname(this.#path))
      // Durable now: the new state under its name. A crash here costs the answer; the log asks again and gets it.
    } catch (cause) {
      throw diskError(cause)
    }
  }

  async #load(): Promise<WitnessState> {
    let bytes: Uint8Array
    try {
      bytes = new Uint8Array(await readFile(this.#path))
    } catch (cause) {
      throw corrupt('the state file is missing: a witness that has forgotten what it cosigned must not go on', cause)
    }
    let state: WitnessState
    try {
      state = parseDocument('witness-state', schema, bytes, MAX_STATE_SIZE)
    } catch (cause) {
      throw corrupt('the state file is damaged', cause)
    }
    if (state.witness !== this.#witness) throw corrupt(`the state file is that of ${state.witness}`)
    if (new Set(state.logs.map((log) => log.origin)).size < state.logs.length) throw corrupt('the state file names a log twice')
    return state
  }

  async #verify({ checkpoint, origin, key }: SeenLog): Promise<WitnessedCheckpoint> {
    try {
      return await verifyCheckpoint(checkpoint, { origin, key, witnessing: { mode: 'quorum', k: 1, keys: [this.#witness] } })
    } catch (cause) {
      throw corrupt(`the state file holds no checkpoint of ${origin} as it was cosigned`, cause)
    }
  }
}

function temporaryOf(path: string): string {
  return `${path}.tmp`
}

function diskError(cause: unknown): unknown {
  const full = cause instanceof Error && 'code' in cause && (cause.code === 'ENOSPC' || cause.code === 'EDQUOT')
  return full ? new AttestError('DISK_FULL', 'no space is left for the state of the witness', { cause }) : cause
}

function corrupt(message: string, cause?: unknown): AttestError {
  return new AttestError('LOG_CORRUPT', message, { at: 'witness.state', cause })
}
