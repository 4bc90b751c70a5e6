import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The folder of real evidence, which is not part of this repository (its licences differ): `SEALGATE_VECTORS`, else
 * ../shared/vectors beside the repository. Null where it is missing; then say so and skip.
 */
export function vectorsFolder(room: string): string | null {
  const root = process.env.SEALGATE_VECTORS ?? fileURLToPath(new URL('../../../shared/vectors', import.meta.url))
  const folder = join(root, room)
  if (existsSync(join(folder, 'manifest.json'))) return folder
  console.warn(`SKIPPED: no real ${room} evidence at ${folder}; set SEALGATE_VECTORS to the folder that holds it`)
  return null
}

export function readVector(folder: string, path: string): Uint8Array {
  return new Uint8Array(readFileSync(join(folder, path)))
}

export function readManifest<T>(folder: string): T {
  return JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as T
}
