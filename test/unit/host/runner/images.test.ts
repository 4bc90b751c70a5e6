import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { pack } from 'tar-stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { dockerArchive } from '../../../../enclave-images/docker-archive.mjs'
import { measureDockerArchive } from '../../../../src/host/runner/docker-archive.ts'
import { DEFAULT_IMAGES, listImages, loadImage } from '../../../../src/host/runner/images.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { writeRecipe } from '../../../support/images.ts'
import { TABULAR } from '../../../support/run-request.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'images-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const unavailable = expect.objectContaining({ code: 'IMAGE_UNAVAILABLE' })
const mismatch = expect.objectContaining({ code: 'IMAGE_DIGEST_MISMATCH' })

describe('loadImage', () => {
  it('loads both shipped images by their digests', async () => {
    const wasm = await loadImage(DEFAULT_IMAGES, TABULAR.images.wasm)
    expect(wasm.runner === 'wasm' && `sha256:${sha256(wasm.module)}`).toBe(TABULAR.images.wasm.digest)
    expect(await loadImage(DEFAULT_IMAGES, TABULAR.images.docker)).toMatchObject({ runner: 'docker' })
    expect((await listImages(DEFAULT_IMAGES)).map((l) => l.image)).toEqual(expect.arrayContaining(Object.values(TABULAR.images)))
  })

  it('refuses a digest that no recipe names, and one of the other kind', async () => {
    await expect(loadImage(DEFAULT_IMAGES, { runner: 'wasm', digest: `sha256:${'0'.repeat(64)}` })).rejects.toEqual(unavailable)
    await expect(loadImage(DEFAULT_IMAGES, { ...TABULAR.images.wasm, runner: 'docker' })).rejects.toEqual(unavailable)
  })

  it('refuses bytes that do not have the digest of their recipe', async () => {
    const image = await writeRecipe(folder, 'm', { runner: 'wasm', digest: `sha256:${sha256(Buffer.from('one'))}` }, Buffer.from('two'))
    await expect(loadImage(folder, image)).rejects.toEqual(mismatch)
    rmSync(join(folder, 'm/image'))
    await expect(loadImage(folder, image)).rejects.toEqual(unavailable)
  })

  it('refuses recipes that are broken or point out of their folder', async () => {
    await expect(listImages(join(folder, 'none'))).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    mkdirSync(join(folder, 'r'))
    const write = (text: string) => writeFileSync(join(folder, 'r/measurement.golden.json'), text)
    write('{')
    await expect(listImages(folder)).rejects.toMatchObject({ code: 'JSON_MALFORMED' })
    for (const file of ['../x', '/etc/passwd', 'a/../../x', 'a//b', '']) {
      write(JSON.stringify({ v: 1, name: 'r', images: [{ ...TABULAR.images.wasm, file }] }))
      await expect(listImages(folder), file).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' })
    }
  })
})

describe('measureDockerArchive', () => {
  const measure = (bytes: Uint8Array) => {
    writeFileSync(join(folder, 'image.tar'), bytes)
    return measureDockerArchive(join(folder, 'image.tar'))
  }
  const program = { name: 'program', mode: 0o755, content: Buffer.from('program') }
  const image = { files: [program], entrypoint: ['/program'] }

  it('finds the digest that the engine will give', async () => {
    const { digest, archive } = await dockerArchive(image)
    expect(await measure(archive)).toBe(digest)
    expect((await dockerArchive(image)).archive.equals(archive)).toBe(true)
  })

  it('never takes a changed archive for the same image', async () => {
    const { digest, archive } = await dockerArchive(image)
    const outcomes = new Set<string>()
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: archive.length - 1 }), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const changed = Buffer.from(archive)
        changed[at] = (changed[at] ?? 0) ^ flip
        const measured = await measure(changed).catch((error) => {
          if (!(error instanceof AttestError)) throw error
          return error.code
        })
        outcomes.add(measured)
        // Bytes outside of configuration and layer (times in headers, padding) do not matter to what runs.
        return measured !== digest || (await sameContent(changed, archive))
      }),
      { numRuns: 300 },
    )
    expect([...outcomes].sort()).toEqual(expect.arrayContaining(['IMAGE_DIGEST_MISMATCH', 'IMAGE_UNAVAILABLE']))
  })

  it('refuses every truncation', async () => {
    const { archive } = await dockerArchive(image)
    for (let length = 0; length < archive.length - 1024; length += 512) {
      await expect(measure(archive.subarray(0, length)), String(length)).rejects.toBeInstanceOf(AttestError)
    }
  })

  it('refuses another layer under the same configuration, and another configuration for the same layer', async () => {
    const parts = await partsOf(image)
    const other = await partsOf({ ...image, files: [{ ...program, content: Buffer.from('evil!!!') }] })
    await expect(measure(await tarOf({ ...parts, 'layer.tar': other.layer }))).rejects.toEqual(mismatch)
    await expect(measure(await tarOf({ ...parts, [parts.configName]: other.config }))).rejects.toEqual(mismatch)
  })

  it('refuses entries that the manifest does not name, names twice, or tags', async () => {
    const parts = await partsOf(image)
    await expect(measure(await tarOf({ ...parts, extra: Buffer.from('x') }))).rejects.toEqual(unavailable)
    for (const change of [{ Layers: ['layer.tar', 'layer.tar'] }, { Layers: [] }, { RepoTags: ['a:latest'] }, { Config: '../x' }]) {
      const manifest = Buffer.from(JSON.stringify([{ Config: parts.configName, RepoTags: null, Layers: ['layer.tar'], ...change }]))
      await expect(measure(await tarOf({ ...parts, manifest })), JSON.stringify(change)).rejects.toBeInstanceOf(AttestError)
    }
  })

  it('refuses a configuration for another machine', async () => {
    const { archive } = await dockerArchive(image)
    const text = archive.toString('latin1').replace('"architecture":"amd64"', '"architecture":"arm64"')
    await expect(measure(Buffer.from(text, 'latin1'))).rejects.toEqual(unavailable)
  })

  interface Parts {
    readonly configName: string
    readonly config: Buffer
    readonly layer: Buffer
    readonly manifest: Buffer
  }

  async function partsOf(of: Parameters<typeof dockerArchive>[0]): Promise<Parts> {
    const { digest, archive } = await dockerArchive(of)
    const entries = entriesOf(archive)
    const configName = `${digest.slice(7)}.json`
    const part = (name: string) => entries.get(name) ?? Buffer.alloc(0)
    return { configName, config: part(configName), layer: part('layer.tar'), manifest: part('manifest.json') }
  }

  async function tarOf({ configName, config, layer, manifest, ...extra }: Parts & Record<string, Buffer | string>): Promise<Buffer> {
    const files: Record<string, Buffer | string> = { [configName]: config, 'layer.tar': layer, 'manifest.json': manifest, ...extra }
    const stream = pack()
    for (const [name, content] of Object.entries(files)) stream.entry({ name }, content)
    stream.finalize()
    const chunks: Uint8Array[] = []
    for await (const chunk of stream as AsyncIterable<Uint8Array>) chunks.push(chunk)
    return Buffer.concat(chunks)
  }

  /** Plain ustar, as the recipe writes it. */
  function entriesOf(archive: Buffer): Map<string, Buffer> {
    const entries = new Map<string, Buffer>()
    for (let at = 0; archive[at] !== 0 && at < archive.length; ) {
      const name = archive.toString('latin1', at, at + 100).replace(/\0.*$/s, '')
      const size = Number.parseInt(archive.toString('latin1', at + 124, at + 135), 8)
      entries.set(name, archive.subarray(at + 512, at + 512 + size))
      at += 512 + Math.ceil(size / 512) * 512
    }
    return entries
  }

  async function sameContent(a: Buffer, b: Buffer): Promise<boolean> {
    const [left, right] = [entriesOf(a), entriesOf(b)]
    const names = [...right.keys()].filter((name) => name !== 'manifest.json')
    return names.every((name) => left.get(name)?.equals(right.get(name) ?? Buffer.alloc(0)))
  }
})

describe('shipped artifacts', () => {
  it('are the ones their recipes name', async () => {
    for (const { path } of await listImages(DEFAULT_IMAGES)) expect(existsSync(path) && readFileSync(path).length).toBeLessThan(300_000)
  })
})
