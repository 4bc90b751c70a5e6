import { join } from 'node:path'
import { z } from 'zod'
import { equal } from '../verify/bytes/bytes.ts'
import { encodeDocument, parseDocument, textField } from '../verify/documents/fields.ts'
import { AttestError } from '../verify/errors.ts'
import { verifyCheckpoint, verifyConsistency, type WitnessedCheckpoint } from '../verify/tlog/index.ts'
import { PRIVATE, readBytesIfThere, replaceFile } from './files.ts'
import { FILES, MAX_FILE_SIZE } from './folder.ts'

/** A log by what a policy or trust file says of it. */
export interface KnownLog {
  readonly origin: string
  readonly key: string
}

/** Asks the log for a consistency proof between two tree sizes. Its answer is checked here. */
export type ConsistencySource = (oldSize: number, newSize: number) => Promise<readonly Uint8Array[]>

interface MemoryFile {
  readonly v: 1
  readonly type: 'sealgate/log-memory/v1'
  readonly logs: readonly { readonly origin: string; readonly key: string; readonly checkpoint: string }[]
}

const schema: z.ZodType<MemoryFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/log-memory/v1'),
  logs: z
    .array(
      z.strictObject({
        origin: textField(256),
        key: textField(512),
        checkpoint: z
          .string()
          .min(1)
          .max(16 * 1024),
      }),
    )
    .max(64),
})

/**
 * The newest checkpoint that this client has seen of each log. Every other one must be consistent with it: a log that
 * shows two histories, or goes back in time, is caught by whoever has seen both.
 */
export class LogMemory {
  readonly #path: string
  /** One checkpoint after the other: several jobs of one process share the file. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(folder: string) {
    this.#path = join(folder, FILES.logMemory)
  }

  /**
   * Verifies a checkpoint under the log's key and against the newest one seen, and remembers it if it is newer.
   * @param age - `current`: it claims to be the newest, so an older one than seen is refused. `any`: it may be older.
   * @throws AttestError `LOG_CHECKPOINT_INVALID`, `LOG_PROOF_INVALID` for a split view or a rollback.
   */
  accept(log: KnownLog, note: string, age: 'current' | 'any', proofs: ConsistencySource): Promise<WitnessedCheckpoint> {
    const accepted = this.#turn.then(() => this.#accept(log, note, age, proofs))
    this.#turn = accepted.catch(() => undefined)
    return accepted
  }

  async #accept(log: KnownLog, note: string, age: 'current' | 'any', proofs: ConsistencySource): Promise<WitnessedCheckpoint> {
    const next = await verify(log, note)
    const file = await this.#load()
    const entry = file.logs.find((l) => l.origin === log.origin && l.key === log.key)
    if (entry !== undefined) {
      const seen = await verify(log, entry.checkpoint)
      if (next.size < seen.size && age === 'current') {
        throw new AttestError('LOG_PROOF_INVALID', `the log went back from ${seen.size} entries to ${next.size}`, { at: log.origin })
      }
      await checkConsistent(log, seen, next, proofs)
      if (next.size <= seen.size) return next
    }
    const logs = [...file.logs.filter((l) => l !== entry), { origin: log.origin, key: log.key, checkpoint: note }]
    // A crash before this is durable costs one comparison; the next run compares with the older checkpoint.
    await replaceFile(this.#path, encodeDocument('log-memory', schema, { ...file, logs }), PRIVATE)
    return next
  }

  /** The newest checkpoint seen of a log, a signed note; null for none. */
  async newest({ origin, key }: KnownLog): Promise<string | null> {
    return (await this.#load()).logs.find((l) => l.origin === origin && l.key === key)?.checkpoint ?? null
  }

  async #load(): Promise<MemoryFile> {
    const bytes = await readBytesIfThere(this.#path, MAX_FILE_SIZE)
    return bytes === null ? { v: 1, type: 'sealgate/log-memory/v1', logs: [] } : parseDocument('log-memory', schema, bytes, MAX_FILE_SIZE)
  }
}

function verify(log: KnownLog, note: string): Promise<WitnessedCheckpoint> {
  return verifyCheckpoint(note, { origin: log.origin, key: log.key, witnessing: { mode: 'none' } })
}

async function checkConsistent(log: KnownLog, a: WitnessedCheckpoint, b: WitnessedCheckpoint, proofs: ConsistencySource): Promise<void> {
  const [older, newer] = a.size <= b.size ? [a, b] : [b, a]
  if (older.size === newer.size) {
    if (!equal(older.root, newer.root)) throw splitView(log, older.size)
    return
  }
  const proof = older.size === 0 ? [] : await proofs(older.size, newer.size)
  try {
    await verifyConsistency({ oldSize: older.size, oldRoot: older.root, newSize: newer.size, newRoot: newer.root, proof })
  } catch (cause) {
    throw splitView(log, older.size, cause)
  }
}

function splitView(log: KnownLog, size: number, cause?: unknown): AttestError {
  return new AttestError('LOG_PROOF_INVALID', `the log shows another history than before (split view) from ${size} entries on`, {
    at: log.origin,
    cause,
  })
}
