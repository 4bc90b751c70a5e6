import type { FileHandle } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { rootOfLeaves, Secret, segmentCount } from '../../seal/index.ts'
import { AttestError } from '../../verify/errors.ts'
import { runSegments } from './segment-loop.ts'
import type { SegmentMessage, SegmentRange, SegmentTask } from './segment-task.ts'

/** The built program: a worker thread runs it as it is installed, also when this file runs from source. */
const PROGRAM = new URL('../../../dist/client/dataset/segment-worker.js', import.meta.url)

const MAX_THREADS = 2
/** Below so many segments (MiB) threads cost more than they bring: the work is done where it was asked for. */
const LEAST_SEGMENTS = 32
/** A thread makes little but buffers: a small nursery has it let go of them early. */
const YOUNG_MB = 2

export interface SegmentWork {
  readonly mode: 'seal' | 'open'
  readonly header: Uint8Array
  readonly streamHeader: Uint8Array
  readonly dek: Secret
  readonly plaintextSize: number
  readonly plaintext: FileHandle
  readonly sealed: FileHandle
  readonly streamOffset: number
  readonly signal?: AbortSignal | undefined
  /** Segments done so far. */
  readonly onProgress?: (segments: number) => void
}

/**
 * Seals or opens a file in worker threads, one range of segments each: segments do not depend on each other. Each thread
 * gets a copy of the key by transfer and wipes it. Nothing of a segment that does not verify is written.
 * @returns the root over the ciphertext, which for opening is for the caller to compare.
 * @throws AttestError `SEGMENT_INVALID`, `KEY_COMMITMENT_MISMATCH`, `FILE_UNREADABLE`, `CANCELLED`, or an error of the file
 *   system; all threads have ended by then.
 */
export async function workOnSegments(work: SegmentWork): Promise<Uint8Array> {
  const count = segmentCount(work.plaintextSize)
  const threads = count < LEAST_SEGMENTS ? 0 : Math.min(MAX_THREADS, availableParallelism())
  const stop = new SharedArrayBuffer(4)
  const halt = (): void => {
    Atomics.store(new Int32Array(stop), 0, 1)
  }
  work.signal?.addEventListener('abort', halt, { once: true })
  if (work.signal?.aborted) halt()
  let done = 0
  const onDone = (segments: number): void => {
    done += segments
    work.onProgress?.(done)
  }
  const { mode, header, streamHeader, plaintextSize, streamOffset } = work
  const files = { plaintext: work.plaintext.fd, sealed: work.sealed.fd, streamOffset }
  const border = (i: number): number => Math.floor((count * i) / Math.max(1, threads))
  const rangeOf = (i: number): SegmentRange => {
    return { mode, header, streamHeader, plaintextSize, ...files, from: border(i), to: border(i + 1), stop }
  }
  try {
    if (threads === 0) return await rootOfLeaves(await runSegments(rangeOf(0), new Secret(work.dek.expose().slice()), onDone))
    const ended = await Promise.allSettled(Array.from({ length: threads }, (_, i) => runInThread(rangeOf(i), work.dek, onDone, halt)))
    // The first to fail has stopped the others: what those say tells nothing.
    const failures = ended.flatMap((e) => (e.status === 'rejected' ? [e.reason as unknown] : []))
    const cause = failures.find((f) => !(f instanceof AttestError && f.code === 'CANCELLED')) ?? failures[0]
    if (cause !== undefined) throw cause
    const leaves = ended.flatMap((e) => (e.status === 'fulfilled' ? [e.value] : []))
    return await rootOfLeaves(new Uint8Array(Buffer.concat(leaves)))
  } finally {
    work.signal?.removeEventListener('abort', halt)
  }
}

/** @returns the leaves of the range. Settles when the thread has ended, so that no file is closed under it. */
function runInThread(range: SegmentRange, key: Secret, onDone: (segments: number) => void, halt: () => void): Promise<Uint8Array> {
  const dek = key.expose().slice()
  const task: SegmentTask = { range, dek }
  const worker = new Worker(PROGRAM, {
    workerData: task,
    transferList: [dek.buffer],
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
  })
  return new Promise((resolve, reject) => {
    let leaves: Uint8Array | null = null
    let failure: unknown = null
    const fail = (error: unknown): void => {
      failure ??= error
      halt()
    }
    worker.on('message', (message: SegmentMessage) => {
      if ('done' in message) onDone(message.done)
      else if ('leaves' in message) leaves = message.leaves
      else fail(errorOf(message.failed))
    })
    worker.on('error', fail)
    worker.on('exit', () => {
      if (failure !== null) reject(failure)
      else if (leaves !== null) resolve(leaves)
      else reject(new AttestError('INTERNAL', 'a thread ended without an answer'))
    })
  })
}

function errorOf(failed: Extract<SegmentMessage, { failed: unknown }>['failed']): Error {
  if ('code' in failed) return new AttestError(failed.code, failed.message, failed.at === undefined ? {} : { at: failed.at })
  return Object.assign(new Error(failed.message), { code: failed.errno })
}
