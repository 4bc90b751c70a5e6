import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { countField, encodeDocument, sha256Field } from '../verify/documents/fields.ts'
import { AttestError } from '../verify/errors.ts'
import { fileError, makeFolder, PRIVATE, syncFolder, writeNew } from './files.ts'

/** A release that this client is about to have logged. */
export interface MadeRelease {
  /** Commitment of its leaf: salted, so nobody else can make an entry with the same. */
  readonly commitment: string
  /** Job digest. */
  readonly job: string
  readonly slots: readonly { readonly grant: string; readonly k: number }[]
}

interface RecordFile extends Omit<MadeRelease, 'commitment'> {
  readonly v: 1
  readonly type: 'sealgate/release-record/v1'
}

const schema: z.ZodType<RecordFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/release-record/v1'),
  job: sha256Field,
  slots: z
    .array(z.strictObject({ grant: sha256Field, k: countField(999_999) }))
    .min(1)
    .max(16),
})

const NAME = /^([A-Za-z0-9_-]{43})\.json$/

/**
 * Every release that this owner's client asked for, written before it asked: so that one in the log which is not here was
 * made by somebody else. One small file each, named by the leaf's commitment.
 */
export class ReleaseRecord {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /**
   * Durable when it returns. A crash after it leaves a record of a release that was never logged, which costs nothing; without
   * it the owner's own release would look like somebody else's.
   */
  async put({ commitment, job, slots }: MadeRelease): Promise<void> {
    await makeFolder(this.#folder)
    const bytes = encodeDocument('release-record', schema, { v: 1, type: 'sealgate/release-record/v1', job, slots })
    await writeNew(this.#path(commitment), bytes, PRIVATE)
    await syncFolder(this.#folder)
  }

  /** Commitments of all of them. */
  async commitments(): Promise<ReadonlySet<string>> {
    try {
      const names = await readdir(this.#folder)
      return new Set(names.flatMap((name) => NAME.exec(name)?.[1] ?? []))
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return new Set()
      throw fileError(cause, this.#folder)
    }
  }

  #path(commitment: string): string {
    const name = `${commitment}.json`
    if (!NAME.test(name)) throw new AttestError('USAGE', `"${commitment}" is not the commitment of an entry`)
    return join(this.#folder, name)
  }
}
