import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { extract } from 'tar-stream'
import { z } from 'zod'
import { AttestError } from '../../verify/errors.ts'

/** Largest manifest or configuration. Layers are only hashed, never held. */
const MAX_JSON_BYTES = 1024 * 1024
const MAX_ENTRIES = 256

const manifestSchema = z
  .array(
    z.strictObject({
      Config: z.string().regex(/^[0-9a-f]{64}\.json$/),
      RepoTags: z.array(z.string()).max(0).nullable(),
      Layers: z.array(z.string()).min(1).max(127),
    }),
  )
  .length(1)

const configSchema = z.looseObject({
  architecture: z.literal('amd64'),
  os: z.literal('linux'),
  rootfs: z.strictObject({ type: z.literal('layers'), diff_ids: z.array(z.string()) }),
})

interface Entry {
  readonly sha256: string
  /** Content of entries that are small enough to be JSON, else null. */
  readonly content: Buffer | null
}

/**
 * Digest of the one image in a docker-archive (`docker load` format, layers not compressed): SHA-256 of its configuration,
 * which is the engine's image id. The layers are checked against the configuration's `rootfs.diff_ids`, and nothing else
 * may lie in the archive.
 * @throws AttestError `IMAGE_UNAVAILABLE` malformed or not fit to run here, `IMAGE_DIGEST_MISMATCH` parts that do not agree.
 */
export async function measureDockerArchive(path: string): Promise<string> {
  const entries = await readEntries(path)
  const manifest = parse(path, manifestSchema, entries.get('manifest.json'))[0]
  if (manifest === undefined) throw malformed(path, 'want one image')
  const configuration = entries.get(manifest.Config)
  const { rootfs } = parse(path, configSchema, configuration)
  const expected = new Set(['manifest.json', manifest.Config, ...manifest.Layers])
  if (expected.size !== entries.size || expected.size !== manifest.Layers.length + 2)
    throw malformed(path, 'entries that the manifest does not name')
  const layers = manifest.Layers.map((name) => `sha256:${entries.get(name)?.sha256}`)
  const agrees = layers.length === rootfs.diff_ids.length && layers.every((digest, i) => digest === rootfs.diff_ids[i])
  if (configuration?.sha256 !== manifest.Config.slice(0, 64) || !agrees) {
    throw new AttestError('IMAGE_DIGEST_MISMATCH', `the parts of ${path} do not have the digests that it names`)
  }
  return `sha256:${configuration.sha256}`
}

async function readEntries(path: string): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>()
  const reader = extract()
  const feeding = pipeline(createReadStream(path), reader)
  feeding.catch(() => {})
  try {
    for await (const entry of reader) {
      const { name, type, size } = entry.header
      if (type !== 'file' || entries.has(name) || entries.size === MAX_ENTRIES) throw malformed(path, 'an entry that is not expected')
      const hash = createHash('sha256')
      const chunks: Buffer[] = []
      for await (const chunk of entry as AsyncIterable<Buffer>) {
        hash.update(chunk)
        if (size <= MAX_JSON_BYTES) chunks.push(chunk)
      }
      entries.set(name, { sha256: hash.digest('hex'), content: size <= MAX_JSON_BYTES ? Buffer.concat(chunks) : null })
    }
    await feeding
  } catch (cause) {
    if (cause instanceof AttestError) throw cause
    throw new AttestError('IMAGE_UNAVAILABLE', `${path} cannot be read as a docker-archive`, { cause })
  }
  return entries
}

function parse<T>(path: string, schema: z.ZodType<T>, entry: Entry | undefined): T {
  let value: unknown
  try {
    value = JSON.parse(entry?.content?.toString('utf8') ?? '')
  } catch (cause) {
    throw new AttestError('IMAGE_UNAVAILABLE', `${path} has no readable manifest or configuration`, { cause })
  }
  const result = schema.safeParse(value)
  if (!result.success) throw malformed(path, result.error.issues[0]?.message ?? 'not as expected')
  return result.data
}

function malformed(path: string, what: string): AttestError {
  return new AttestError('IMAGE_UNAVAILABLE', `${path} is not a docker-archive that can be run here: ${what}`)
}
