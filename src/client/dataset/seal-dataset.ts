import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, rename, stat, statfs } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import {
  type ArchiveEntry,
  archiveSize,
  createDatasetHeader,
  createStreamHeader,
  encodeFileHead,
  encodeManifest,
  headerDigest,
  packArchive,
  RootHasher,
  readSealedFile,
  SEGMENT_SIZE,
  type Secret,
  sealedFileSize,
  sealStream,
} from '../../seal/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import type { DatasetContent, LegalContext } from '../../verify/documents/header.ts'
import { AttestError } from '../../verify/errors.ts'
import { exists, fileError, PRIVATE, withTemporary, writeAll } from '../files.ts'
import { type Owner, random } from '../owner.ts'
import { readPlain, scanFolder } from './scan-folder.ts'
import { workOnSegments } from './segment-threads.ts'

export interface SealRequest {
  readonly owner: Owner
  /** Path of the plaintext: a file, or a folder, which becomes one archive. */
  readonly input: string
  /** Path of the sealed file; must not exist. */
  readonly output: string
  readonly legal: LegalContext
  readonly signal?: AbortSignal
  /** Bytes written so far, of how many. */
  readonly onProgress?: (done: number, total: number) => void
}

export interface SealedDataset {
  /** SHA-256 of the header: how everything names this dataset. */
  readonly dataset: string
  readonly root: string
  readonly content: DatasetContent
  /** Files in it: 1 unless a folder was sealed. */
  readonly files: number
  readonly plaintextSize: number
  readonly sizeBytes: number
}

/**
 * Encrypts a file or a folder for one owner and keeps its key in the owner's keyring. A file is read once, in pieces, by two
 * threads where it is large; a folder twice, because its manifest comes first. The output appears only when it is complete
 * and durable. An interrupted sealing begins anew, with a new key and nothing kept: what was sealed before had another key.
 * @throws AttestError `FILE_UNREADABLE` (also for an empty file, a folder without files, a link or device in it, and an
 *   input that changes meanwhile), `ARCHIVE_INVALID` for a name that cannot be kept, `ALREADY_EXISTS`, `DISK_FULL`, `CANCELLED`.
 */
export async function sealDataset(request: SealRequest): Promise<SealedDataset> {
  const { owner, output, legal } = request
  if (await exists(output)) throw new AttestError('ALREADY_EXISTS', `${output} exists and is not overwritten`)
  const plaintext = await describe(request)
  const { content, plaintextSize, files } = plaintext
  const { bytes: header, digest, dek } = await createDatasetHeader({ content, plaintextSize, owner: owner.grantThumbprint, legal, random })
  const sizeBytes = sealedFileSize(header)
  try {
    await checkSpace(output, sizeBytes)
    return await withTemporary(output, async (temporary) => {
      const root = await writeSealed(request, temporary, { plaintext, header, dek, sizeBytes })
      // The key first: a crash in between leaves a key without a file, never a file without its key.
      await owner.keyring.putDataset({ digest, name: basename(resolve(request.input)), header, root }, dek)
      await rename(temporary, output)
      return { dataset: digest, root, content, files, plaintextSize, sizeBytes }
    })
  } catch (cause) {
    throw fileError(cause, output)
  } finally {
    dek.wipe()
  }
}

/** What is to be sealed. `entries` for a folder alone. */
interface Plaintext {
  readonly content: DatasetContent
  readonly plaintextSize: number
  readonly files: number
  readonly entries: readonly ArchiveEntry[] | null
}

async function describe({ input, signal }: SealRequest): Promise<Plaintext> {
  const found = await statOf(input)
  if (!found.isDirectory()) return { content: 'file', plaintextSize: sizeOf(input, found), files: 1, entries: null }
  const entries = await scanFolder(input, signal)
  const files = entries.filter((e) => e.type === 'file').length
  if (files === 0) throw new AttestError('FILE_UNREADABLE', `${input} holds no file: there is nothing to seal`)
  return { content: 'archive', plaintextSize: archiveSize(encodeManifest(entries).length, entries), files, entries }
}

interface Sealing {
  readonly plaintext: Plaintext
  readonly header: Uint8Array
  readonly dek: Secret
  readonly sizeBytes: number
}

/** @returns the root over the ciphertext. */
async function writeSealed(request: SealRequest, path: string, sealing: Sealing): Promise<string> {
  const file = await open(path, 'wx', PRIVATE)
  try {
    const head = encodeFileHead(sealing.header)
    await writeAll(file, head)
    const { entries } = sealing.plaintext
    const root =
      entries === null
        ? await sealFile(request, file, head.length, sealing)
        : await sealFolder(request, file, head.length, sealing, entries)
    await file.sync()
    return toBase64Url(root)
  } finally {
    await file.close()
  }
}

async function sealFile(
  { input, signal, onProgress }: SealRequest,
  sealed: FileHandle,
  offset: number,
  sealing: Sealing,
): Promise<Uint8Array> {
  const { header, dek, sizeBytes, plaintext } = sealing
  const file = await open(input).catch((cause: unknown) => {
    throw fileError(cause, input)
  })
  try {
    const before = await file.stat()
    const root = await workOnSegments({
      mode: 'seal',
      header,
      streamHeader: createStreamHeader(random),
      dek,
      plaintextSize: plaintext.plaintextSize,
      plaintext: file,
      sealed,
      streamOffset: offset,
      signal,
      onProgress: (segments) => onProgress?.(Math.min(offset + segments * SEGMENT_SIZE, sizeBytes), sizeBytes),
    })
    const after = await file.stat()
    if (before.size !== plaintext.plaintextSize || after.size !== before.size || after.mtimeMs !== before.mtimeMs) {
      throw new AttestError('FILE_UNREADABLE', `${input} changed while it was sealed`)
    }
    return root
  } finally {
    await file.close()
  }
}

async function sealFolder(
  { input, signal, onProgress }: SealRequest,
  sealed: FileHandle,
  offset: number,
  { header, dek, sizeBytes }: Sealing,
  entries: readonly ArchiveEntry[],
): Promise<Uint8Array> {
  const archive = packArchive(entries, { open: ({ path }) => readPlain(join(input, path)), createHash: () => createHash('sha256') })
  const hasher = new RootHasher()
  let done = offset
  for await (const chunk of sealStream(archive, { header, dek, random })) {
    if (signal?.aborted) throw new AttestError('CANCELLED', 'sealing was cancelled')
    await hasher.update(chunk)
    await writeAll(sealed, chunk)
    done += chunk.length
    onProgress?.(done, sizeBytes)
  }
  return hasher.finish()
}

type Stats = Awaited<ReturnType<typeof stat>>

async function statOf(input: string): Promise<Stats> {
  try {
    return await stat(input)
  } catch (cause) {
    throw fileError(cause, input)
  }
}

function sizeOf(path: string, found: Stats): number {
  if (!found.isFile()) throw new AttestError('FILE_UNREADABLE', `${path} is not a file`)
  if (found.size === 0) throw new AttestError('FILE_UNREADABLE', `${path} is empty: there is nothing to seal`)
  return Number(found.size)
}

/** Says so before an hour of work rather than after. */
export async function checkSpace(output: string, needed: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(output)).catch((cause: unknown) => {
    throw fileError(cause, dirname(output))
  })
  if (bavail * bsize < needed) {
    throw new AttestError('DISK_FULL', `${output} needs ${needed} bytes, ${bavail * bsize} are free`)
  }
}

/** A sealed file on disk, by its own header. */
export interface SealedOnDisk {
  readonly path: string
  readonly dataset: string
  readonly header: Uint8Array
  readonly content: DatasetContent
  readonly plaintextSize: number
  readonly sizeBytes: number
}

/** @throws AttestError `HEADER_INVALID` for a file that was not made by `dataset seal`, `STREAM_TRUNCATED` for a part of one. */
export async function inspectSealed(path: string): Promise<SealedOnDisk> {
  const actual = sizeOf(path, await statOf(path))
  const { header, headerBytes, close } = await readHead(path)
  await close()
  if (header.kind !== 'dataset') throw new AttestError('HEADER_INVALID', `${path} holds results, not a dataset`)
  const sizeBytes = sealedFileSize(headerBytes)
  if (actual !== sizeBytes) throw new AttestError('STREAM_TRUNCATED', `${path} has ${actual} bytes, its header says ${sizeBytes}`)
  const { content, plaintextSize } = header
  return { path, dataset: await headerDigest(headerBytes), header: headerBytes, content, plaintextSize, sizeBytes }
}

async function readHead(path: string): ReturnType<typeof readSealedFile> {
  try {
    return await readSealedFile(createReadStream(path) as AsyncIterable<Uint8Array>)
  } catch (cause) {
    throw fileError(cause, path)
  }
}
