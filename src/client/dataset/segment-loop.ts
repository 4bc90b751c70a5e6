import { readSync, writeSync, writevSync } from 'node:fs'
// From their own files: a thread should not load what it does not use.
import { SegmentOpener, SegmentSealer } from '../../seal/random-access.ts'
import { segmentLeaf } from '../../seal/root.ts'
import type { Secret } from '../../seal/secret.ts'
import { SEGMENT_SIZE, segmentSpan } from '../../seal/sizes.ts'
import { AttestError } from '../../verify/errors.ts'
import type { SegmentRange } from './segment-task.ts'

const LEAF_SIZE = 32
/** How often progress is told, in segments. */
const REPORT_EVERY = 16
/**
 * A segment goes through the cipher in pieces of this size: buffers of glibc's mmap threshold (128 KiB, mallopt(3)) and more
 * would be fetched from the kernel and given back one by one, which costs as much as the encryption.
 */
const PIECE_SIZE = 64 * 1024

/**
 * Seals or opens a range of segments from file to file, one after the other and without giving way to other work of the
 * thread. The key is wiped once it is imported.
 * @param report - Told how many segments more are done.
 * @returns the leaves of the range, 32 bytes each.
 * @throws AttestError `CANCELLED`, `FILE_UNREADABLE`, `SEGMENT_INVALID`, `KEY_COMMITMENT_MISMATCH`; errors of the file system.
 */
export async function runSegments(range: SegmentRange, dek: Secret, report: (done: number) => void): Promise<Uint8Array> {
  const { from, to } = range
  const stop = new Int32Array(range.stop)
  const buffer = new Uint8Array(SEGMENT_SIZE)
  try {
    const one = await createWork(range, dek, buffer)
    const leaves = new Uint8Array(LEAF_SIZE * (to - from))
    let reported = from
    for (let index = from; index < to; index++) {
      if (Atomics.load(stop, 0) !== 0) throw new AttestError('CANCELLED', 'the work was cancelled')
      leaves.set(await one(index), LEAF_SIZE * (index - from))
      if (index + 1 - reported < REPORT_EVERY && index + 1 < to) continue
      report(index + 1 - reported)
      reported = index + 1
    }
    return leaves
  } finally {
    buffer.fill(0)
  }
}

/** What is done to one segment; it yields the segment's leaf. */
async function createWork(range: SegmentRange, dek: Secret, buffer: Uint8Array): Promise<(index: number) => Promise<Uint8Array>> {
  const { header, streamHeader, mode, plaintext, sealed, plaintextSize, streamOffset } = range
  try {
    if (mode === 'seal') {
      const sealer = await SegmentSealer.create({ header, dek }, streamHeader)
      return async (index) => {
        const span = segmentSpan(plaintextSize, index)
        const piece = await sealer.sealSegment(index, pieces(readExactly(plaintext, buffer, span.plaintextSize, span.plaintextOffset)))
        writeExactly(sealed, piece, streamOffset + span.offset)
        return segmentLeaf(piece)
      }
    }
    const opener = await SegmentOpener.create({ header, dek }, streamHeader)
    return async (index) => {
      const span = segmentSpan(plaintextSize, index)
      const piece = readExactly(sealed, buffer, span.size, streamOffset + span.offset)
      writeExactly(plaintext, await opener.openParts(index, pieces(piece)), span.plaintextOffset)
      return segmentLeaf([piece])
    }
  } finally {
    dek.wipe()
  }
}

function pieces(bytes: Uint8Array): readonly Uint8Array[] {
  const out: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += PIECE_SIZE) out.push(bytes.subarray(at, at + PIECE_SIZE))
  return out
}

/** A view of the buffer. */
function readExactly(fd: number, buffer: Uint8Array, size: number, offset: number): Uint8Array {
  let done = 0
  while (done < size) {
    const read = readSync(fd, buffer, done, size - done, offset + done)
    if (read === 0) throw new AttestError('FILE_UNREADABLE', `the file ended while it was read, at byte ${offset + done}`)
    done += read
  }
  return buffer.subarray(0, size)
}

function writeExactly(fd: number, parts: readonly Uint8Array[], offset: number): void {
  const size = parts.reduce((n, part) => n + part.length, 0)
  const written = parts.length === 0 ? 0 : writevSync(fd, parts, offset)
  if (written === size) return
  // A short write: rare enough to join what is left.
  const rest = Buffer.concat(parts).subarray(written)
  for (let done = 0; done < rest.length; ) done += writeSync(fd, rest, done, rest.length - done, offset + written + done)
}
