import { createReadStream } from 'node:fs'
import { open, rename, stat, statfs } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { createDatasetHeader, encodeFileHead, headerDigest, RootHasher, readSealedFile, sealedFileSize, sealStream } from '../seal/index.ts'
import { toBase64Url } from '../verify/bytes/bytes.ts'
import type { LegalContext } from '../verify/documents/header.ts'
import { AttestError } from '../verify/errors.ts'
import { exists, fileError, PRIVATE, withTemporary } from './files.ts'
import { type Owner, random } from './owner.ts'

export interface SealRequest {
  readonly owner: Owner
  /** Path of the plaintext. */
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
  readonly plaintextSize: number
  readonly sizeBytes: number
}

/**
 * Encrypts a file for one owner and keeps its key in the owner's keyring. The plaintext is read once, in pieces; the
 * output appears only when it is complete and durable.
 * @throws AttestError `FILE_UNREADABLE` (also for an empty input), `ALREADY_EXISTS`, `DISK_FULL`, `CANCELLED`.
 */
export async function sealDataset(request: SealRequest): Promise<SealedDataset> {
  const { owner, input, output, legal } = request
  const plaintextSize = await sizeOfInput(input)
  if (await exists(output)) throw new AttestError('ALREADY_EXISTS', `${output} exists and is not overwritten`)
  const { bytes: header, digest, dek } = await createDatasetHeader({ content: 'file', plaintextSize, owner: owner.grantThumbprint, legal, random })
  const sizeBytes = sealedFileSize(header)
  await checkSpace(output, sizeBytes)
  try {
    return await withTemporary(output, async (temporary) => {
      const root = await writeSealed(request, temporary, { header, dek, sizeBytes })
      // The key first: a crash in between leaves a key without a file, never a file without its key.
      await owner.keyring.putDataset({ digest, name: basename(input), header, root }, dek)
      await rename(temporary, output)
      return { dataset: digest, root, plaintextSize, sizeBytes }
    })
  } catch (cause) {
    throw fileError(cause, output)
  } finally {
    dek.wipe()
  }
}

interface Sealing {
  readonly header: Uint8Array
  readonly dek: Parameters<typeof sealStream>[1]['dek']
  readonly sizeBytes: number
}

async function writeSealed(request: SealRequest, path: string, { header, dek, sizeBytes }: Sealing): Promise<string> {
  const file = await open(path, 'wx', PRIVATE)
  try {
    const head = encodeFileHead(header)
    await file.write(head)
    let done = head.length
    const hasher = new RootHasher()
    for await (const chunk of sealStream(readInput(request.input), { header, dek, random })) {
      if (request.signal?.aborted) throw new AttestError('CANCELLED', 'sealing was cancelled')
      await hasher.update(chunk)
      await file.writev([chunk])
      done += chunk.length
      request.onProgress?.(done, sizeBytes)
    }
    await file.sync()
    return toBase64Url(await hasher.finish())
  } finally {
    await file.close()
  }
}

async function* readInput(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: 256 * 1024 }) as AsyncIterable<Uint8Array>
  } catch (cause) {
    throw fileError(cause, path)
  }
}

async function sizeOfInput(path: string): Promise<number> {
  let found: Awaited<ReturnType<typeof stat>>
  try {
    found = await stat(path)
  } catch (cause) {
    throw fileError(cause, path)
  }
  if (!found.isFile()) throw new AttestError('FILE_UNREADABLE', `${path} is not a file`)
  if (found.size === 0) throw new AttestError('FILE_UNREADABLE', `${path} is empty: there is nothing to seal`)
  return found.size
}

/** Says so before an hour of work rather than after. */
async function checkSpace(output: string, needed: number): Promise<void> {
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
  readonly sizeBytes: number
}

/** @throws AttestError `HEADER_INVALID` for a file that was not made by `dataset seal`, `STREAM_TRUNCATED` for a part of one. */
export async function inspectSealed(path: string): Promise<SealedOnDisk> {
  const actual = await sizeOfInput(path)
  const file = await readSealedFile(readInput(path))
  await file.close()
  if (file.header.kind !== 'dataset') throw new AttestError('HEADER_INVALID', `${path} holds results, not a dataset`)
  const sizeBytes = sealedFileSize(file.headerBytes)
  if (actual !== sizeBytes) throw new AttestError('STREAM_TRUNCATED', `${path} has ${actual} bytes, its header says ${sizeBytes}`)
  return { path, dataset: await headerDigest(file.headerBytes), header: file.headerBytes, sizeBytes }
}
