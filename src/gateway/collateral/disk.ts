import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AttestError } from '../../verify/errors.ts'

/** Disk calls that a test may fail on purpose. */
export interface CollateralDisk {
  readonly write: (handle: FileHandle, bytes: Uint8Array) => Promise<void>
  readonly rename: (from: string, to: string) => Promise<void>
}

export const DISK: CollateralDisk = { write: (handle, bytes) => handle.writeFile(bytes), rename }

export function sha256Hex(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** @throws AttestError `DISK_FULL`, `FILE_UNREADABLE` for any other failure of the file system. */
export async function diskCall<T>(path: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (cause) {
    if (cause instanceof AttestError) throw cause
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOSPC' || code === 'EDQUOT') throw new AttestError('DISK_FULL', `no space is left in ${path}`, { cause })
    throw new AttestError('FILE_UNREADABLE', `${path} cannot be used (${code ?? 'unknown'})`, { cause })
  }
}

/** Makes a folder that its owner alone may change; what is in it is public. */
export function makeFolder(path: string): Promise<void> {
  return diskCall(path, async () => {
    await mkdir(path, { recursive: true, mode: 0o755 })
  })
}

/** Writes a file in one step. When it returns, name and content are durable; a crash before leaves the old file or a `.part`. */
export async function writeAtomically(disk: CollateralDisk, folder: string, name: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(folder, `.${randomUUID()}.part`)
  await diskCall(folder, async () => {
    const handle = await open(temporary, 'wx', 0o644)
    try {
      await disk.write(handle, bytes)
      await handle.sync()
    } catch (error) {
      await handle.close()
      await rm(temporary, { force: true })
      throw error
    }
    await handle.close()
    await disk.rename(temporary, join(folder, name))
    await syncFolder(folder)
  })
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The content, or null where there is no such file or it is larger than wanted. */
export async function readIfThere(path: string, maxBytes: number): Promise<Uint8Array | null> {
  try {
    const { size } = await stat(path)
    return size > maxBytes ? null : new Uint8Array(await readFile(path))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new AttestError('FILE_UNREADABLE', `${path} cannot be read`, { cause })
  }
}

/** Names of the files in a folder; none where there is no folder. */
export async function fileNames(path: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true })
    return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new AttestError('FILE_UNREADABLE', `${path} cannot be read`, { cause })
  }
}
