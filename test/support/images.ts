import { execFileSync } from 'node:child_process'
import { mkdir, readFile, realpath, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { pack } from 'tar-stream'
import { dockerArchive } from '../../enclave-images/docker-archive.mjs'
import type { ImageRef } from '../../src/verify/documents/contract.ts'

/** Writes a recipe for one image, as enclave-images/ has them, and returns the image. */
export async function writeRecipe(images: string, name: string, image: ImageRef, content: Uint8Array): Promise<ImageRef> {
  await mkdir(join(images, name), { recursive: true })
  await writeFile(join(images, name, 'image'), content)
  const recipe = { v: 1, name, images: [{ ...image, file: 'image' }] }
  await writeFile(join(images, name, 'measurement.golden.json'), JSON.stringify(recipe))
  return image
}

/** The one layer of {@link writeBusybox}'s image, as a tar. */
export async function busyboxLayer(): Promise<Uint8Array> {
  const tar = pack()
  tar.entry({ name: 'bin/', type: 'directory', mode: 0o755 })
  tar.entry({ name: 'bin/busybox', mode: 0o755 }, await readFile('/bin/busybox'))
  tar.entry({ name: 'bin/sh', type: 'symlink', linkname: 'busybox' })
  tar.finalize()
  return buffer(tar)
}

/** A shell in a container image: the whole of Debian's busybox-static, arguments go to `sh -c`. */
export async function writeBusybox(
  images: string,
  config: object = {},
  name = 'busybox',
  files: readonly { readonly name: string; readonly mode: number; readonly content: Uint8Array }[] = [],
): Promise<ImageRef> {
  const content = await readFile('/bin/busybox')
  const { digest, archive } = await dockerArchive({
    files: [
      { name: 'bin/', type: 'directory', mode: 0o755 },
      { name: 'bin/busybox', mode: 0o755, content },
      { name: 'bin/sh', type: 'symlink', linkname: 'busybox' },
      ...files,
    ],
    entrypoint: ['/bin/sh', '-c'],
    config,
  })
  return writeRecipe(images, name, { runner: 'docker', digest }, archive)
}

/** This Node with a program of one file, /server.mjs, in a container image. */
export async function writeNodeImage(images: string, program: string, name = 'node-server'): Promise<ImageRef> {
  const node = await realpath(process.execPath)
  const listed = execFileSync('ldd', [node], { encoding: 'utf8' })
  const libraries = [...listed.matchAll(/(?:=> )?(\/\S+) \(/g)].map(([, path]) => path ?? '')
  const files = await Promise.all(
    [node, ...libraries].map(async (path) => ({ name: path.slice(1), mode: 0o755, content: await readFile(path) })),
  )
  const folders = new Set(files.flatMap((f) => parentsOf(f.name)))
  const { digest, archive } = await dockerArchive({
    files: [
      ...[...folders].sort().map((folder) => ({ name: `${folder}/`, type: 'directory' as const, mode: 0o755 })),
      ...files,
      { name: 'server.mjs', mode: 0o644, content: Buffer.from(program) },
    ],
    entrypoint: [node, '/server.mjs'],
    config: {},
  })
  return writeRecipe(images, name, { runner: 'docker', digest }, archive)
}

function parentsOf(path: string): readonly string[] {
  const parent = dirname(path)
  return parent === '.' ? [] : [...parentsOf(parent), parent]
}
