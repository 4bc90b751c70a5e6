import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileError } from '../client/files.ts'

/** A file by its path. */
export interface NamedFile {
  readonly path: string
  readonly bytes: Uint8Array
}

/**
 * Reads at most one byte more than `limit`: enough for the verifier to see that it is too much, however large the file is.
 * @throws AttestError `FILE_UNREADABLE`.
 */
export async function readUpTo(path: string, limit: number): Promise<Uint8Array> {
  try {
    const file = await open(path)
    try {
      const parts: Uint8Array[] = []
      for await (const part of file.createReadStream({ end: limit, autoClose: false })) parts.push(part as Uint8Array)
      return new Uint8Array(Buffer.concat(parts))
    } finally {
      await file.close()
    }
  } catch (cause) {
    throw fileError(cause, path)
  }
}

/** The file, or every file that lies in the folder, by name. Folders in it are left out. */
export async function readPaths(paths: readonly string[], limit: number): Promise<readonly NamedFile[]> {
  const files: NamedFile[] = []
  for (const path of paths) {
    for (const file of await filesAt(path)) files.push({ path: file, bytes: await readUpTo(file, limit) })
  }
  return files
}

async function filesAt(path: string): Promise<readonly string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path]
    const entries = await readdir(path, { withFileTypes: true })
    return entries
      .filter((e) => !e.isDirectory())
      .map((e) => join(path, e.name))
      .sort()
  } catch (cause) {
    throw fileError(cause, path)
  }
}
