import { Writable } from 'node:stream'
import { STREAM_BYTES } from './profiles.ts'
import type { CapturedStream } from './types.ts'

/** Keeps the first {@link STREAM_BYTES} of a stream and counts the rest, so that a chatty job neither blocks nor fills memory. */
export class CappedSink extends Writable {
  readonly #chunks: Uint8Array[] = []
  #kept = 0
  #total = 0

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#total += chunk.length
    const kept = chunk.subarray(0, STREAM_BYTES - this.#kept)
    if (kept.length > 0) this.#chunks.push(Uint8Array.from(kept))
    this.#kept += kept.length
    done()
  }

  captured(): CapturedStream {
    return { bytes: new Uint8Array(Buffer.concat(this.#chunks)), totalBytes: this.#total }
  }
}
