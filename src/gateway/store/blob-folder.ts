import { createReadStream, type ReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AttestError } from '../../verify/errors.ts'

/** Bytes written at once. */
const WRITE_SIZE = 1024 * 1024
/** A cut transfer loses at most this much, a crash of the machine too. */
const SYNC_SIZE = 64 * 1024 * 1024

/** Disk calls that a test may fail on purpose. */
export interface DiskCalls {
  readonly rename: (from: string, to: string) => Promise<void>
  readonly sync: (handle: FileHandle) => Promise<void>
}

const DISK: DiskCalls = { rename, sync: (handle) => handle.sync() }

/** Ciphertext as files: `uploads/ID.part` while it arrives, `blobs/ID` once it is checked. Nothing here is secret. */
export class BlobFolder {
  readonly #uploads: string
  readonly #blobs: string
  readonly #disk: DiskCalls

  private constructor(folder: string, disk: DiskCalls) {
    this.#uploads = join(folder, 'uploads')
    this.#blobs = join(folder, 'blobs')
    this.#disk = disk
  }

  static async open(folder: string, disk: DiskCalls = DISK): Promise<BlobFolder> {
    const blobs = new BlobFolder(folder, disk)
    await mkdir(blobs.#uploads, { recursive: true, mode: 0o700 })
    await mkdir(blobs.#blobs, { recursive: true, mode: 0o700 })
    await blobs.#syncFolder(folder)
    return blobs
  }

  /** @returns what `path` names: the unfinished upload, the finished blob when a crash came between the two, or null. */
  async locate(uploadId: string, blobId: string): Promise<string | null> {
    for (const path of [this.#partPath(uploadId), this.#blobPath(blobId)]) if (await exists(path)) return path
    return null
  }

  /**
   * Writes `source` from byte `offset` on, dropping whatever lay there: bytes beyond `offset` were never acknowledged.
   * Durable now, each time `onDurable` is called: the bytes before that offset. A crash costs what came after the last call,
   * and the sender sends it again.
   * @throws AttestError `DISK_FULL`; whatever `source` throws, after what came before it is durable.
   */
  async append(
    uploadId: string,
    offset: number,
    source: AsyncIterable<Uint8Array>,
    onDurable: (offset: number) => Promise<void>,
  ): Promise<number> {
    const handle = await diskCall(() => open(this.#partPath(uploadId), offset === 0 ? 'w' : 'r+', 0o600))
    const writer = new BatchWriter(handle, offset)
    let durable = offset
    const settle = async (): Promise<void> => {
      const end = await writer.flush()
      if (end === durable) return
      await diskCall(() => this.#disk.sync(handle))
      await onDurable(end)
      durable = end
    }
    try {
      await diskCall(() => handle.truncate(offset))
      // The name itself must survive before the first offset is acknowledged.
      if (offset === 0) await this.#syncFolder(this.#uploads)
      try {
        for await (const chunk of source) {
          await writer.write(chunk)
          if (writer.size - durable >= SYNC_SIZE) await settle()
        }
      } finally {
        await settle()
      }
      return durable
    } finally {
      await handle.close()
    }
  }

  /**
   * Makes an upload a blob. Durable afterwards: the bytes under their final name. A crash before leaves the part, a crash
   * after leaves the blob without its row; the next commit finds either (see {@link locate}).
   */
  async promote(uploadId: string, blobId: string): Promise<void> {
    const part = this.#partPath(uploadId)
    if (!(await exists(part))) return
    const handle = await open(part, 'r')
    try {
      await diskCall(() => this.#disk.sync(handle))
    } finally {
      await handle.close()
    }
    await diskCall(() => this.#disk.rename(part, this.#blobPath(blobId)))
    await this.#syncFolder(this.#blobs)
    await this.#syncFolder(this.#uploads)
  }

  /** Bytes `start` to `end` (inclusive) of a blob. */
  read(blobId: string, start: number, end: number): ReadStream {
    return createReadStream(this.#blobPath(blobId), { start, end, highWaterMark: WRITE_SIZE })
  }

  async removeUpload(uploadId: string): Promise<void> {
    await rm(this.#partPath(uploadId), { force: true })
  }

  /**
   * Removes a blob and the parts of its uploads. Durable when it returns: that their names are gone. The bytes are left to the file
   * system, which may keep them: they are ciphertext.
   */
  async erase(blobId: string, uploadIds: readonly string[]): Promise<void> {
    await rm(this.#blobPath(blobId), { force: true })
    for (const id of uploadIds) await this.removeUpload(id)
    await this.#syncFolder(this.#blobs)
    await this.#syncFolder(this.#uploads)
  }

  /** Ids of the parts that lie on the disk. */
  async listUploads(): Promise<readonly string[]> {
    const names = await readdir(this.#uploads)
    return names.filter((name) => name.endsWith('.part')).map((name) => name.slice(0, -'.part'.length))
  }

  #partPath(uploadId: string): string {
    return join(this.#uploads, `${safeName(uploadId)}.part`)
  }

  #blobPath(blobId: string): string {
    return join(this.#blobs, safeName(blobId))
  }

  async #syncFolder(path: string): Promise<void> {
    const handle = await open(path, 'r')
    try {
      await diskCall(() => this.#disk.sync(handle))
    } finally {
      await handle.close()
    }
  }
}

/** Joins small chunks (a TLS record is 16 KiB) into large writes, one of them under way while the next fills. */
class BatchWriter {
  readonly #handle: FileHandle
  #chunks: Uint8Array[] = []
  #pending = 0
  #written: number
  #underWay: Promise<void> = Promise.resolve()

  constructor(handle: FileHandle, offset: number) {
    this.#handle = handle
    this.#written = offset
  }

  /** Offset after everything taken in so far. */
  get size(): number {
    return this.#written + this.#pending
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#chunks.push(chunk)
    this.#pending += chunk.length
    if (this.#pending >= WRITE_SIZE) await this.#start()
  }

  async flush(): Promise<number> {
    await this.#start()
    await this.#underWay
    return this.#written
  }

  async #start(): Promise<void> {
    await this.#underWay
    if (this.#pending === 0) return
    const [chunks, at] = [this.#chunks, this.#written]
    this.#written += this.#pending
    this.#chunks = []
    this.#pending = 0
    this.#underWay = diskCall(() => writeAll(this.#handle, chunks, at))
    // Awaited by the next call; until then a failure must not count as unhandled.
    this.#underWay.catch(() => {})
  }
}

/** writev may write less than it was given. */
async function writeAll(handle: FileHandle, chunks: readonly Uint8Array[], position: number): Promise<void> {
  let rest: readonly Uint8Array[] = chunks
  let at = position
  while (rest.length > 0) {
    let { bytesWritten: taken } = await handle.writev(rest, at)
    at += taken
    const left: Uint8Array[] = []
    for (const chunk of rest) {
      if (taken < chunk.length) left.push(chunk.subarray(taken))
      taken = Math.max(0, taken - chunk.length)
    }
    rest = left
  }
}

/** Ids come from rows of ours; this keeps a damaged row from naming another file. */
function safeName(id: string): string {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(id)) throw new AttestError('INTERNAL', 'not a blob name')
  return id
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

async function diskCall<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOSPC' || code === 'EDQUOT') throw new AttestError('DISK_FULL', 'no space is left for ciphertext', { cause })
    throw cause
  }
}
