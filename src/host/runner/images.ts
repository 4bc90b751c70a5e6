import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import type { ImageRef } from '../../verify/documents/contract.ts'
import { checkDocument, textField } from '../../verify/documents/fields.ts'
import { AttestError } from '../../verify/errors.ts'
import { measureDockerArchive } from './docker-archive.ts'

/** The recipes that come with this program. */
export const DEFAULT_IMAGES: string = fileURLToPath(new URL('../../../enclave-images', import.meta.url))

/** Name of the file in a recipe's folder that lists its images with their digests. */
export const MEASUREMENT_FILE = 'measurement.golden.json'

interface Recipe {
  readonly v: 1
  readonly name: string
  readonly images: readonly (ImageRef & { readonly file: string })[]
}

const recipeSchema: z.ZodType<Recipe> = z.strictObject({
  v: z.literal(1),
  name: textField(64),
  images: z
    .array(
      z.strictObject({
        runner: z.enum(['docker', 'wasm']),
        digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
        file: z.string().regex(/^[a-z0-9][a-z0-9.-]*(\/[a-z0-9][a-z0-9.-]*)*$/),
      }),
    )
    .max(16),
})

const MAX_MODULE_BYTES = 256 * 1024 ** 2

/** An image that a recipe names. What the file really holds is checked by {@link loadImage}. */
export interface ListedImage {
  readonly name: string
  readonly image: ImageRef
  readonly path: string
}

/** An image whose bytes have the digest by which it was asked for. */
export type LoadedImage = { readonly runner: 'docker'; readonly path: string } | { readonly runner: 'wasm'; readonly module: Uint8Array }

/**
 * Reads the recipes of a folder: each sub-folder with a {@link MEASUREMENT_FILE}.
 * @throws AttestError `FILE_UNREADABLE` for a missing folder, `JSON_MALFORMED` or `DOCUMENT_INVALID` for a broken recipe.
 */
export async function listImages(folder: string): Promise<readonly ListedImage[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause) => {
    throw new AttestError('FILE_UNREADABLE', `the images folder ${folder} cannot be read`, { cause })
  })
  const found: ListedImage[] = []
  for (const entry of entries.filter((e) => e.isDirectory())) {
    const recipe = await readRecipe(join(folder, entry.name))
    if (recipe === null) continue
    for (const { runner, digest, file } of recipe.images) {
      found.push({ name: recipe.name, image: { runner, digest }, path: join(folder, entry.name, file) })
    }
  }
  return found
}

async function readRecipe(folder: string): Promise<Recipe | null> {
  const path = join(folder, MEASUREMENT_FILE)
  const text = await readFile(path, 'utf8').catch(() => null)
  if (text === null) return null
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new AttestError('JSON_MALFORMED', 'not JSON', { at: path, cause })
  }
  return checkDocument(path, recipeSchema, value)
}

/** The recipe that names an image; undefined where none does. */
export async function findRecipe(folder: string, image: ImageRef): Promise<ListedImage | undefined> {
  return (await listImages(folder)).find((l) => l.image.runner === image.runner && l.image.digest === image.digest)
}

/**
 * Finds an image by its digest and checks that its bytes have it: a module by its SHA-256, a docker-archive by the SHA-256
 * of its configuration, which in turn fixes every layer.
 * @throws AttestError `IMAGE_UNAVAILABLE`, `IMAGE_DIGEST_MISMATCH`.
 */
export async function loadImage(folder: string, image: ImageRef): Promise<LoadedImage> {
  const listed = await findRecipe(folder, image)
  if (listed === undefined) throw new AttestError('IMAGE_UNAVAILABLE', `no recipe in ${folder} names ${image.runner} image ${image.digest}`)
  const { loaded, digest } = image.runner === 'wasm' ? await readModule(listed.path) : await readArchive(listed.path)
  if (digest !== image.digest) {
    throw new AttestError('IMAGE_DIGEST_MISMATCH', `${listed.path} has digest ${digest}, its recipe says ${image.digest}`)
  }
  return loaded
}

interface Measured {
  readonly loaded: LoadedImage
  readonly digest: string
}

async function readModule(path: string): Promise<Measured> {
  const module = await readFile(path).catch((cause) => {
    throw new AttestError('IMAGE_UNAVAILABLE', `${path} cannot be read`, { cause })
  })
  if (module.length > MAX_MODULE_BYTES) throw new AttestError('IMAGE_UNAVAILABLE', `${path} is larger than ${MAX_MODULE_BYTES} bytes`)
  return { loaded: { runner: 'wasm', module }, digest: `sha256:${createHash('sha256').update(module).digest('hex')}` }
}

async function readArchive(path: string): Promise<Measured> {
  return { loaded: { runner: 'docker', path }, digest: await measureDockerArchive(path) }
}
