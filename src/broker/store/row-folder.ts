import { open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileError, makeFolder, readBytesIfThere, syncFolder } from '../../client/files.ts'
import { MAX_FILE_SIZE } from '../../client/folder.ts'

/** What of the file system a write needs, so that tests can fail each of its steps. */
export interface DiskCalls {
  /** Writes a new file, or over an old one, and syncs it. */
  write(path: string, bytes: Uint8Array): Promise<void>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  syncFolder(folder: string): Promise<void>
}

export const systemDisk: DiskCalls = {
  write: async (path, bytes) => {
    const file = await open(path, 'w', 0o600)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
  },
  rename,
  remove: (path) => rm(path, { force: true }),
  syncFolder,
}

/** Small files of one folder, each whole or not there at all. */
export class RowFolder {
  readonly path: string
  readonly #disk: DiskCalls

  constructor(path: string, disk: DiskCalls = systemDisk) {
    this.path = path
    this.#disk = disk
  }

  make(): Promise<void> {
    return makeFolder(this.path)
  }

  /** Null for none. @throws AttestError `FILE_UNREADABLE`, `LIMIT_EXCEEDED`. */
  get(name: string): Promise<Uint8Array | null> {
    return readBytesIfThere(join(this.path, name), MAX_FILE_SIZE)
  }

  /** Durable when it returns. When it throws, the old row or the new one is there, whole. @throws AttestError `DISK_FULL`. */
  async put(name: string, bytes: Uint8Array): Promise<void> {
    const [path, temporary] = [join(this.path, name), join(this.path, `.${name}.part`)]
    try {
      await this.#disk.write(temporary, bytes)
      // Durable now: the new row beside the old one. A crash here costs the new one.
      await this.#disk.rename(temporary, path)
      await this.#disk.syncFolder(this.path)
      // Durable now: the new row under its name.
    } catch (cause) {
      throw fileError(cause, path)
    }
  }

  /** Gone for good when it returns. When it throws, it may be there still. */
  async remove(name: string): Promise<void> {
    const path = join(this.path, name)
    try {
      await this.#disk.remove(path)
      await this.#disk.syncFolder(this.path)
      // Durable now: the row is gone. A crash before may bring it back: removing it again finishes.
    } catch (cause) {
      throw fileError(cause, path)
    }
  }

  /** Names of rows that begin so, sorted. */
  async names(prefix: string): Promise<readonly string[]> {
    try {
      return (await readdir(this.path)).filter((name) => name.startsWith(prefix) && name.endsWith('.json')).sort()
    } catch (cause) {
      throw fileError(cause, this.path)
    }
  }
}
