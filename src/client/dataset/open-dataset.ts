import { createHash } from 'node:crypto'
import { type FileHandle, link, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type ArchiveEntry,
  encodeFileHead,
  openArchive,
  openStream,
  RootHasher,
  readContents,
  SEGMENT_SIZE,
  type Secret,
  STREAM_HEADER_SIZE,
} from '../../seal/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import type { DatasetContent } from '../../verify/documents/header.ts'
import { AttestError } from '../../verify/errors.ts'
import { exists, fileError, PRIVATE, withTemporary, writeAll } from '../files.ts'
import type { Owner } from '../owner.ts'
import { checkSpace, inspectSealed, type SealedOnDisk } from './seal-dataset.ts'
import { workOnSegments } from './segment-threads.ts'

export interface OpenRequest {
  readonly owner: Owner
  /** Path of the sealed file. */
  readonly input: string
  /** Path of the plaintext, a file or a folder as the dataset's header says; must not exist. */
  readonly output: string
  readonly signal?: AbortSignal
  /** Bytes read so far, of how many. */
  readonly onProgress?: (done: number, total: number) => void
}

export interface OpenedDataset {
  readonly dataset: string
  readonly content: DatasetContent
  readonly files: number
  readonly plaintextSize: number
}

const CHUNK_SIZE = 1024 * 1024
const FOLDER_MODE = 0o700
const PROGRAM_MODE = 0o700

/**
 * Decrypts a dataset for its owner, with the key in the owner's keyring. The output appears only when everything was checked:
 * header and key, each segment before its plaintext is written, the root over the ciphertext, and for a folder each path and
 * digest. A file is durable then; of a folder that is left to the system.
 * @throws AttestError `NOT_FOUND` without a key, `HEADER_INVALID`, `KEY_COMMITMENT_MISMATCH`, `SEGMENT_INVALID`,
 *   `STREAM_TRUNCATED`, `ROOT_MISMATCH`, `ARCHIVE_INVALID`, `ALREADY_EXISTS`, `DISK_FULL`, `CANCELLED`. Nothing is left then.
 */
export async function openDataset(request: OpenRequest): Promise<OpenedDataset> {
  const { owner, input, output } = request
  const sealed = await inspectSealed(input)
  const kept = await owner.keyring.dataset(sealed.dataset)
  if (await exists(output)) throw new AttestError('ALREADY_EXISTS', `${output} exists and is not overwritten`)
  await checkSpace(output, sealed.plaintextSize)
  const dek = await owner.keyring.datasetKey(sealed.dataset)
  try {
    return await withTemporary(output, async (temporary) => {
      const work = { request, sealed, dek, root: kept.root, temporary }
      const files = sealed.content === 'file' ? await openToFile(work) : await openToFolder(work)
      await putInPlace(temporary, output, sealed.content)
      return { dataset: sealed.dataset, content: sealed.content, files, plaintextSize: sealed.plaintextSize }
    })
  } catch (cause) {
    throw fileError(cause, output)
  } finally {
    dek.wipe()
  }
}

interface Opening {
  readonly request: OpenRequest
  readonly sealed: SealedOnDisk
  readonly dek: Secret
  /** Of the keyring: what the owner itself sealed. */
  readonly root: string
  readonly temporary: string
}

/** @returns the number of files. */
async function openToFile({ request, sealed, dek, root, temporary }: Opening): Promise<number> {
  const { signal, onProgress } = request
  const streamOffset = encodeFileHead(sealed.header).length
  const source = await open(request.input)
  try {
    const plaintext = await open(temporary, 'wx', PRIVATE)
    try {
      const streamHeader = new Uint8Array(STREAM_HEADER_SIZE)
      await source.read(streamHeader, 0, STREAM_HEADER_SIZE, streamOffset)
      const { header, plaintextSize, sizeBytes } = sealed
      const progress = (segments: number): void => onProgress?.(Math.min(streamOffset + segments * SEGMENT_SIZE, sizeBytes), sizeBytes)
      const files = { plaintext, sealed: source, streamOffset }
      const work = { mode: 'open', header, streamHeader, dek, plaintextSize, ...files, signal, onProgress: progress } as const
      checkRoot(await workOnSegments(work), root)
      await plaintext.sync()
    } finally {
      await plaintext.close()
    }
  } finally {
    await source.close()
  }
  return 1
}

/** @returns the number of files. */
async function openToFolder({ request, sealed, dek, root, temporary }: Opening): Promise<number> {
  const hasher = new RootHasher()
  const source = await open(request.input)
  try {
    const stream = openStream(readStream(source, request, sealed, hasher), { header: sealed.header, dek })
    const archive = await openArchive(stream, sealed.plaintextSize)
    await mkdir(temporary, { mode: FOLDER_MODE })
    let files = 0
    for await (const item of readContents(archive, () => createHash('sha256'))) {
      if ('content' in item) await writeFile(temporary, item.entry, item.content)
      else await mkdir(join(temporary, item.entry.path), { mode: FOLDER_MODE })
      if ('content' in item) files += 1
    }
    checkRoot(await hasher.finish(), root)
    return files
  } finally {
    await source.close()
  }
}

async function* readStream(
  file: FileHandle,
  { signal, onProgress }: OpenRequest,
  { header, sizeBytes }: SealedOnDisk,
  hasher: RootHasher,
): AsyncGenerator<Uint8Array, void, undefined> {
  let at = encodeFileHead(header).length
  for (;;) {
    if (signal?.aborted) throw new AttestError('CANCELLED', 'opening was cancelled')
    const buffer = new Uint8Array(CHUNK_SIZE)
    const { bytesRead } = await file.read(buffer, 0, CHUNK_SIZE, at)
    if (bytesRead === 0) return
    at += bytesRead
    const chunk = buffer.subarray(0, bytesRead)
    await hasher.update(chunk)
    onProgress?.(at, sizeBytes)
    yield chunk
  }
}

/** `wx` and a plain `mkdir`: names that a file system takes for one must not overwrite each other. */
async function writeFile(
  folder: string,
  entry: Extract<ArchiveEntry, { type: 'file' }>,
  content: AsyncIterable<Uint8Array>,
): Promise<void> {
  const file = await open(join(folder, entry.path), 'wx', entry.executable ? PROGRAM_MODE : PRIVATE)
  try {
    for await (const chunk of content) await writeAll(file, chunk)
  } finally {
    await file.close()
  }
}

function checkRoot(got: Uint8Array, want: string): void {
  if (toBase64Url(got) !== want) {
    throw new AttestError('ROOT_MISMATCH', 'the file is not the one that was sealed under this key', { at: 'stream' })
  }
}

/** A name that came into being meanwhile is not overwritten: a link fails where a rename would replace. */
async function putInPlace(temporary: string, output: string, content: DatasetContent): Promise<void> {
  if (content === 'archive') {
    if (await exists(output)) throw new AttestError('ALREADY_EXISTS', `${output} exists and is not overwritten`)
    return rename(temporary, output)
  }
  try {
    await link(temporary, output)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') throw cause
    // A file system without links.
    if (await exists(output)) throw new AttestError('ALREADY_EXISTS', `${output} exists and is not overwritten`)
    return rename(temporary, output)
  }
  await rm(temporary)
}
