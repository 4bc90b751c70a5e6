import { Directory, Fd, Inode, OpenDirectory, wasi } from '@bjorn3/browser_wasi_shim'

/** WASI file names are as long as those of Linux. */
const MAX_NAME = 255

/** What may still be written. Bytes of a removed file are not given back: it may still be open. */
export class Quota {
  #bytes: number
  #entries: number
  /** True once something was refused. */
  full = false

  constructor(bytes: number, entries: number) {
    this.#bytes = bytes
    this.#entries = entries
  }

  take(bytes: number, entries = 0): boolean {
    if (bytes > this.#bytes || entries > this.#entries) {
      this.full = true
      return false
    }
    this.#bytes -= bytes
    this.#entries -= entries
    return true
  }
}

/** A file in memory. Without a quota it is read-only. */
export class MemoryFile extends Inode {
  readonly quota: Quota | null
  #buffer: Uint8Array
  #length: number

  constructor(content: Uint8Array, quota: Quota | null) {
    super()
    this.#buffer = content
    this.#length = content.length
    this.quota = quota
  }

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  /** False when the quota does not allow it. New bytes are zero. */
  resize(length: number): boolean {
    if (this.quota === null || !this.quota.take(Math.max(0, length - this.#length))) return false
    if (length > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#buffer.length))
      grown.set(this.bytes)
      this.#buffer = grown
    }
    if (length < this.#length) this.#buffer.fill(0, length, this.#length)
    this.#length = length
    return true
  }

  write(data: Uint8Array, offset: number): number {
    if (this.quota === null) return wasi.ERRNO_ROFS
    const end = offset + data.length
    if (end > this.#length && !this.resize(end)) return wasi.ERRNO_NOSPC
    this.#buffer.set(data, offset)
    return wasi.ERRNO_SUCCESS
  }

  path_open(oflags: number, rights: bigint, flags: number): { ret: number; fd_obj: Fd | null } {
    const writes = (rights & BigInt(wasi.RIGHTS_FD_WRITE)) !== 0n || (oflags & wasi.OFLAGS_TRUNC) !== 0
    if (writes && this.quota === null) return { ret: wasi.ERRNO_ROFS, fd_obj: null }
    if ((oflags & wasi.OFLAGS_TRUNC) !== 0) this.resize(0)
    return { ret: wasi.ERRNO_SUCCESS, fd_obj: new OpenMemoryFile(this, (flags & wasi.FDFLAGS_APPEND) !== 0) }
  }

  stat(): wasi.Filestat {
    return new wasi.Filestat(this.ino, wasi.FILETYPE_REGULAR_FILE, BigInt(this.#length))
  }
}

class OpenMemoryFile extends Fd {
  readonly #file: MemoryFile
  readonly #append: boolean
  #position = 0

  constructor(file: MemoryFile, append: boolean) {
    super()
    this.#file = file
    this.#append = append
  }

  override fd_fdstat_get(): { ret: number; fdstat: wasi.Fdstat } {
    return { ret: wasi.ERRNO_SUCCESS, fdstat: new wasi.Fdstat(wasi.FILETYPE_REGULAR_FILE, this.#append ? wasi.FDFLAGS_APPEND : 0) }
  }

  override fd_filestat_get(): { ret: number; filestat: wasi.Filestat } {
    return { ret: wasi.ERRNO_SUCCESS, filestat: this.#file.stat() }
  }

  override fd_filestat_set_size(size: bigint): number {
    if (this.#file.quota === null) return wasi.ERRNO_ROFS
    return this.#file.resize(Number(size)) ? wasi.ERRNO_SUCCESS : wasi.ERRNO_NOSPC
  }

  override fd_allocate(offset: bigint, length: bigint): number {
    if (offset + length <= BigInt(this.#file.bytes.length)) return wasi.ERRNO_SUCCESS
    return this.fd_filestat_set_size(offset + length)
  }

  override fd_read(size: number): { ret: number; data: Uint8Array } {
    const read = this.fd_pread(size, BigInt(this.#position))
    this.#position += read.data.length
    return read
  }

  override fd_pread(size: number, offset: bigint): { ret: number; data: Uint8Array } {
    const from = Number(offset)
    return { ret: wasi.ERRNO_SUCCESS, data: this.#file.bytes.subarray(from, from + size) }
  }

  override fd_write(data: Uint8Array): { ret: number; nwritten: number } {
    if (this.#append) this.#position = this.#file.bytes.length
    const written = this.fd_pwrite(data, BigInt(this.#position))
    this.#position += written.nwritten
    return written
  }

  override fd_pwrite(data: Uint8Array, offset: bigint): { ret: number; nwritten: number } {
    const ret = this.#file.write(data, Number(offset))
    return { ret, nwritten: ret === wasi.ERRNO_SUCCESS ? data.length : 0 }
  }

  override fd_seek(offset: bigint, whence: number): { ret: number; offset: bigint } {
    const base = { [wasi.WHENCE_SET]: 0, [wasi.WHENCE_CUR]: this.#position, [wasi.WHENCE_END]: this.#file.bytes.length }[whence]
    const target = base === undefined ? -1 : base + Number(offset)
    if (target < 0 || !Number.isSafeInteger(target)) return { ret: wasi.ERRNO_INVAL, offset: 0n }
    this.#position = target
    return { ret: wasi.ERRNO_SUCCESS, offset: BigInt(target) }
  }

  override fd_tell(): { ret: number; offset: bigint } {
    return { ret: wasi.ERRNO_SUCCESS, offset: BigInt(this.#position) }
  }
}

/** A folder in memory. Without a quota it is read-only. */
export class MemoryFolder extends Directory {
  readonly quota: Quota | null

  constructor(entries: Map<string, Inode>, quota: Quota | null) {
    super(entries)
    this.quota = quota
  }

  override path_open(): { ret: number; fd_obj: OpenDirectory } {
    return { ret: wasi.ERRNO_SUCCESS, fd_obj: new OpenMemoryFolder(this) }
  }

  override create_entry_for_path(path: string, isFolder: boolean): { ret: number; entry: Inode | null } {
    const failed = (ret: number) => ({ ret, entry: null })
    if (this.quota === null) return failed(wasi.ERRNO_ROFS)
    const segments = path.split('/').filter((s) => s !== '' && s !== '.')
    const name = segments.pop()
    if (path.startsWith('/') || name === undefined || segments.includes('..') || name === '..') return failed(wasi.ERRNO_NOTCAPABLE)
    if (isTooLong(name)) return failed(wasi.ERRNO_NAMETOOLONG)
    const parent = this.#folder(segments)
    if (parent === null) return failed(wasi.ERRNO_NOENT)
    if (parent.contents.has(name)) return failed(wasi.ERRNO_EXIST)
    if (!this.quota.take(0, 1)) return failed(wasi.ERRNO_NOSPC)
    const entry = isFolder ? new MemoryFolder(new Map(), this.quota) : new MemoryFile(new Uint8Array(0), this.quota)
    parent.contents.set(name, entry)
    return { ret: wasi.ERRNO_SUCCESS, entry }
  }

  #folder([name, ...rest]: readonly string[]): MemoryFolder | null {
    if (name === undefined) return this
    const child = this.contents.get(name)
    return child instanceof MemoryFolder ? child.#folder(rest) : null
  }
}

function isTooLong(name: string): boolean {
  return new TextEncoder().encode(name).length > MAX_NAME
}

/** Adds to the shim's open folder that some folders are read-only, and that no file has two names. */
class OpenMemoryFolder extends OpenDirectory {
  readonly #readOnly: boolean

  constructor(folder: MemoryFolder) {
    super(folder)
    this.#readOnly = folder.quota === null
  }

  /** Renames come here too, with `allowFolder`: only those may. */
  override path_link(path: string, inode: Inode, allowFolder: boolean): number {
    if (this.#readOnly) return wasi.ERRNO_ROFS
    if (isTooLong(path.slice(path.lastIndexOf('/') + 1))) return wasi.ERRNO_NAMETOOLONG
    return allowFolder ? super.path_link(path, inode, allowFolder) : wasi.ERRNO_NOTSUP
  }

  override path_unlink(path: string): { ret: number; inode_obj: Inode | null } {
    return this.#readOnly ? { ret: wasi.ERRNO_ROFS, inode_obj: null } : super.path_unlink(path)
  }

  override path_unlink_file(path: string): number {
    return this.#readOnly ? wasi.ERRNO_ROFS : super.path_unlink_file(path)
  }

  override path_remove_directory(path: string): number {
    return this.#readOnly ? wasi.ERRNO_ROFS : super.path_remove_directory(path)
  }
}

/** A folder that the module finds open under a name of its own: the only way into the file system. */
export class Preopen extends OpenMemoryFolder {
  readonly #name: string

  constructor(name: string, folder: MemoryFolder) {
    super(folder)
    this.#name = name
  }

  override fd_prestat_get(): { ret: number; prestat: wasi.Prestat } {
    return { ret: wasi.ERRNO_SUCCESS, prestat: wasi.Prestat.dir(this.#name) }
  }
}

/** stdout or stderr: keeps the first bytes, counts all. */
export class StreamFd extends Fd {
  readonly #limit: number
  readonly #kept: Uint8Array[] = []
  #left: number
  total = 0

  constructor(limit: number) {
    super()
    this.#limit = limit
    this.#left = limit
  }

  get bytes(): Uint8Array {
    const out = new Uint8Array(this.#limit - this.#left)
    let at = 0
    for (const part of this.#kept) {
      out.set(part, at)
      at += part.length
    }
    return out
  }

  override fd_fdstat_get(): { ret: number; fdstat: wasi.Fdstat } {
    return { ret: wasi.ERRNO_SUCCESS, fdstat: new wasi.Fdstat(wasi.FILETYPE_CHARACTER_DEVICE, 0) }
  }

  override fd_write(data: Uint8Array): { ret: number; nwritten: number } {
    const part = data.slice(0, this.#left)
    if (part.length > 0) this.#kept.push(part)
    this.#left -= part.length
    this.total += data.length
    return { ret: wasi.ERRNO_SUCCESS, nwritten: data.length }
  }
}
