import { createHash, randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { crypto } from '#crypto'
import { createResultHeader, encodeFileHead, RootHasher, sealStream } from '../../seal/index.ts'
import { concat, toBase64Url, toHex, utf8 } from '../../verify/bytes/bytes.ts'
import { itemFolder, itemManifestName } from '../../verify/documents/array.ts'
import type { HpkePublicKey } from '../../verify/documents/keys.ts'
import type { OutcomeKind } from '../../verify/documents/statement.ts'
import { AttestError } from '../../verify/errors.ts'
import { encodeCanonical } from '../../verify/formats/canonical-json.ts'
import { type ArchiveFile, archiveSize, packArchive } from './archive.ts'
import { diskError } from './durable-files.ts'
import type { SealedResults } from './outbox.ts'

const COMMIT_CONTEXT = utf8('sealgate/output/v1')

/** What a statement says of results. */
export interface SealedOutputs {
  readonly results: SealedResults
  /** Hexadecimal SHA-256 of the whole sealed file. */
  readonly sha256: string
  /** base64url, one per output, in the order of the manifest. */
  readonly commitments: readonly string[]
  /** Hexadecimal SHA-256 of each item's manifest, of an array job. */
  readonly manifests: readonly string[]
}

/** Results of a job, to be read twice: once for the manifest, once for the archive. */
export interface ResultSource {
  readonly job: string
  readonly outcome: OutcomeKind
  readonly recipients: readonly HpkePublicKey[]
  /** Paths as they stand in the archive: `out/…`, `stdout`, `stderr`. */
  readonly files: readonly ArchiveFile[]
  /** Of an array job: what each item that was run left, its paths as those of a single job. */
  readonly items?: readonly Pick<ResultSource, 'outcome' | 'files'>[]
}

/**
 * Seals results to the recipients into a file at `path`: only ciphertext touches the disk. The file's key is wiped.
 * @throws AttestError `DISK_FULL`; `FILE_UNREADABLE` when an output changed while it was read. Nothing is left then.
 */
export async function sealResults(source: ResultSource, path: string): Promise<SealedOutputs> {
  const { manifest, commitments } = await describe(source)
  const items = await describeItems(source)
  const files = [bytesFile('manifest.json', manifest), ...source.files, ...items.files]
  const plaintextSize = await archiveSize(files)
  const random = (size: number): Uint8Array => new Uint8Array(randomBytes(size))
  const { bytes: header, dek } = await createResultHeader({ plaintextSize, job: source.job, recipients: source.recipients, random })
  const root = new RootHasher()
  const sha256 = createHash('sha256')
  let sizeBytes = 0

  async function* file(): AsyncGenerator<Uint8Array> {
    const head = encodeFileHead(header)
    sha256.update(head)
    sizeBytes += head.length
    yield head
    for await (const chunk of sealStream(packArchive(files), { header, dek, random })) {
      sha256.update(chunk)
      await root.update(chunk)
      sizeBytes += chunk.length
      yield chunk
    }
  }

  try {
    await pipeline(file(), createWriteStream(path, { mode: 0o600, flush: true }))
  } catch (cause) {
    await rm(path, { force: true })
    throw diskError(cause)
  } finally {
    dek.wipe()
  }
  return {
    results: { header, root: toBase64Url(await root.finish()), sizeBytes },
    sha256: sha256.digest('hex'),
    commitments,
    manifests: items.manifests,
  }
}

function bytesFile(path: string, bytes: Uint8Array): ArchiveFile {
  return { path, size: bytes.length, read: () => [bytes] }
}

/** Each item with a manifest of its own before it. The salts in it keep its digest, which is public, from telling anything. */
async function describeItems({ job, items = [] }: ResultSource): Promise<{ files: readonly ArchiveFile[]; manifests: readonly string[] }> {
  const files: ArchiveFile[] = []
  const manifests: string[] = []
  for (const [item, source] of items.entries()) {
    const { manifest } = await describe({ job, item, ...source })
    manifests.push(toHex(await crypto.digest('SHA-256', manifest)))
    files.push(bytesFile(itemManifestName(item), manifest))
    for (const file of source.files) files.push({ ...file, path: `${itemFolder(item)}/${file.path}` })
  }
  return { files, manifests }
}

/** The manifest and a salted commitment to each output; the salts are known to the recipients alone. */
async function describe(
  source: Pick<ResultSource, 'job' | 'outcome' | 'files'> & { readonly item?: number },
): Promise<{ manifest: Uint8Array; commitments: string[] }> {
  const outputs = []
  const item = source.item === undefined ? {} : { item: source.item }
  const commitments: string[] = []
  for (const file of source.files) {
    const digest = await digestOf(file)
    const salt = new Uint8Array(randomBytes(32))
    outputs.push({ path: file.path, salt: toBase64Url(salt), sha256: toBase64Url(digest), size: file.size })
    commitments.push(toBase64Url(await crypto.digest('SHA-256', concat(COMMIT_CONTEXT, salt, digest))))
  }
  return { manifest: encodeCanonical({ v: 1, job: source.job, outcome: source.outcome, ...item, outputs }), commitments }
}

async function digestOf(file: ArchiveFile): Promise<Uint8Array> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of file.read()) {
    hash.update(chunk)
    size += chunk.length
  }
  if (size !== file.size) throw new AttestError('FILE_UNREADABLE', 'an output changed while it was read')
  return new Uint8Array(hash.digest())
}
