import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { pack } from 'tar-stream'
import type { ImageSource } from '../../verify/documents/image-source.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Registry } from './config.ts'
import { RegistryReader, refused } from './http.ts'
import {
  type Descriptor,
  type ImageManifest,
  INDEX_TYPES,
  type Layer,
  MANIFEST_TYPES,
  MAX_IMAGE_BYTES,
  MAX_MANIFEST_BYTES,
  parseManifest,
} from './manifest.ts'

/** Longest that a whole image may take. */
const PULL_MS = 15 * 60_000

export interface PullOptions {
  readonly registries: readonly Registry[]
  /** Digest of the image's configuration: what the contract names as the image. */
  readonly image: string
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>
}

/** An image from a registry as a docker-archive in a folder of its own. It is no secret: it may lie on a disk. */
export interface PulledImage {
  readonly path: string
  remove(): Promise<void>
}

/**
 * Pulls an image by the digest of its manifest or index. Checked on the way: every document and blob by the digest and size that the
 * one before it names, and that the configuration is the image of the contract. The layers' `diff_ids` are for the check of
 * docker-archives, which every image passes before it is loaded.
 * @throws AttestError `IMAGE_UNAVAILABLE` for a registry that is not configured or does not answer, or an image that cannot be run
 *   here; `IMAGE_DIGEST_MISMATCH` for bytes that are not the ones that were named.
 */
export async function pullImage(source: ImageSource, options: PullOptions): Promise<PulledImage> {
  const registry = options.registries.find((r) => r.host === source.registry)
  if (registry === undefined) throw new AttestError('IMAGE_UNAVAILABLE', `this host does not pull from the registry ${source.registry}`)
  const reader = new RegistryReader(registry, source.name, { ...options, signal: AbortSignal.timeout(PULL_MS) })
  const manifest = await fetchManifest(reader, source)
  if (manifest.config.digest !== options.image) {
    throw new AttestError(
      'IMAGE_DIGEST_MISMATCH',
      `${source.digest} is the image ${manifest.config.digest}, the contract names ${options.image}`,
    )
  }
  const folder = await mkdtemp(join(tmpdir(), 'sealgate-pull-'))
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    const path = join(folder, 'image.tar')
    await pipeline(Readable.from(archive(reader, manifest, folder)), createWriteStream(path, { mode: 0o600 }))
    return { path, remove }
  } catch (error) {
    await remove()
    throw error instanceof AttestError ? error : refused(source.registry, 'the image could not be stored', error)
  }
}

/** Follows an index once: an index in an index is refused. */
async function fetchManifest(reader: RegistryReader, { digest }: ImageSource): Promise<ImageManifest> {
  const first = await readDocument(reader, 'manifests', { digest, size: MAX_MANIFEST_BYTES }, [...MANIFEST_TYPES, ...INDEX_TYPES])
  const found = parseManifest(first.bytes, first.contentType)
  if ('image' in found) return found.image
  const second = await readDocument(reader, 'manifests', found.next, MANIFEST_TYPES)
  requireDigest(second.bytes.length === found.next.size, found.next.digest)
  const inner = parseManifest(second.bytes, second.contentType)
  if ('image' in inner) return inner.image
  throw new AttestError('IMAGE_UNAVAILABLE', 'the image is an index in an index')
}

/** A document of at most `size` bytes, checked by its digest before anything reads it. */
async function readDocument(
  reader: RegistryReader,
  kind: 'manifests' | 'blobs',
  { digest, size }: Descriptor,
  accept: readonly string[],
): Promise<{ readonly bytes: Buffer; readonly contentType: string }> {
  const { body, contentType } = await reader.get(kind, digest, accept)
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    requireDigest(length <= size, digest)
    chunks.push(chunk)
  }
  const bytes = Buffer.concat(chunks)
  requireDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}` === digest, digest)
  return { bytes, contentType }
}

/** Each layer goes to a file of its own first: a tar needs its unpacked size before its bytes. */
async function* archive(reader: RegistryReader, { config, layers }: ImageManifest, folder: string): AsyncGenerator<Uint8Array> {
  const { bytes } = await readDocument(reader, 'blobs', config, ['*/*'])
  requireDigest(bytes.length === config.size, config.digest)
  const id = config.digest.slice('sha256:'.length)
  const names = layers.map((_, i) => `layer-${i}.tar`)
  let left = MAX_IMAGE_BYTES
  const sizes: number[] = []
  for (const [i, layer] of layers.entries()) {
    const size = await unpackLayer(reader, layer, join(folder, names[i] ?? ''), left)
    left -= size
    sizes.push(size)
  }
  const tar = pack()
  const writing = (async () => {
    await entry(tar, `${id}.json`, bytes.length, [bytes])
    for (const [i, name] of names.entries()) {
      const path = join(folder, name)
      await entry(tar, name, sizes[i] ?? 0, createReadStream(path))
      await rm(path)
    }
    const manifest = Buffer.from(JSON.stringify([{ Config: `${id}.json`, RepoTags: null, Layers: names }]))
    await entry(tar, 'manifest.json', manifest.length, [manifest])
    tar.finalize()
  })()
  writing.catch((error: Error) => tar.destroy(error))
  yield* tar as AsyncIterable<Uint8Array>
  await writing
}

async function entry(
  tar: ReturnType<typeof pack>,
  name: string,
  size: number,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  const sink = tar.entry({ name, size, mode: 0o644, mtime: new Date(0) })
  await pipeline(Readable.from(content), sink)
}

/** Writes a layer unpacked. @returns how many bytes that are: at most `room`. */
async function unpackLayer(reader: RegistryReader, { digest, size, gzip }: Layer, path: string, room: number): Promise<number> {
  const { body } = await reader.get('blobs', digest, ['*/*'])
  const hash = createHash('sha256')
  let received = 0
  let unpacked = 0
  async function* checked(): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      received += chunk.length
      requireDigest(received <= size, digest)
      hash.update(chunk)
      yield chunk
    }
    requireDigest(received === size && `sha256:${hash.digest('hex')}` === digest, digest)
  }
  async function* bounded(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      unpacked += chunk.length
      if (unpacked > room) throw new AttestError('IMAGE_UNAVAILABLE', `the image has more than ${MAX_IMAGE_BYTES} bytes`)
      yield chunk
    }
  }
  const file = await open(path, 'wx', 0o600)
  try {
    const sink = file.createWriteStream()
    if (gzip) await pipeline(checked, createGunzip(), bounded, sink)
    else await pipeline(checked, bounded, sink)
  } catch (cause) {
    if (cause instanceof AttestError) throw cause
    throw new AttestError('IMAGE_UNAVAILABLE', `the layer ${digest} cannot be unpacked`, { cause })
  } finally {
    await file.close().catch(() => undefined)
  }
  return unpacked
}

function requireDigest(holds: boolean, digest: string): void {
  if (!holds) throw new AttestError('IMAGE_DIGEST_MISMATCH', `the registry answers for ${digest} with other bytes`)
}
