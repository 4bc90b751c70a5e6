import * as z from 'zod'

/** Where an image can be pulled from: a repository of a registry and the digest of a manifest or index in it. */
export interface ImageSource {
  /** `host` or `host:port`. */
  readonly registry: string
  readonly name: string
  /** `sha256:` and 64 hexadecimal digits. */
  readonly digest: string
}

/** A registry's host must show that it is one, or `library/x` could be read as a host. */
const HOST = /^(?:[a-z0-9-]+(?:\.[a-z0-9-]+)+|localhost)(?::[1-9]\d{0,4})?$|^[a-z0-9-]+:[1-9]\d{0,4}$/
/** `<name>` of the OCI Distribution Specification 1.1, "Pulling manifests". */
const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const DIGEST = /^sha256:[0-9a-f]{64}$/
const MAX_TEXT = 512

/** Reads `HOST[:PORT]/NAME@sha256:DIGEST`; null for anything else. A tag, alone or beside a digest, is no part of it. */
export function parseImageSource(text: string): ImageSource | null {
  if (text.length > MAX_TEXT) return null
  const [place = '', digest = '', ...rest] = text.split('@')
  const slash = place.indexOf('/')
  const [registry, name] = [place.slice(0, slash), place.slice(slash + 1)]
  if (slash < 1 || rest.length > 0 || !HOST.test(registry) || !NAME.test(name) || !DIGEST.test(digest)) return null
  return { registry, name, digest }
}

export const imageSourceField: z.ZodType<string> = z
  .string()
  .refine((text) => parseImageSource(text) !== null, { error: 'want HOST/NAME@sha256:DIGEST: a tag names nothing for certain' })
