import { createHash } from 'node:crypto'
import { encodeFileHead, headerDigest, openArchive, openStream, RootHasher, type Secret, sealedFileSize } from '../../seal/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import type { Contract, ContractInput } from '../../verify/documents/contract.ts'
import { type DatasetHeader, MAX_HEADER_SIZE } from '../../verify/documents/header.ts'
import { AttestError } from '../../verify/errors.ts'
import { withoutNames } from '../runner/input-tree.ts'
import type { InputArchive, RunInput } from '../runner/types.ts'
import type { Named } from './read-release.ts'
import type { Transfers } from './transfers.ts'

/**
 * Fetches the headers of a contract's inputs, in order, before any data. Each must be the one that the contract names and
 * tell the size of the file that the gateway holds.
 * @throws AttestError `HEADER_INVALID`, `STREAM_TRUNCATED`, or the gateway's own.
 */
export async function fetchHeaders(contract: Contract, transfers: Transfers, signal: AbortSignal): Promise<Uint8Array[]> {
  const headers: Uint8Array[] = []
  for (const input of contract.inputs) {
    const { header, sizeBytes } = await transfers.describe(input.header, signal)
    if (header.length > MAX_HEADER_SIZE || (await headerDigest(header)) !== input.header) {
      throw new AttestError('HEADER_INVALID', 'a dataset header is not the one that the contract names', { at: 'headers' })
    }
    if (sealedFileSize(header) !== sizeBytes) {
      throw new AttestError('STREAM_TRUNCATED', 'a stored dataset is not as long as its header says', { at: 'headers' })
    }
    headers.push(header)
  }
  return headers
}

/** Refuses inputs that do not fit before a byte of them is fetched. @returns their size together. */
export function checkInputSizes(contract: Contract, headers: readonly Named<DatasetHeader>[]): number {
  const total = headers.reduce((sum, h) => sum + h.document.plaintextSize, 0)
  if (total > contract.limits.memoryBytes) {
    throw new AttestError('LIMIT_EXCEEDED', `inputs of ${total} bytes do not fit into ${contract.limits.memoryBytes}`, {
      at: 'contract.limits',
    })
  }
  return total
}

/** Memory that a file takes beyond its bytes: it fills its last page, and the kernel keeps an inode of it. */
const PAGE = 4096
const INODE = 1024

/**
 * Reads what an archive holds, for a job that will read all of it later: only the segments of the manifest are fetched, each
 * verified.
 * @returns undefined for a dataset that is one file.
 * @throws AttestError `ARCHIVE_INVALID`, or as {@link openInput}.
 */
export async function readManifest(header: DatasetHeader, open: () => AsyncIterable<Uint8Array>): Promise<InputArchive | undefined> {
  if (header.content === 'file') return undefined
  const { contents, entries, manifest } = await openArchive(open(), header.plaintextSize).catch((error: unknown) => {
    throw withoutNames(error)
  })
  await contents.close()
  return { entries, manifestDigest: new Uint8Array(createHash('sha256').update(manifest).digest()) }
}

/** Refuses archives whose many small files would take more memory than the job has. @throws AttestError `LIMIT_EXCEEDED`. */
export function checkArchiveSizes(contract: Contract, inputs: readonly Pick<RunInput, 'archive' | 'size'>[]): void {
  let total = 0
  for (const { archive, size } of inputs) {
    if (archive === undefined) total += size
    else for (const entry of archive.entries) total += INODE + (entry.type === 'file' ? Math.ceil(entry.size / PAGE) * PAGE : 0)
  }
  if (total > contract.limits.memoryBytes) {
    throw new AttestError('LIMIT_EXCEEDED', `the files of the inputs take ${total} bytes, the job has ${contract.limits.memoryBytes}`, {
      at: 'contract.limits',
    })
  }
}

/**
 * The plaintext of one input as it comes. A segment is given out only when it verified; the whole counts only when the
 * loop has ended without an error, because the root over the ciphertext is known last.
 * @param header - Canonical bytes, already checked against the contract.
 * @throws AttestError `KEY_COMMITMENT_MISMATCH`, `SEGMENT_INVALID`, `STREAM_TRUNCATED`, `ROOT_MISMATCH`.
 */
export async function* openInput(
  input: ContractInput,
  header: Uint8Array,
  dek: Secret,
  transfers: Transfers,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const hasher = new RootHasher()
  const offset = encodeFileHead(header).length
  const ciphertext = transfers.download(input.header, sealedFileSize(header), offset, signal)
  yield* openStream(hashed(ciphertext, hasher), { header, dek })
  if (toBase64Url(await hasher.finish()) !== input.root) {
    throw new AttestError('ROOT_MISMATCH', 'the stored dataset is not the one that the contract names', { at: 'contract.inputs' })
  }
}

async function* hashed(chunks: AsyncIterable<Uint8Array>, hasher: RootHasher): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    await hasher.update(chunk)
    yield chunk
  }
}
