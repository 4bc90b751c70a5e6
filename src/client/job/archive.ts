import { pipeline } from 'node:stream/promises'
import { extract } from 'tar-stream'
import { z } from 'zod'
import { bytesField, countField, parseDocument, sha256Field, textField } from '../../verify/documents/fields.ts'
import { AttestError } from '../../verify/errors.ts'
import { hasControl } from '../control-characters.ts'

/** First entry of a result archive: what the agent says that the rest is. */
export interface Manifest {
  readonly v: 1
  /** Job digest. */
  readonly job: string
  readonly outcome: string
  /** Place of the item in the contract; absent in the manifest of the whole. */
  readonly item?: number | undefined
  readonly outputs: readonly ManifestOutput[]
}

export interface ManifestOutput {
  /** `out/…`, `stdout` or `stderr`. */
  readonly path: string
  readonly size: number
  readonly sha256: string
  /** 32 bytes; opens the commitment in the receipt. */
  readonly salt: string
}

export const MANIFEST_NAME = 'manifest.json'
const MAX_MANIFEST_SIZE = 1024 * 1024

const schema: z.ZodType<Manifest> = z.strictObject({
  v: z.literal(1),
  job: sha256Field,
  outcome: textField(32),
  item: countField().optional(),
  outputs: z
    .array(
      z.strictObject({
        path: z.string().refine(isSafePath, { error: 'want out/…, stdout or stderr' }),
        size: countField(),
        sha256: sha256Field,
        salt: bytesField(32),
      }),
    )
    .max(1024)
    .refine((list) => new Set(list.map((o) => o.path)).size === list.length, { error: 'paths must differ' }),
})

export function parseManifest(bytes: Uint8Array): Manifest {
  return parseDocument('manifest', schema, bytes, MAX_MANIFEST_SIZE)
}

/**
 * True for a path that stays below the folder it is written to, on every system: relative, plain segments, no `.` or
 * `..`, no back slash, colon or control character, not long.
 */
export function isSafePath(path: string): boolean {
  if (path === 'stdout' || path === 'stderr') return true
  const segments = path.split('/')
  return path.length <= 512 && segments.length >= 2 && segments.length <= 16 && segments[0] === 'out' && segments.every(isSafeSegment)
}

function isSafeSegment(segment: string): boolean {
  const plain = segment.isWellFormed() && !/^\.|[\\:*?"<>|]|[. ]$/.test(segment)
  return plain && segment.length >= 1 && segment.length <= 255 && !hasControl(segment)
}

/** One file of an archive; its `content` must be read to its end before the next one is asked for. */
export interface ArchiveEntry {
  readonly name: string
  readonly size: number
  readonly content: AsyncIterable<Uint8Array>
}

/**
 * Reads a POSIX tar as it comes. Only plain files are taken: a link or device in a result has no honest use.
 * @throws AttestError `RECEIPT_INCONSISTENT` for anything else, or the error of `chunks`.
 */
export async function* readArchive(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<ArchiveEntry> {
  const tar = extract()
  const feeding = pipeline(chunks, tar)
  // Its failure ends whoever reads from the archive, which is where it is reported.
  feeding.catch(() => undefined)
  try {
    for await (const entry of tar) {
      const { name, size, type } = entry.header
      if (type !== 'file' || size === undefined) throw badArchive(`entry ${JSON.stringify(name)} is not a plain file`)
      yield { name, size, content: explained(entry as AsyncIterable<Uint8Array>, feeding) }
    }
    await feeding
  } catch (cause) {
    throw await reasonOf(cause, feeding)
  } finally {
    tar.destroy()
  }
}

async function* explained(content: AsyncIterable<Uint8Array>, feeding: Promise<void>): AsyncGenerator<Uint8Array> {
  try {
    yield* content
  } catch (cause) {
    throw await reasonOf(cause, feeding)
  }
}

/** The reader only learns that its stream was destroyed; what destroyed it is known to the feeder. */
async function reasonOf(cause: unknown, feeding: Promise<void>): Promise<AttestError> {
  if (cause instanceof AttestError) return cause
  const first: unknown = await feeding.then(
    () => cause,
    (error: unknown) => error,
  )
  return first instanceof AttestError ? first : badArchive('the results are not a complete tar archive', first)
}

/** Reads a whole entry that must be small. */
export async function readSmall(entry: ArchiveEntry): Promise<Uint8Array> {
  if (entry.size > MAX_MANIFEST_SIZE) throw badArchive(`${entry.name} has ${entry.size} bytes, at most ${MAX_MANIFEST_SIZE} are read`)
  const parts: Uint8Array[] = []
  for await (const part of entry.content) parts.push(part)
  return new Uint8Array(Buffer.concat(parts))
}

export function badArchive(message: string, cause?: unknown): AttestError {
  return new AttestError('RECEIPT_INCONSISTENT', message, { at: 'results', cause })
}
