import { randomUUID } from 'node:crypto'
import { access, chmod, type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { AttestError } from '../verify/errors.ts'

/** Readable by its owner alone: keys, state, results. */
export const PRIVATE = 0o600
/** Certificates and trust files: meant to be handed on. */
export const PUBLIC = 0o644

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'is a folder, not a file',
  ENOTDIR: 'part of the path is not a folder',
  EMFILE: 'too many open files',
}

/** Turns an error of the file system into ours; anything else stays what it is. */
export function fileError(cause: unknown, path: string): unknown {
  if (cause instanceof AttestError) return cause
  const code = (cause as NodeJS.ErrnoException | null)?.code
  if (code === 'EEXIST') return new AttestError('ALREADY_EXISTS', `${path} exists and is not overwritten`, { cause })
  if (code === 'ENOSPC' || code === 'EDQUOT') return new AttestError('DISK_FULL', `no space left to write ${path}`, { cause })
  if (code !== undefined && /^E[A-Z]+$/.test(code)) {
    return new AttestError('FILE_UNREADABLE', `${path}: ${WORDS[code] ?? code}`, { cause })
  }
  return cause
}

async function explained<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw fileError(cause, path)
  }
}

/** @throws AttestError `FILE_UNREADABLE`, `LIMIT_EXCEEDED` above `maxBytes`. */
export function readBytes(path: string, maxBytes: number): Promise<Uint8Array> {
  return explained(path, async () => {
    const { size } = await stat(path)
    if (size > maxBytes) throw new AttestError('LIMIT_EXCEEDED', `${path} has ${size} bytes, at most ${maxBytes} are read`)
    return new Uint8Array(await readFile(path))
  })
}

/** As {@link readBytes}; null where there is no such file. */
export async function readBytesIfThere(path: string, maxBytes: number): Promise<Uint8Array | null> {
  return (await exists(path)) ? readBytes(path, maxBytes) : null
}

export function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** Makes a folder that only its owner can enter; an existing one is left as it is. */
export function makeFolder(path: string): Promise<void> {
  return explained(path, async () => {
    await mkdir(path, { recursive: true, mode: 0o700 })
  })
}

/** @throws AttestError `ALREADY_EXISTS` naming the first path that exists. */
export async function refuseExisting(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const path = join(folder, name)
    if (await exists(path)) throw new AttestError('ALREADY_EXISTS', `${path} exists and is not overwritten`)
  }
}

/** Writes a file that must not exist yet. */
export function writeNew(path: string, data: Uint8Array | string, mode: number): Promise<void> {
  return explained(path, () => writeDurably(path, data, mode))
}

/**
 * Replaces a file in one step: after a crash the old content or the new one is there, never a part.
 */
export function replaceFile(path: string, data: Uint8Array | string, mode: number): Promise<void> {
  return explained(path, () =>
    withTemporary(path, async (temporary) => {
      await writeDurably(temporary, data, mode)
      await rename(temporary, path)
    }),
  )
}

/**
 * Overwrites a file with zeros and removes it; one that is not there is fine. Overwriting is worth what the file system makes of it:
 * one that copies on write, or a disk that spreads writes, keeps the old blocks for a while.
 */
export function destroyFile(path: string): Promise<void> {
  return explained(path, async () => {
    if (!(await exists(path))) return
    const file = await open(path, 'r+')
    try {
      const { size } = await file.stat()
      await file.write(new Uint8Array(size), 0, size, 0)
      await file.sync()
    } finally {
      await file.close()
    }
    await rm(path)
  })
}

/** Gives `work` a path beside `path`, which is removed if `work` fails. `work` renames it when it is complete. */
export async function withTemporary<T>(path: string, work: (temporary: string) => Promise<T>): Promise<T> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.part`)
  try {
    return await work(temporary)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw error
  }
}

/** Writes at the file's position, whatever a single call takes. */
export async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.length; ) done += (await file.write(chunk, done)).bytesWritten
}

async function writeDurably(path: string, data: Uint8Array | string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode)
  try {
    await file.writeFile(data)
    await file.sync()
  } catch (error) {
    await file.close()
    await rm(path, { force: true })
    throw error
  }
  await file.close()
  // The mode given to open is cut by the umask, which may also take what a shared file needs.
  await chmod(path, mode)
}

/** Makes the names of a folder's files durable, as syncing a file does its content. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } catch (cause) {
    throw fileError(cause, path)
  } finally {
    await handle.close()
  }
}
