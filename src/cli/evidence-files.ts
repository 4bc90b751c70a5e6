import { open, readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileError } from '../client/files.ts'
import { toBase64, utf8 } from '../verify/bytes/bytes.ts'
import { MAX_EVIDENCE_SIZE } from '../verify/evidence/unwrap.ts'

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

/** Far more than a kernel hands out (Linux drivers/virt/coco: 32 KiB, and what a host's certificate table may hold). */
const MAX_BLOB_SIZE = 1024 * 1024
const MAX_PROVIDER_SIZE = 64

/**
 * Evidence in a file, or in a folder with the attributes of one configfs-tsm report: `outblob`, and where they are there
 * `auxblob` and `provider`. A folder becomes the JSON form of the same.
 * @throws AttestError `FILE_UNREADABLE`, also for a folder without `outblob`.
 */
export async function readEvidence(path: string): Promise<Uint8Array> {
  if (!(await isFolder(path))) return readUpTo(path, MAX_EVIDENCE_SIZE)
  const outblob = await readUpTo(join(path, 'outblob'), MAX_BLOB_SIZE)
  const present = new Set((await filesAt(path)).map((file) => basename(file)))
  const read = async (name: string, limit: number): Promise<Uint8Array | undefined> =>
    present.has(name) ? readUpTo(join(path, name), limit) : undefined
  const [auxblob, provider] = [await read('auxblob', MAX_BLOB_SIZE), await read('provider', MAX_PROVIDER_SIZE)]
  return utf8(
    JSON.stringify({
      outblob: toBase64(outblob),
      ...(auxblob === undefined ? {} : { auxblob: toBase64(auxblob) }),
      ...(provider === undefined ? {} : { provider: new TextDecoder().decode(provider) }),
    }),
  )
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
    if (!(await isFolder(path))) return [path]
    const entries = await readdir(path, { withFileTypes: true })
    return entries
      .filter((e) => !e.isDirectory())
      .map((e) => join(path, e.name))
      .sort()
  } catch (cause) {
    throw fileError(cause, path)
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (cause) {
    throw fileError(cause, path)
  }
}
