import { DEFAULT_IMAGES, listImages } from '../host/runner/images.ts'
import type { ImageRef } from '../verify/documents/contract.ts'
import { AttestError } from '../verify/errors.ts'
import { parseImageDigest } from './options.ts'

/**
 * The images that a reference means: one for `docker:sha256:…` or `wasm:sha256:…`, and for the name of a shipped image
 * one per runner.
 * @throws AttestError `IMAGE_UNAVAILABLE` for a name that is none.
 */
export async function resolveImages(reference: string): Promise<readonly ImageRef[]> {
  const direct = parseImageDigest(reference)
  if (direct !== null) return [direct]
  const listed = await listImages(DEFAULT_IMAGES)
  const images = listed.filter((l) => l.name === reference).map((l) => l.image)
  if (images.length > 0) return images
  const names = [...new Set(listed.map((l) => l.name))].join(', ')
  throw new AttestError('IMAGE_UNAVAILABLE', `"${reference}" is neither RUNNER:sha256:DIGEST nor one of ${names}`)
}
