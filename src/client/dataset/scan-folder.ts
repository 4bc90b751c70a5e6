import { createHash } from 'node:crypto'
import { constants, type Dirent } from 'node:fs'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type ArchiveEntry, type ArchiveFile, MAX_ARCHIVE_ENTRIES, pathProblem } from '../../seal/index.ts'
import { compare, fromUtf8 } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { blankControl } from '../control-characters.ts'
import { fileError } from '../files.ts'

const CHUNK_SIZE = 256 * 1024
/** stat(2): the owner may execute it. */
const OWNER_MAY_EXECUTE = 0o100

/**
 * First pass over a folder: every file and folder below it with size and SHA-256, in the order of an archive. Symbolic links,
 * devices, sockets and pipes are refused, never followed or opened.
 * @throws AttestError `FILE_UNREADABLE` naming the path, `ARCHIVE_INVALID` for a name that an archive cannot hold,
 *   `LIMIT_EXCEEDED` for too many, `CANCELLED`.
 */
export async function scanFolder(root: string, signal?: AbortSignal): Promise<readonly ArchiveEntry[]> {
  const entries: ArchiveEntry[] = []
  await walk('')
  return entries

  async function walk(folder: string): Promise<void> {
    for (const { name, entry } of await list(join(root, folder))) {
      if (signal?.aborted) throw new AttestError('CANCELLED', 'sealing was cancelled')
      const path = folder === '' ? name : `${folder}/${name}`
      const problem = pathProblem(path)
      if (problem !== null) throw new AttestError('ARCHIVE_INVALID', `${shown(join(root, path))} cannot be sealed: ${problem}`)
      if (entries.length === MAX_ARCHIVE_ENTRIES) {
        throw new AttestError('LIMIT_EXCEEDED', `${root} holds more than ${MAX_ARCHIVE_ENTRIES} files and folders`)
      }
      if (entry.isDirectory()) {
        entries.push({ type: 'folder', path })
        await walk(path)
      } else if (entry.isFile()) entries.push(await describe(root, path))
      else throw new AttestError('FILE_UNREADABLE', `${shown(join(root, path))} is ${kindOf(entry)}; only files and folders are sealed`)
    }
  }
}

/** Entries in the order of their names' bytes. */
async function list(folder: string): Promise<readonly { readonly name: string; readonly entry: Dirent<Buffer> }[]> {
  const found = await readdir(folder, { withFileTypes: true, encoding: 'buffer' }).catch((cause: unknown) => {
    throw fileError(cause, folder)
  })
  return found
    .sort((a, b) => compare(a.name, b.name))
    .map((entry) => {
      try {
        return { name: fromUtf8(entry.name), entry }
      } catch (cause) {
        throw new AttestError('ARCHIVE_INVALID', `${shown(join(folder, entry.name.toString()))} cannot be sealed: its name is not UTF-8`, {
          cause,
        })
      }
    })
}

async function describe(root: string, path: string): Promise<ArchiveFile> {
  const file = await openPlain(join(root, path))
  try {
    const { mode } = await file.stat()
    const hash = createHash('sha256')
    let size = 0
    for await (const chunk of chunksOf(file)) {
      hash.update(chunk)
      size += chunk.length
    }
    const executable = (mode & OWNER_MAY_EXECUTE) !== 0
    return { type: 'file', path, executable, size, sha256: new Uint8Array(hash.digest()) }
  } catch (cause) {
    throw fileError(cause, join(root, path))
  } finally {
    await file.close()
  }
}

/** Second pass: the content of one file of a folder that was scanned. */
export async function* readPlain(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await openPlain(path)
  try {
    yield* chunksOf(file)
  } catch (cause) {
    throw fileError(cause, path)
  } finally {
    await file.close()
  }
}

/** O_NONBLOCK so that a pipe cannot hold us up; what it is, is then asked of the open file itself. */
async function openPlain(path: string): Promise<FileHandle> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await open(path, flags).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ELOOP')
      throw new AttestError('FILE_UNREADABLE', `${shown(path)} is a symbolic link; only files and folders are sealed`)
    throw fileError(cause, path)
  })
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw new AttestError('FILE_UNREADABLE', `${shown(path)} is not a regular file`)
}

/** Each chunk is memory of its own: whoever takes it may keep it. */
async function* chunksOf(file: FileHandle): AsyncGenerator<Uint8Array, void, undefined> {
  // A small file takes a small buffer, and one read more that finds its end.
  let room = Math.min(CHUNK_SIZE, (await file.stat()).size + 1)
  for (;;) {
    const buffer = new Uint8Array(room)
    const { bytesRead } = await file.read(buffer, 0, room)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
    if (bytesRead === room) room = CHUNK_SIZE
  }
}

function kindOf(entry: Dirent<Buffer>): string {
  if (entry.isSymbolicLink()) return 'a symbolic link'
  if (entry.isFIFO()) return 'a pipe'
  if (entry.isSocket()) return 'a socket'
  return 'a device, or of an unknown kind'
}

function shown(path: string): string {
  return blankControl(path)
}
