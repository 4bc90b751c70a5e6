import type { ErrorCode } from '../../verify/errors.ts'

/** One range of the segments of a file. The files are kept open by whoever wants it done. */
export interface SegmentRange {
  readonly mode: 'seal' | 'open'
  /** Canonical bytes of the file header. */
  readonly header: Uint8Array
  readonly streamHeader: Uint8Array
  readonly plaintextSize: number
  /** Segments from `from` to before `to`. */
  readonly from: number
  readonly to: number
  /** File descriptors: of the plaintext and of the sealed file. */
  readonly plaintext: number
  readonly sealed: number
  /** Where the stream begins in the sealed file. */
  readonly streamOffset: number
  /** One 32-bit number: not zero when the work is to stop. */
  readonly stop: SharedArrayBuffer
}

/** What a worker thread gets. */
export interface SegmentTask {
  readonly range: SegmentRange
  /** 32 bytes, moved to the worker and not shared; the worker wipes them. */
  readonly dek: Uint8Array
}

/** What a worker says: segments done since it last said so, or in the end what came of it. */
export type SegmentMessage =
  | { readonly done: number }
  | { readonly leaves: Uint8Array }
  | { readonly failed: { readonly code: ErrorCode; readonly message: string; readonly at: string | undefined } }
  | { readonly failed: { readonly errno: string | undefined; readonly message: string } }
