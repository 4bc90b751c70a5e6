import { z } from 'zod'
import { AttestError } from '../../verify/errors.ts'

/** Media types of the OCI Image Specification 1.1, and Docker's own of image manifest version 2, schema 2. */
export const MANIFEST_TYPES: readonly string[] = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
]
export const INDEX_TYPES: readonly string[] = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
]
const CONFIG_TYPES: readonly string[] = ['application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json']
const PLAIN_LAYERS: readonly string[] = ['application/vnd.oci.image.layer.v1.tar']
const GZIP_LAYERS: readonly string[] = ['application/vnd.oci.image.layer.v1.tar+gzip', 'application/vnd.docker.image.rootfs.diff.tar.gzip']

/** As the specification advises registries. */
export const MAX_MANIFEST_BYTES: number = 4 * 1024 ** 2
export const MAX_CONFIG_BYTES: number = 1024 ** 2
/** Of all layers of an image, as they travel and unpacked. */
export const MAX_IMAGE_BYTES: number = 32 * 1024 ** 3

export interface Descriptor {
  readonly digest: string
  readonly size: number
}

export interface Layer extends Descriptor {
  readonly gzip: boolean
}

export interface ImageManifest {
  readonly config: Descriptor
  readonly layers: readonly Layer[]
}

const descriptor = z.looseObject({
  mediaType: z.string(),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  size: z.number().int().min(0).max(MAX_IMAGE_BYTES),
})

const manifestSchema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  config: descriptor.refine((d) => CONFIG_TYPES.includes(d.mediaType) && d.size <= MAX_CONFIG_BYTES, { error: 'not a container image' }),
  layers: z
    .array(
      descriptor.refine((d) => PLAIN_LAYERS.includes(d.mediaType) || GZIP_LAYERS.includes(d.mediaType), {
        error: 'a layer of a kind that is not known here',
      }),
    )
    .min(1)
    .max(127),
  // A document that is manifest and index at once reads differently in different programs (CVE-2021-41190).
  manifests: z.undefined().optional(),
})

const indexSchema = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  manifests: z
    .array(
      descriptor.extend({
        size: z.number().int().min(1).max(MAX_MANIFEST_BYTES),
        platform: z.looseObject({ architecture: z.string(), os: z.string() }).optional(),
      }),
    )
    .max(256),
  config: z.undefined().optional(),
  layers: z.undefined().optional(),
})

/**
 * Reads an image manifest, or of an index the one manifest for linux/amd64.
 * @param contentType - What the registry says that it is; the document may not say otherwise.
 * @throws AttestError `IMAGE_UNAVAILABLE`.
 */
export function parseManifest(bytes: Uint8Array, contentType: string): { readonly image: ImageManifest } | { readonly next: Descriptor } {
  const value = parseJson(bytes)
  if (MANIFEST_TYPES.includes(contentType)) {
    const { mediaType, config, layers } = conform(manifestSchema, value)
    requireType(mediaType, contentType)
    if (layers.reduce((sum, l) => sum + l.size, 0) > MAX_IMAGE_BYTES) throw unfit(`its layers have more than ${MAX_IMAGE_BYTES} bytes`)
    return {
      image: {
        config: { digest: config.digest, size: config.size },
        layers: layers.map((l) => ({ digest: l.digest, size: l.size, gzip: GZIP_LAYERS.includes(l.mediaType) })),
      },
    }
  }
  if (!INDEX_TYPES.includes(contentType)) throw unfit('it is neither an image manifest nor an index')
  const { mediaType, manifests } = conform(indexSchema, value)
  requireType(mediaType, contentType)
  const fitting = manifests.filter(
    (m) => MANIFEST_TYPES.includes(m.mediaType) && m.platform?.os === 'linux' && m.platform.architecture === 'amd64',
  )
  const [only, ...others] = fitting
  if (only === undefined || others.length > 0) throw unfit(`its index has ${fitting.length} images for linux/amd64, want one`)
  return { next: { digest: only.digest, size: only.size } }
}

function requireType(stated: string | undefined, contentType: string): void {
  if (stated !== undefined && stated !== contentType) throw unfit('its mediaType is not what the registry says')
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new AttestError('IMAGE_UNAVAILABLE', 'the manifest is not JSON', { cause })
  }
}

function conform<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (!result.success) throw unfit(result.error.issues[0]?.message ?? 'not as expected')
  return result.data
}

function unfit(what: string): AttestError {
  return new AttestError('IMAGE_UNAVAILABLE', `the image cannot be run here: ${what}`)
}
