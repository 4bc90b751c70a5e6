import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { crypto } from '#crypto'
import { openResultKey, openStream, readSealedFile } from '../../seal/index.ts'
import { concat, fromBase64Url, toBase64Url, toHex, utf8 } from '../../verify/bytes/bytes.ts'
import { itemFolder, itemManifestName } from '../../verify/documents/array.ts'
import type { ResultHeader } from '../../verify/documents/header.ts'
import type { Predicate, Statement } from '../../verify/documents/statement.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Client } from '../client.ts'
import { exists, fileError, PRIVATE, writeNew } from '../files.ts'
import type { Owner } from '../owner.ts'
import {
  type ArchiveEntry,
  badArchive,
  MANIFEST_NAME,
  type Manifest,
  type ManifestOutput,
  parseManifest,
  readArchive,
  readSmall,
} from './archive.ts'

/** What a verified receipt says of the results. Only a statement whose receipt file was accepted may be used here. */
type VerifiedStatement = Pick<Statement, 'subject' | 'predicate'>

export interface OpenedResults {
  readonly folder: string
  readonly files: readonly { readonly path: string; readonly size: number }[]
}

export interface ResultsRequest {
  readonly client: Client
  readonly owner: Owner
  readonly statement: VerifiedStatement
  /** Folder to make; must not exist. */
  readonly folder: string
  readonly signal?: AbortSignal
  readonly onProgress?: (done: number, total: number) => void
}

const SUBJECT = 'results.sealed'
const OUTPUT_CONTEXT = utf8('sealgate/output/v1')

/**
 * Fetches the sealed results that a verified receipt names, opens them and writes them to a new folder. The folder
 * appears only when the file's digest, every segment and every output's commitment have been checked.
 * @returns null for a job without results.
 * @throws AttestError `RECEIPT_INCONSISTENT`, `UNWRAP_FAILED`, `SEGMENT_INVALID`, `ALREADY_EXISTS`.
 */
export async function fetchResults(request: ResultsRequest): Promise<OpenedResults | null> {
  const { client, statement } = request
  const subject = statement.subject.find((s) => s.name === SUBJECT)
  if (subject === undefined) return null
  const folder = resolve(request.folder)
  if (await exists(folder)) throw new AttestError('ALREADY_EXISTS', `${folder} exists and is not overwritten`)
  const options = request.signal === undefined ? {} : { signal: request.signal }
  const remote = await client.results(statement.predicate.jobId, options)
  if (remote === null) throw badArchive('the receipt names results, the gateway has none')
  const work = join(dirname(folder), `.${basename(folder)}.${randomUUID()}.part`)
  try {
    await mkdir(work, { mode: 0o700, recursive: true })
    const sealed = join(work, 'sealed')
    const digest = await download(request, remote, sealed)
    if (digest !== subject.digest.sha256) throw badArchive('the results are not those that the receipt names')
    const opened = join(work, 'opened')
    const files = await openInto(request, sealed, opened)
    await rename(opened, folder)
    return { folder, files }
  } catch (cause) {
    throw fileError(cause, folder)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function download(
  { client, signal, onProgress }: ResultsRequest,
  remote: { readonly blobId: string; readonly sizeBytes: number },
  path: string,
): Promise<string> {
  const hash = createHash('sha256')
  const file = await open(path, 'wx', PRIVATE)
  try {
    let done = 0
    for await (const chunk of client.download(remote.blobId, remote.sizeBytes, signal === undefined ? {} : { signal })) {
      hash.update(chunk)
      await file.writev([chunk])
      done += chunk.length
      onProgress?.(done, remote.sizeBytes)
    }
  } finally {
    await file.close()
  }
  return hash.digest('hex')
}

async function openInto({ owner, statement }: ResultsRequest, path: string, folder: string): Promise<OpenedResults['files']> {
  const { predicate } = statement
  const sealed = await readSealedFile(createReadStream(path) as AsyncIterable<Uint8Array>)
  try {
    const header = checkHeader(sealed.header, predicate)
    const dek = await openResultKey(header, owner.recipient)
    try {
      return await writeArchive(openStream(sealed.stream, { header: sealed.headerBytes, dek }), statement, folder)
    } finally {
      dek.wipe()
    }
  } finally {
    await sealed.close()
  }
}

function checkHeader(header: { readonly kind: string }, predicate: Predicate): ResultHeader {
  if (header.kind !== 'result') throw badArchive('the sealed file is a dataset')
  const result = header as ResultHeader
  if (result.job !== predicate.job) throw badArchive('the sealed file belongs to another job')
  return result
}

/** Files of an archive that one manifest lists. */
interface Section {
  /** Folder of an item with a slash; empty for the whole. */
  readonly prefix: string
  readonly outputs: readonly ManifestOutput[]
  /** Of the receipt, one for each output; null where it names the manifest itself. */
  readonly commitments: readonly (string | undefined)[] | null
}

/** The manifest of the whole with its files; then, of an array job, that of each item that was run with its files. */
async function writeArchive(
  plaintext: AsyncIterable<Uint8Array>,
  statement: VerifiedStatement,
  folder: string,
): Promise<OpenedResults['files']> {
  await mkdir(folder, { mode: 0o700 })
  const manifests = statement.subject.slice(1)
  const written: { readonly path: string; readonly size: number }[] = []
  let section: Section | null = null
  let [sections, done] = [0, 0]
  for await (const entry of readArchive(plaintext)) {
    if (section === null || done === section.outputs.length) {
      section = sections === 0 ? await readManifest(entry, statement.predicate) : await readItem(entry, statement, sections - 1, folder)
      sections++
      done = 0
      continue
    }
    const output: ManifestOutput | undefined = section.outputs[done]
    const path = `${section.prefix}${output?.path ?? ''}`
    if (output === undefined || path !== entry.name || output.size !== entry.size) {
      throw badArchive(`entry ${JSON.stringify(entry.name)} is not the next one of the manifest`)
    }
    await writeOutput(entry, { ...output, path }, section.commitments === null ? null : section.commitments[done], folder)
    written.push({ path, size: output.size })
    done++
  }
  if (section === null || sections !== 1 + manifests.length || done !== section.outputs.length) throw badArchive('the archive ends early')
  return written
}

async function readManifest(entry: ArchiveEntry, predicate: Predicate): Promise<Section> {
  if (entry.name !== MANIFEST_NAME) throw badArchive('the archive does not begin with its manifest')
  const { outputs } = checkManifest(parseManifest(await readSmall(entry)), predicate, undefined)
  if (outputs.length !== predicate.outputs.length) {
    throw badArchive(`the receipt commits to ${predicate.outputs.length} outputs, the manifest lists ${outputs.length}`)
  }
  return { prefix: '', outputs, commitments: predicate.outputs.map((o) => o.commitment) }
}

/** The manifest of an item is kept: the receipt names it by its plain digest. */
async function readItem(entry: ArchiveEntry, { subject, predicate }: VerifiedStatement, index: number, folder: string): Promise<Section> {
  const named = subject[1 + index]
  const name = itemManifestName(index)
  if (entry.name !== name || named?.name !== name)
    throw badArchive(`entry ${JSON.stringify(entry.name)} is not the next one of the receipt`)
  const bytes = await readSmall(entry)
  if (toHex(await crypto.digest('SHA-256', bytes)) !== named.digest.sha256) throw badArchive(`${name} is not what the receipt names`)
  const manifest = checkManifest(parseManifest(bytes), predicate, index)
  if (manifest.outcome !== predicate.items?.[index]?.kind) throw badArchive(`${name} tells of another outcome than the receipt`)
  const path = join(folder, name)
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await writeNew(path, bytes, PRIVATE)
  return { prefix: `${itemFolder(index)}/`, outputs: manifest.outputs, commitments: null }
}

function checkManifest(manifest: Manifest, predicate: Predicate, item: number | undefined): Manifest {
  if (manifest.job !== predicate.job) throw badArchive('the manifest belongs to another job')
  if (manifest.item !== item) throw badArchive('the manifest belongs to another item')
  return manifest
}

async function writeOutput(
  entry: ArchiveEntry,
  output: ManifestOutput,
  committed: string | undefined | null,
  folder: string,
): Promise<void> {
  const path = join(folder, output.path)
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const hash = createHash('sha256')
  // `wx`: two names that a file system takes for one must not overwrite each other.
  const file = await open(path, 'wx', PRIVATE)
  try {
    for await (const chunk of entry.content) {
      hash.update(chunk)
      await file.writev([chunk])
    }
  } finally {
    await file.close()
  }
  const digest = new Uint8Array(hash.digest())
  const commitment = toBase64Url(await crypto.digest('SHA-256', concat(OUTPUT_CONTEXT, fromBase64Url(output.salt), digest)))
  if (toBase64Url(digest) !== output.sha256 || (committed !== null && commitment !== committed))
    throw badArchive(`${output.path} is not what the receipt commits to`)
}
