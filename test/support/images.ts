import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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
