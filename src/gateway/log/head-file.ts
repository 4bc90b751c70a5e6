import { type FileHandle, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fromUtf8, isZero, utf8 } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { type Checkpoint, emptyRoot, verifyCheckpoint } from '../../verify/tlog/index.ts'
import type { CheckpointSigner } from './signer.ts'

/** The newest tree head that callers may have heard of. */
export interface LogHead extends Checkpoint {
  /** Seconds since the epoch. */
  readonly time: number
  /** The signed note itself. */
  readonly note: string
}

/** Disk calls that a test may fail on purpose. */
export interface HeadCalls {
  readonly write: (handle: FileHandle, bytes: Uint8Array, position: number) => Promise<void>
  readonly sync: (handle: FileHandle) => Promise<void>
  readonly rename: (from: string, to: string) => Promise<void>
}

const DISK: HeadCalls = {
  write: async (handle, bytes, position) => {
    const { bytesWritten } = await handle.write(bytes, 0, bytes.length, position)
    if (bytesWritten !== bytes.length) throw new AttestError('DISK_FULL', 'the head file was written in part')
  },
  sync: (handle) => handle.datasync(),
  rename,
}

/** One page: a signed note, then zeros. A note with the longest names and the log's own two signatures takes 1.3 KiB. */
const SLOT_SIZE = 4096
const SLOTS = [0, 1] as const

/**
 * A file beside the database that holds the newest checkpoint which was handed out, so that an old copy of the database
 * is known for one. Two slots take turns, and what is in them is signed: a write that a crash cuts spoils the older of
 * the two, costs one sync, and is told by its signature. The head is written after the database, so it may lag behind it
 * by what nobody was told, and never leads.
 */
export class HeadFile {
  readonly #handle: FileHandle
  readonly #calls: HeadCalls
  #slot: number
  #current: LogHead

  private constructor(handle: FileHandle, calls: HeadCalls, slot: number, current: LogHead) {
    this.#handle = handle
    this.#calls = calls
    this.#slot = slot
    this.#current = current
  }

  /** @returns null where there is no file. @throws AttestError `LOG_CORRUPT` when neither slot holds a checkpoint of this log. */
  static async open(
    path: string,
    signer: Pick<CheckpointSigner, 'origin' | 'verifierKey'>,
    calls: HeadCalls = DISK,
  ): Promise<HeadFile | null> {
    const handle = await openIfThere(path)
    if (handle === null) return null
    try {
      const found = await newestSlot(handle, signer)
      if (found === null) throw new AttestError('LOG_CORRUPT', `${path} holds no checkpoint of ${signer.origin}`, { at: 'log.head' })
      return new HeadFile(handle, calls, found.slot, found.head)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /**
   * Makes the file of a log that begins, with a checkpoint of the empty tree that is as old as can be and never handed out.
   * Durable when it returns: the file under its name. A crash before leaves none, and an empty database beside it.
   */
  static async create(path: string, signer: CheckpointSigner, calls: HeadCalls = DISK): Promise<HeadFile> {
    const root = await emptyRoot()
    const head = { origin: signer.origin, size: 0, root, time: 1, note: await signer.sign(0, root, 1) }
    const temporary = `${path}.part`
    const handle = await explained(temporary, () => open(temporary, 'w+', 0o600))
    try {
      await calls.write(handle, slotOf(head.note), 0)
      await calls.write(handle, new Uint8Array(SLOT_SIZE), SLOT_SIZE)
      await handle.sync()
      await calls.rename(temporary, path)
      await syncFolder(dirname(path))
      return new HeadFile(handle, calls, 0, head)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  get current(): LogHead {
    return this.#current
  }

  /**
   * Durable when it returns: this head. A crash, or a failure, before leaves the head before it (this one's slot is written
   * again by the next): the database is then ahead of what it says, which is no contradiction.
   */
  async write(head: LogHead): Promise<void> {
    const slot = 1 - this.#slot
    try {
      await this.#calls.write(this.#handle, slotOf(head.note), slot * SLOT_SIZE)
      await this.#calls.sync(this.#handle)
    } catch (cause) {
      throw isFull(cause) ? new AttestError('DISK_FULL', 'no space is left for the head file of the log', { cause }) : cause
    }
    this.#slot = slot
    this.#current = head
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  return explained(path, async () => {
    try {
      return await open(path, 'r+')
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw cause
    }
  })
}

/** Errors of the file system in our words; anything else stays what it is. */
async function explained<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (cause instanceof AttestError || code === undefined) throw cause
    throw new AttestError('FILE_UNREADABLE', `${path} cannot be opened (${code})`, { cause })
  }
}

function isFull(cause: unknown): boolean {
  const { code } = cause as NodeJS.ErrnoException
  return code === 'ENOSPC' || code === 'EDQUOT'
}

async function newestSlot(
  handle: FileHandle,
  signer: Pick<CheckpointSigner, 'origin' | 'verifierKey'>,
): Promise<{ readonly slot: number; readonly head: LogHead } | null> {
  if ((await handle.stat()).size !== SLOTS.length * SLOT_SIZE) return null
  const found = []
  for (const slot of SLOTS) {
    const bytes = new Uint8Array(SLOT_SIZE)
    await handle.read(bytes, 0, SLOT_SIZE, slot * SLOT_SIZE)
    const head = await readSlot(bytes, signer)
    if (head !== null) found.push({ slot, head })
  }
  const [a, b] = found
  if (a === undefined || b === undefined) return a ?? null
  const bIsNewer = b.head.size > a.head.size || (b.head.size === a.head.size && b.head.time >= a.head.time)
  return bIsNewer ? b : a
}

/** Null for a slot that was never written, or whose write was cut: its signature does not verify. */
async function readSlot(
  bytes: Uint8Array,
  { origin, verifierKey }: Pick<CheckpointSigner, 'origin' | 'verifierKey'>,
): Promise<LogHead | null> {
  const end = bytes.indexOf(0)
  if (end < 1 || !isZero(bytes.subarray(end))) return null
  try {
    const note = fromUtf8(bytes.subarray(0, end))
    return { ...(await verifyCheckpoint(note, { origin, key: verifierKey, witnessing: { mode: 'none' } })), note }
  } catch (error) {
    if (error instanceof AttestError) return null
    throw error
  }
}

function slotOf(note: string): Uint8Array {
  const bytes = utf8(note)
  if (bytes.length >= SLOT_SIZE) throw new AttestError('INTERNAL', 'the checkpoint does not fit the head file')
  const slot = new Uint8Array(SLOT_SIZE)
  slot.set(bytes)
  return slot
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
