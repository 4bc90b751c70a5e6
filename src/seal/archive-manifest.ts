import { fromUtf8, utf8 } from '../verify/bytes/bytes.ts'
import { AttestError } from '../verify/errors.ts'
import { MAX_PATH_BYTES, PathOrder, pathProblem } from './archive-path.ts'

/** What an archive begins with. */
const MAGIC = utf8('sealgate/archive/v1\n')

/** Magic, u32be number of entries, u32be size of the entries in bytes. */
export const ARCHIVE_HEAD_SIZE: number = MAGIC.length + 8

/** Most entries of an archive, and most bytes of its manifest: a reader holds it in memory. */
export const MAX_ARCHIVE_ENTRIES = 1_000_000
export const MAX_MANIFEST_SIZE: number = 256 * 1024 * 1024

const FOLDER = 0x64
const FILE = 0x66
const PROGRAM = 0x78
const DIGEST_SIZE = 32

/** One file or folder of an archive. */
export type ArchiveEntry = ArchiveFolder | ArchiveFile

export interface ArchiveFolder {
  readonly type: 'folder'
  /** Relative to the archive, names separated by `/`. */
  readonly path: string
}

export interface ArchiveFile {
  readonly type: 'file'
  readonly path: string
  /** True when its owner may execute it: all that an archive keeps of a mode. */
  readonly executable: boolean
  readonly size: number
  /** SHA-256 of the content. */
  readonly sha256: Uint8Array
}

/** What {@link parseManifestHead} finds. */
export interface ManifestHead {
  readonly entries: number
  /** Bytes of the entries, which follow the head. */
  readonly size: number
}

/**
 * The manifest of an archive: head and entries. The contents of its files follow it in the same order, nothing between.
 * @throws AttestError `ARCHIVE_INVALID` naming the path that may not stand there, `LIMIT_EXCEEDED`.
 */
export function encodeManifest(entries: readonly ArchiveEntry[]): Uint8Array {
  if (entries.length > MAX_ARCHIVE_ENTRIES) throw tooMany(entries.length)
  const order = new PathOrder()
  let size = 0
  for (const entry of entries) {
    checkPath(order, entry.path, entry.type === 'folder')
    size += entrySize(entry)
    if (size > MAX_MANIFEST_SIZE) throw tooLarge(size)
  }
  const out = new Uint8Array(ARCHIVE_HEAD_SIZE + size)
  out.set(MAGIC)
  const view = new DataView(out.buffer)
  view.setUint32(MAGIC.length, entries.length)
  view.setUint32(MAGIC.length + 4, size)
  let at = ARCHIVE_HEAD_SIZE
  for (const entry of entries) {
    const part = encodeEntry(entry)
    out.set(part, at)
    at += part.length
  }
  return out
}

function entrySize(entry: ArchiveEntry): number {
  return 3 + utf8(entry.path).length + (entry.type === 'file' ? 8 + DIGEST_SIZE : 0)
}

function encodeEntry(entry: ArchiveEntry): Uint8Array {
  const path = utf8(entry.path)
  const out = new Uint8Array(3 + path.length + (entry.type === 'file' ? 8 + DIGEST_SIZE : 0))
  const view = new DataView(out.buffer)
  out[0] = entry.type === 'folder' ? FOLDER : entry.executable ? PROGRAM : FILE
  view.setUint16(1, path.length)
  out.set(path, 3)
  if (entry.type === 'folder') return out
  if (!Number.isSafeInteger(entry.size) || entry.size < 0 || entry.sha256.length !== DIGEST_SIZE) {
    throw new AttestError('INTERNAL', 'an entry without size or digest')
  }
  view.setBigUint64(3 + path.length, BigInt(entry.size))
  out.set(entry.sha256, 11 + path.length)
  return out
}

/** Size of a whole archive. @throws AttestError `LIMIT_EXCEEDED` beyond 2^53 − 1. */
export function archiveSize(manifestBytes: number, entries: readonly ArchiveEntry[]): number {
  let total = manifestBytes
  for (const entry of entries) {
    if (entry.type === 'file') total += entry.size
    if (!Number.isSafeInteger(total)) throw new AttestError('LIMIT_EXCEEDED', 'the files are larger than a dataset can be')
  }
  return total
}

/** @param bytes - Exactly {@link ARCHIVE_HEAD_SIZE}. @throws AttestError `ARCHIVE_INVALID`, `LIMIT_EXCEEDED`. */
export function parseManifestHead(bytes: Uint8Array): ManifestHead {
  if (bytes.length !== ARCHIVE_HEAD_SIZE || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw invalid('it does not begin as an archive does', 'archive')
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const [entries, size] = [view.getUint32(MAGIC.length), view.getUint32(MAGIC.length + 4)]
  if (entries > MAX_ARCHIVE_ENTRIES) throw tooMany(entries)
  if (size > MAX_MANIFEST_SIZE) throw tooLarge(size)
  return { entries, size }
}

/**
 * Reads the entries of a manifest. Memory is taken as entries are found, not as the head announces them.
 * @param bytes - Exactly the entries' bytes.
 * @param total - Size of the whole archive: sizes in the manifest must come to it.
 * @throws AttestError `ARCHIVE_INVALID` for anything that {@link encodeManifest} would not write.
 */
export function parseManifestEntries(head: ManifestHead, bytes: Uint8Array, total: number): readonly ArchiveEntry[] {
  const order = new PathOrder()
  const entries: ArchiveEntry[] = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let [at, contents] = [0, 0]
  const take = (size: number): number => {
    const start = at
    if (bytes.length - start < size) throw invalid('the manifest ends within an entry', `manifest@${start}`)
    at += size
    return start
  }
  for (let i = 0; i < head.entries; i++) {
    const kind = bytes[take(1)]
    const length = view.getUint16(take(2))
    if (length > MAX_PATH_BYTES) throw invalid(`a path of ${length} bytes`, `entry[${i}]`)
    const start = take(length)
    const path = textOf(bytes.subarray(start, at), i)
    checkPath(order, path, kind === FOLDER)
    if (kind === FOLDER) {
      entries.push({ type: 'folder', path })
      continue
    }
    if (kind !== FILE && kind !== PROGRAM) throw invalid(`an entry of kind ${kind}`, `entry[${i}]`)
    const size = Number(view.getBigUint64(take(8)))
    contents += size
    // Above 2^53 sums are not exact, but then they are larger than any archive.
    if (contents > total) throw invalid('its files are larger than the archive', `entry[${i}]`)
    const digest = take(DIGEST_SIZE)
    entries.push({ type: 'file', path, executable: kind === PROGRAM, size, sha256: bytes.slice(digest, at) })
  }
  if (at !== bytes.length) throw invalid('bytes follow the last entry of the manifest', `manifest@${at}`)
  const want = ARCHIVE_HEAD_SIZE + head.size + contents
  if (want !== total) throw invalid(`its files come to ${want} bytes, it has ${total}`, 'archive')
  return entries
}

function textOf(bytes: Uint8Array, index: number): string {
  try {
    return fromUtf8(bytes)
  } catch (cause) {
    throw new AttestError('ARCHIVE_INVALID', 'a path is not UTF-8', { at: `entry[${index}]`, cause })
  }
}

function checkPath(order: PathOrder, path: string, isFolder: boolean): void {
  const problem = pathProblem(path) ?? order.next(path, isFolder)
  if (problem !== null) throw invalid(`the path ${JSON.stringify(path)} may not stand in an archive: ${problem}`, 'archive')
}

function invalid(message: string, at: string): AttestError {
  return new AttestError('ARCHIVE_INVALID', message, { at })
}

function tooMany(count: number): AttestError {
  return new AttestError('LIMIT_EXCEEDED', `an archive of ${count} entries; at most ${MAX_ARCHIVE_ENTRIES}`, { at: 'archive' })
}

function tooLarge(size: number): AttestError {
  return new AttestError('LIMIT_EXCEEDED', `a manifest of ${size} bytes; at most ${MAX_MANIFEST_SIZE}`, { at: 'archive' })
}
