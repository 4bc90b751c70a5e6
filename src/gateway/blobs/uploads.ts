import { randomBytes } from 'node:crypto'
import { headerDigest, sealedFileSize } from '../../seal/index.ts'
import { equal, toBase64Url } from '../../verify/bytes/bytes.ts'
import { type Header, parseHeader } from '../../verify/documents/header.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Clock } from '../clock.ts'
import type { GatewayLimits } from '../config/config.ts'
import { refuseErased } from '../erasure/erased.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { Caller } from '../server/caller.ts'
import type { Store } from '../store/open-store.ts'
import type { BlobKind, BlobRow, UploadRow } from '../store/tables.ts'
import { inspectSealedFile } from './inspect.ts'

export interface NewUpload {
  readonly kind: BlobKind
  readonly header: Uint8Array
  readonly size: number
  readonly root: Uint8Array
  /** Results only. */
  readonly jobId: string | null
}

/** Decides whether this caller may bring this result; throws otherwise. */
export type ResultGate = (caller: Caller, jobId: string, header: Extract<Header, { kind: 'result' }>) => Promise<void>

/** A part of an upload as it comes in. */
export interface Incoming {
  readonly start: number
  readonly end: number
  readonly total: number
  readonly bytes: AsyncIterable<Uint8Array>
  /** Makes `bytes` end with an error. */
  readonly abort: () => void
}

interface Transfer {
  readonly abort: () => void
  readonly done: Promise<unknown>
}

/** Resumable uploads of sealed files. A blob exists only when size, header and root are what was announced. */
export class Uploads {
  readonly #store: Store
  readonly #clock: Clock
  readonly #limits: GatewayLimits
  readonly #mayBringResult: ResultGate
  readonly #locks = new KeyedLock()
  readonly #transfers = new Map<string, Transfer>()

  constructor(store: Store, clock: Clock, limits: GatewayLimits, mayBringResult: ResultGate) {
    this.#store = store
    this.#clock = clock
    this.#limits = limits
    this.#mayBringResult = mayBringResult
  }

  /** Opens an upload, or answers the one of the same caller for the same file. */
  async begin(caller: Caller, upload: NewUpload): Promise<UploadRow> {
    const blobId = await headerDigest(upload.header)
    return this.#locks.run(blobId, async () => {
      await this.#check(caller, upload)
      await refuseErased(this.#store.db, [blobId])
      const blob = await this.#blob(blobId)
      if (blob !== null && (blob.owner !== caller.id || !equal(blob.root, upload.root))) {
        throw new AttestError('ALREADY_EXISTS', 'a file with this header is here already')
      }
      const open = await this.#store.db
        .selectFrom('uploads')
        .selectAll()
        .where('owner', '=', caller.id)
        .where('blob_id', '=', blobId)
        .executeTakeFirst()
      if (open !== undefined && equal(open.root, upload.root) && open.job_id === upload.jobId) return open
      if (open !== undefined) await this.#drop(open.upload_id)
      return this.#insert(caller, blobId, upload)
    })
  }

  /** @throws AttestError `NOT_FOUND` also for an upload of somebody else. */
  async get(caller: Caller, uploadId: string): Promise<UploadRow> {
    const row = await this.#store.db.selectFrom('uploads').selectAll().where('upload_id', '=', uploadId).executeTakeFirst()
    if (row === undefined || row.owner !== caller.id) throw new AttestError('NOT_FOUND', 'no such upload')
    return row
  }

  /** Where to go on. Ends a transfer that hangs: whoever asks has lost it. */
  async offset(caller: Caller, uploadId: string): Promise<UploadRow> {
    await this.get(caller, uploadId)
    await this.#endTransfer(uploadId)
    return this.get(caller, uploadId)
  }

  /**
   * Takes bytes from where the upload stands. @returns the offset up to which it is durable now.
   * @throws AttestError `DOCUMENT_INVALID` for a gap, an overlap or another size; `DISK_FULL`.
   */
  async receive(caller: Caller, uploadId: string, incoming: Incoming): Promise<number> {
    await this.get(caller, uploadId)
    await this.#endTransfer(uploadId)
    const row = await this.get(caller, uploadId)
    await refuseErased(this.#store.db, [row.blob_id])
    const { start, end, total } = incoming
    if (total !== row.size || end >= total || start > end) throw badRange(`the file has ${row.size} bytes`)
    if (start !== row.received || row.committed === 1) throw badRange(`the upload goes on at byte ${row.received}, not ${start}`)
    const done = this.#store.blobs.append(uploadId, start, atMost(incoming.bytes, end - start + 1), async (received) => {
      // Durable now: the bytes (fsynced before this call) and, with this row, the promise to keep them. A crash before the row
      // costs sending them again.
      await this.#store.db
        .updateTable('uploads')
        .set({ received, touched_at: this.#clock.now() })
        .where('upload_id', '=', uploadId)
        .execute()
    })
    const transfer: Transfer = { abort: incoming.abort, done: done.catch(() => {}) }
    this.#transfers.set(uploadId, transfer)
    try {
      return await done
    } finally {
      if (this.#transfers.get(uploadId) === transfer) this.#transfers.delete(uploadId)
    }
  }

  /**
   * Checks the whole file and makes it visible. Repeating it is harmless.
   * @throws AttestError `STREAM_TRUNCATED` when bytes are missing; `HEADER_INVALID`, `ROOT_MISMATCH` for another file, which is
   * dropped then.
   */
  async commit(caller: Caller, uploadId: string): Promise<BlobRow> {
    const { blob_id: blobId } = await this.get(caller, uploadId)
    return this.#locks.run(blobId, async () => {
      const row = await this.get(caller, uploadId)
      const present = await this.#blob(blobId)
      if (present !== null && present.owner !== caller.id)
        throw new AttestError('ALREADY_EXISTS', 'a file with this header is here already')
      if (present !== null && row.committed === 1) return present
      if (row.received !== row.size) throw new AttestError('STREAM_TRUNCATED', `${row.received} of ${row.size} bytes have arrived`)
      const digest = await this.#verify(row)
      await this.#store.blobs.promote(uploadId, blobId)
      const { kind, header, root, size, owner, job_id } = row
      const blob: BlobRow = { blob_id: blobId, kind, header, root, size, digest, owner, job_id, created_at: this.#clock.now() }
      await this.#store.db.transaction().execute(async (tx) => {
        await refuseErased(tx, [blobId])
        await tx.insertInto('blobs').values(blob).execute()
        await tx.updateTable('uploads').set({ committed: 1 }).where('upload_id', '=', uploadId).execute()
      })
      // Durable now: the blob under its name and its row. A crash before the row leaves a file that nobody can name yet; the
      // client repeats the commit, which finds it there.
      return blob
    })
  }

  /**
   * Removes a file and its uploads from the disk, however far they have come; their rows stay for who accounts for them. Durable
   * when it returns.
   */
  async erase(blobId: string): Promise<void> {
    await this.#locks.run(blobId, async () => {
      const rows = await this.#store.db.selectFrom('uploads').select('upload_id').where('blob_id', '=', blobId).execute()
      for (const { upload_id } of rows) await this.#endTransfer(upload_id)
      await this.#store.blobs.erase(
        blobId,
        rows.map((row) => row.upload_id),
      )
    })
  }

  /** Ends every transfer; what has arrived is durable when this returns. */
  async close(): Promise<void> {
    await Promise.all([...this.#transfers.keys()].map((uploadId) => this.#endTransfer(uploadId)))
  }

  /** Drops uploads that nobody came back for, and parts without a row. */
  async sweep(): Promise<void> {
    const before = this.#clock.now() - this.#limits.uploadSeconds * 1000
    const stale = this.#store.db.selectFrom('uploads').select('upload_id').where('committed', '=', 0).where('touched_at', '<', before)
    for (const { upload_id } of await stale.execute()) await this.#drop(upload_id)
    const known = await this.#store.db.selectFrom('uploads').select('upload_id').where('committed', '=', 0).execute()
    const names = new Set(known.map((row) => row.upload_id))
    for (const id of await this.#store.blobs.listUploads()) if (!names.has(id)) await this.#store.blobs.removeUpload(id)
  }

  async #check(caller: Caller, { kind, header: bytes, size, root, jobId }: NewUpload): Promise<void> {
    const header = parseHeader(bytes)
    if (header.kind !== kind) throw new AttestError('HEADER_INVALID', `the header is that of a ${header.kind}`, { at: 'header.kind' })
    if (root.length !== 32) throw new AttestError('DOCUMENT_INVALID', 'want a root of 32 bytes', { at: 'root' })
    if (size > this.#limits.blobBytes) {
      throw new AttestError('LIMIT_EXCEEDED', `${size} bytes; this gateway takes at most ${this.#limits.blobBytes}`)
    }
    if (size !== sealedFileSize(bytes))
      throw new AttestError('HEADER_INVALID', 'the header names another size', { at: 'header.plaintextSize' })
    if (header.kind === 'result') {
      if (jobId === null) throw new AttestError('DOCUMENT_INVALID', 'results belong to a job', { at: 'job_id' })
      await this.#mayBringResult(caller, jobId, header)
    } else if (caller.role !== 'client') {
      throw new AttestError('PERMISSION_DENIED', 'datasets come from clients')
    } else if (jobId !== null) {
      throw new AttestError('DOCUMENT_INVALID', 'a dataset belongs to no job', { at: 'job_id' })
    }
  }

  async #insert(caller: Caller, blobId: string, { kind, header, root, size, jobId }: NewUpload): Promise<UploadRow> {
    const { open } = await this.#store.db
      .selectFrom('uploads')
      .select((eb) => eb.fn.countAll<number>().as('open'))
      .where('owner', '=', caller.id)
      .where('committed', '=', 0)
      .executeTakeFirstOrThrow()
    if (open >= this.#limits.openUploads) throw new AttestError('LIMIT_EXCEEDED', `${open} uploads are open; finish one first`)
    const row: UploadRow = {
      upload_id: toBase64Url(randomBytes(16)),
      blob_id: blobId,
      kind,
      header,
      root,
      size,
      owner: caller.id,
      job_id: jobId,
      received: 0,
      committed: 0,
      touched_at: this.#clock.now(),
    }
    // Durable now: the name of the upload. A crash before costs the caller this one call.
    await this.#store.db.insertInto('uploads').values(row).execute()
    return row
  }

  async #verify(row: UploadRow): Promise<Uint8Array> {
    const path = await this.#store.blobs.locate(row.upload_id, row.blob_id)
    if (path === null) throw new AttestError('STREAM_TRUNCATED', 'the bytes of this upload are gone; send them again')
    try {
      const facts = await inspectSealedFile(path)
      if (facts.size !== row.size || !equal(facts.header, row.header)) {
        throw new AttestError('HEADER_INVALID', 'the file does not begin with the header that was announced', { at: 'file' })
      }
      if (!equal(facts.root, row.root)) throw new AttestError('ROOT_MISMATCH', 'the ciphertext has another root than was announced')
      return facts.digest
    } catch (error) {
      if (error instanceof AttestError) await this.#drop(row.upload_id)
      throw error
    }
  }

  /** Row first: a crash between leaves a part without a row, which the next start sweeps away. */
  async #drop(uploadId: string): Promise<void> {
    await this.#endTransfer(uploadId)
    await this.#store.db.deleteFrom('uploads').where('upload_id', '=', uploadId).where('committed', '=', 0).execute()
    await this.#store.blobs.removeUpload(uploadId)
  }

  async #endTransfer(uploadId: string): Promise<void> {
    for (let transfer = this.#transfers.get(uploadId); transfer !== undefined; transfer = this.#transfers.get(uploadId)) {
      transfer.abort()
      await transfer.done
      if (this.#transfers.get(uploadId) === transfer) this.#transfers.delete(uploadId)
    }
  }

  async #blob(blobId: string): Promise<BlobRow | null> {
    return (await this.#store.db.selectFrom('blobs').selectAll().where('blob_id', '=', blobId).executeTakeFirst()) ?? null
  }
}

async function* atMost(bytes: AsyncIterable<Uint8Array>, limit: number): AsyncGenerator<Uint8Array> {
  let left = limit
  for await (const chunk of bytes) {
    if (chunk.length > left) throw badRange('more bytes than the range says')
    left -= chunk.length
    yield chunk
  }
}

function badRange(message: string): AttestError {
  return new AttestError('DOCUMENT_INVALID', message, { at: 'content-range' })
}
