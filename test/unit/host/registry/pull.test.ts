import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Registry } from '../../../../src/host/registry/index.ts'
import { pullImage } from '../../../../src/host/registry/index.ts'
import { measureDockerArchive } from '../../../../src/host/runner/docker-archive.ts'
import { INDEX, MANIFEST, type TestImage, TestRegistry } from '../../../support/registry.ts'

const LAYERS = [Buffer.alloc(200_000, 'first'), randomBytes(100_000)]
const temporary = process.env.TMPDIR
let registry: TestRegistry
let image: TestImage
let folder: string
const waits: number[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pull-test-'))
  process.env.TMPDIR = folder
})

afterAll(async () => {
  if (temporary === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = temporary
  await rm(folder, { recursive: true })
})

beforeEach(async () => {
  registry = await TestRegistry.start()
  image = registry.putImage(LAYERS)
  waits.length = 0
})

afterEach(async () => {
  await registry.stop()
  expect(await readdir(folder)).toEqual([])
})

interface Pull {
  readonly digest?: string
  readonly image?: string
  readonly registry?: Partial<Registry>
}

/** Digest of what was pulled, measured as every image is before it is loaded. */
async function pull(options: Pull = {}): Promise<string> {
  const pulled = await pullImage(
    { registry: registry.host, name: 'team/app', digest: options.digest ?? image.descriptor.digest },
    {
      registries: [{ host: registry.host, plainHttp: true, ...options.registry }],
      image: options.image ?? image.image,
      sleep: async (ms) => void waits.push(ms),
    },
  )
  try {
    return await measureDockerArchive(pulled.path)
  } finally {
    await pulled.remove()
    expect(existsSync(pulled.path)).toBe(false)
  }
}

const MISMATCH = { code: 'IMAGE_DIGEST_MISMATCH' }
const UNAVAILABLE = { code: 'IMAGE_UNAVAILABLE' }

function indexOf(...entries: readonly object[]): string {
  return registry.putJson({ schemaVersion: 2, mediaType: INDEX, manifests: entries }, INDEX).digest
}

const AMD64 = { platform: { os: 'linux', architecture: 'amd64' } }

describe('pulls', () => {
  it('an image by the digest of its manifest', async () => {
    expect(await pull()).toBe(image.image)
  })

  it('one whose layers are not compressed, and one layer twice', async () => {
    image = registry.putImage([LAYERS[0] as Buffer, LAYERS[0] as Buffer], { gzip: false })
    expect(await pull()).toBe(image.image)
  })

  it('of an index the image for linux/amd64', async () => {
    const arm = registry.putImage([randomBytes(10)]).descriptor
    const attestation = registry.putImage([randomBytes(11)]).descriptor
    const digest = indexOf(
      { ...arm, platform: { os: 'linux', architecture: 'arm64' } },
      { ...attestation, platform: { os: 'unknown', architecture: 'unknown' } },
      { ...image.descriptor, ...AMD64 },
    )
    expect(await pull({ digest })).toBe(image.image)
  })

  it('with a token for this repository alone, whatever scope the registry names', async () => {
    registry.credentials = 'robot:secret'
    expect(await pull({ registry: { credentials: { username: 'robot', password: 'secret' } } })).toBe(image.image)
    expect(registry.requests.filter((r) => r.path.startsWith('/token'))).toHaveLength(1)
    expect(registry.requests[1]?.path).toBe('/token?service=test&scope=repository%3Ateam%2Fapp%3Apull')
  })

  it('after the wait that a registry asks for', async () => {
    let left = 2
    registry.tamper = (_, response) => {
      if (left-- <= 0) return false
      response.writeHead(429, { 'retry-after': '7' }).end()
      return true
    }
    expect(await pull()).toBe(image.image)
    expect(waits).toEqual([7000, 7000])
  })

  it('blobs from where its registry redirects to', async () => {
    registry.tamper = (request, response) => {
      if (!request.url?.includes('/blobs/') || request.url.endsWith('?there')) return false
      response.writeHead(307, { location: `${request.url}?there` }).end()
      return true
    }
    expect(await pull()).toBe(image.image)
  })
})

describe('refuses', () => {
  it('a registry that is not configured, without asking it', async () => {
    await expect(pull({ registry: { host: 'other.example' } })).rejects.toMatchObject(UNAVAILABLE)
    expect(registry.requests).toEqual([])
  })

  it('an image whose configuration is not the one that the contract names', async () => {
    await expect(pull({ image: `sha256:${'0'.repeat(64)}` })).rejects.toMatchObject(MISMATCH)
    expect(registry.requests.some((r) => r.path.includes('/blobs/'))).toBe(false)
  })

  it.each(['manifests', 'blobs'])('other bytes than those named: %s', async (kind) => {
    registry.tamper = (request, response) => {
      if (!request.url?.includes(`/${kind}/`)) return false
      response.writeHead(200, { 'content-type': MANIFEST }).end('{"schemaVersion":2}')
      return true
    }
    await expect(pull()).rejects.toMatchObject(MISMATCH)
  })

  it('a manifest without end', async () => {
    registry.tamper = (_, response) => {
      response.writeHead(200, { 'content-type': MANIFEST }).end(Buffer.alloc(5 * 1024 ** 2, ' '))
      return true
    }
    await expect(pull()).rejects.toMatchObject(MISMATCH)
  })

  it('a blob that breaks off', async () => {
    registry.tamper = (request, response) => {
      if (!request.url?.includes('/blobs/')) return false
      response.writeHead(200, { 'content-length': 1000 })
      response.write('short')
      setImmediate(() => response.destroy())
      return true
    }
    await expect(pull()).rejects.toMatchObject(UNAVAILABLE)
  })

  it.each([1, -1])('a layer whose size is off by %i', async (by) => {
    const { layers, ...rest } = image.manifest as { layers: readonly { size: number }[] }
    const changed = { ...rest, layers: layers.map((l) => ({ ...l, size: l.size + by })) }
    await expect(pull({ digest: registry.putJson(changed, MANIFEST).digest })).rejects.toMatchObject(MISMATCH)
  })

  it('a layer that is not the one of the configuration', async () => {
    image = registry.putImage(LAYERS, { diffIds: [...LAYERS].map(() => `sha256:${'0'.repeat(64)}`) })
    await expect(pull()).rejects.toMatchObject(MISMATCH)
  })

  it('a layer that is no gzip', async () => {
    const { config } = image.manifest as { config: object }
    const layer = registry.put(Buffer.from('not gzip'))
    const layers = [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: layer, size: 8 }]
    const { digest } = registry.putJson({ schemaVersion: 2, config, layers }, MANIFEST)
    await expect(pull({ digest })).rejects.toMatchObject(UNAVAILABLE)
  })

  it.each<[string, (m: object) => object]>([
    ['is an index too (CVE-2021-41190)', (m) => ({ ...m, manifests: [] })],
    ['says that it is another type', (m) => ({ ...m, mediaType: INDEX })],
    ['is of another schema', (m) => ({ ...m, schemaVersion: 1 })],
    ['has no layers', (m) => ({ ...m, layers: [] })],
    ['is an artifact', (m) => ({ ...m, config: { ...image.descriptor, mediaType: 'application/vnd.oci.empty.v1+json' } })],
  ])('a manifest that %s', async (_, change) => {
    const { digest } = registry.putJson(change(image.manifest), MANIFEST)
    await expect(pull({ digest })).rejects.toMatchObject(UNAVAILABLE)
  })

  it('an index without the platform, with it twice, or in an index', async () => {
    const entry = { ...image.descriptor, ...AMD64 }
    await expect(pull({ digest: indexOf() })).rejects.toMatchObject(UNAVAILABLE)
    await expect(pull({ digest: indexOf(entry, entry) })).rejects.toMatchObject(UNAVAILABLE)
    const inner = indexOf(entry)
    await expect(pull({ digest: indexOf({ ...entry, mediaType: INDEX, digest: inner }) })).rejects.toMatchObject(UNAVAILABLE)
  })

  it('wrong credentials, without repeating them', async () => {
    registry.credentials = 'robot:secret'
    const failure = await pull({ registry: { credentials: { username: 'robot', password: 'wrong-word' } } }).catch((e: Error) => e)
    expect(failure).toMatchObject(UNAVAILABLE)
    expect(String((failure as Error).stack)).not.toMatch(/wrong-word|robot/)
  })

  it('a token service elsewhere: no credentials go there', async () => {
    const thief = await TestRegistry.start()
    registry.tamper = (_, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${thief.host}/token"` }).end()
      return true
    }
    await expect(pull({ registry: { credentials: { username: 'robot', password: 'secret' } } })).rejects.toMatchObject(UNAVAILABLE)
    expect(thief.requests).toEqual([])
    await thief.stop()
  })

  it('a redirect to another host without TLS, and one without end', async () => {
    const inside = await TestRegistry.start()
    for (const to of [`http://${inside.host}/latest/meta-data`, 'file:///etc/passwd', 'http://user:word@127.0.0.1/']) {
      registry.tamper = (_, response) => {
        response.writeHead(302, { location: to }).end()
        return true
      }
      await expect(pull()).rejects.toMatchObject(UNAVAILABLE)
    }
    expect(inside.requests).toEqual([])
    registry.tamper = (request, response) => {
      response.writeHead(302, { location: request.url }).end()
      return true
    }
    await expect(pull()).rejects.toMatchObject(UNAVAILABLE)
    await inside.stop()
  })

  it.each([
    ['a registry that asks to wait for an hour', 429, '3600', 0],
    ['one that is always busy', 503, '1', 3],
    ['one that does not have the image', 404, '1', 0],
  ])('%s', async (_, status, retryAfter, slept) => {
    registry.tamper = (__, response) => {
      response.writeHead(status, { 'retry-after': retryAfter }).end()
      return true
    }
    await expect(pull()).rejects.toMatchObject(UNAVAILABLE)
    expect(waits).toHaveLength(slept)
  })
})
