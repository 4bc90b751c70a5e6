import { concat, equal } from '../verify/bytes/bytes.ts'
import type { Awaitable } from '../verify/crypto/types.ts'
import { AttestError } from '../verify/errors.ts'
import {
  ARCHIVE_HEAD_SIZE,
  type ArchiveEntry,
  type ArchiveFile,
  type ArchiveFolder,
  encodeManifest,
  parseManifestEntries,
  parseManifestHead,
} from './archive-manifest.ts'
import { ChunkReader } from './chunk-reader.ts'
import type { Chunks } from './stream.ts'

/** A SHA-256 in progress. The pure rooms take it as an argument where content is too large to hash in one piece. */
export interface RunningHash {
  update(data: Uint8Array): unknown
  digest(): Awaitable<Uint8Array>
}
export type CreateHash = () => RunningHash

/** Where the contents of files come from, and how they are hashed. */
export interface ArchiveSource {
  /** Called once for each file, in order. */
  open(file: ArchiveFile): Chunks
  readonly createHash: CreateHash
}

/**
 * Writes an archive whose entries are known: manifest, then the contents, read for the second time. Memory holds the
 * manifest and what is on its way.
 * @throws AttestError `FILE_UNREADABLE` when a file is not any more what its entry says; `ARCHIVE_INVALID`, `LIMIT_EXCEEDED`.
 */
export async function* packArchive(entries: readonly ArchiveEntry[], source: ArchiveSource): AsyncGenerator<Uint8Array, void, undefined> {
  yield encodeManifest(entries)
  for (const entry of entries) {
    if (entry.type === 'folder') continue
    const hash = source.createHash()
    let size = 0
    for await (const chunk of source.open(entry)) {
      size += chunk.length
      if (size > entry.size) break
      hash.update(chunk)
      yield chunk
    }
    if (size !== entry.size || !equal(await hash.digest(), entry.sha256)) {
      throw new AttestError('FILE_UNREADABLE', `${entry.path} changed while it was sealed`)
    }
  }
}

/** An archive whose manifest was read and checked. */
export interface OpenedArchive {
  readonly entries: readonly ArchiveEntry[]
  /** The manifest as it stands in the archive. */
  readonly manifest: Uint8Array
  /** The contents of the files in their order, in chunks of any size, to be read once. Not checked yet: see {@link readContents}. */
  readonly contents: ChunkReader
}

/**
 * Reads the manifest of an archive, all of it, before any content.
 * @param total - Size of the archive in bytes, as the dataset's header states it.
 * @throws AttestError `ARCHIVE_INVALID`, `LIMIT_EXCEEDED`, or what the source throws; the source is given up then.
 */
export async function openArchive(plaintext: Chunks, total: number): Promise<OpenedArchive> {
  const reader = new ChunkReader(plaintext)
  try {
    const headBytes = (await reader.exactly(ARCHIVE_HEAD_SIZE)) ?? new Uint8Array(0)
    const head = parseManifestHead(headBytes)
    if (ARCHIVE_HEAD_SIZE + head.size > total) throw invalid('its manifest is larger than the archive')
    const bytes = await reader.exactly(head.size)
    if (bytes === null) throw invalid('it ends within its manifest')
    return { entries: parseManifestEntries(head, bytes, total), manifest: concat(headBytes, bytes), contents: reader }
  } catch (error) {
    await reader.close()
    throw error
  }
}

/** A folder, or a file with its content, which must be read before the next one is asked for; what is not read is skipped, and checked. */
export type ArchiveItem = { readonly entry: ArchiveFolder } | { readonly entry: ArchiveFile; readonly content: AsyncIterable<Uint8Array> }

/**
 * Hands over the entries of an archive in their order. A content throws at its end when its digest is another one than the
 * manifest's, and the loop throws when bytes follow the last content: what was written by then must not be used.
 * @throws AttestError `ARCHIVE_INVALID`, or what the source throws.
 */
export async function* readContents(archive: OpenedArchive, createHash: CreateHash): AsyncGenerator<ArchiveItem, void, undefined> {
  const { contents, entries } = archive
  try {
    for (const entry of entries) {
      if (entry.type === 'folder') {
        yield { entry }
        continue
      }
      const content = checked(entry, contents, createHash())
      yield { entry, content }
      for await (const _ of content) {
        // What the caller left unread is checked all the same.
      }
    }
    if (!(await contents.atEnd())) throw invalid('bytes follow its last file')
  } finally {
    await contents.close()
  }
}

function checked(entry: ArchiveFile, contents: ChunkReader, hash: RunningHash): AsyncIterable<Uint8Array> {
  let left = entry.size
  let sound: boolean | null = null
  // A generator that is left early is over; a new one goes on where it stopped.
  async function* rest(): AsyncGenerator<Uint8Array, void, undefined> {
    while (left > 0) {
      const chunk = await contents.some(left)
      if (chunk === null) throw invalid(`it ends within ${JSON.stringify(entry.path)}`)
      left -= chunk.length
      hash.update(chunk)
      yield chunk
    }
    sound ??= equal(await hash.digest(), entry.sha256)
    if (!sound) throw invalid(`${JSON.stringify(entry.path)} is not what the manifest says`)
  }
  return { [Symbol.asyncIterator]: rest }
}

function invalid(message: string): AttestError {
  return new AttestError('ARCHIVE_INVALID', `the archive is not one of this format: ${message}`, { at: 'archive' })
}
