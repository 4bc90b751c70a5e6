import { concat, u32be } from '../verify/bytes/bytes.ts'
import { type Header, MAX_HEADER_SIZE, parseHeader } from '../verify/documents/header.ts'
import { AttestError } from '../verify/errors.ts'
import { Gatherer } from './gatherer.ts'
import { ciphertextSize } from './sizes.ts'
import type { Chunks } from './stream.ts'

const LENGTH_SIZE = 4

/** What precedes the stream in a sealed file: u32be(header length) ‖ header. */
export function encodeFileHead(header: Uint8Array): Uint8Array {
  return concat(u32be(header.length), header)
}

/** Size of the whole sealed file. */
export function sealedFileSize(header: Uint8Array): number {
  return LENGTH_SIZE + header.length + ciphertextSize(parseHeader(header).plaintextSize)
}

/** A sealed file whose header was read. Nothing in it is verified yet. */
export interface SealedFile {
  readonly header: Header
  /** Canonical bytes, as received: their SHA-256 names the file. */
  readonly headerBytes: Uint8Array
  /** What follows the header, to be read once. */
  readonly stream: AsyncIterable<Uint8Array>
  /** Gives the source up when the stream is not read to its end. */
  readonly close: () => Promise<void>
}

/**
 * Reads the head of a sealed file and hands over the rest as it comes. The header's length is bounded before anything is
 * allocated for it.
 * @throws AttestError `HEADER_INVALID`, with the parser's finding as its cause.
 */
export async function readSealedFile(chunks: Chunks): Promise<SealedFile> {
  const source = iterate(chunks)
  const gathered = new Gatherer()
  const close = async (): Promise<void> => {
    await source.return()
  }
  try {
    const length = await readExactly(source, gathered, LENGTH_SIZE)
    const size = new DataView(length.buffer).getUint32(0)
    if (size > MAX_HEADER_SIZE)
      throw new AttestError('HEADER_INVALID', `header of ${size} bytes; at most ${MAX_HEADER_SIZE}`, { at: 'file' })
    const headerBytes = await readExactly(source, gathered, size)
    return { header: parse(headerBytes), headerBytes, stream: rest(source, gathered), close }
  } catch (error) {
    await close()
    throw error
  }
}

type Source = AsyncGenerator<Uint8Array, void, undefined>

async function* iterate(chunks: Chunks): Source {
  yield* chunks
}

async function* rest(source: Source, gathered: Gatherer): Source {
  yield* gathered.take(gathered.size)
  yield* source
}

async function readExactly(source: Source, gathered: Gatherer, size: number): Promise<Uint8Array> {
  while (gathered.size < size) {
    const next = await source.next()
    if (next.done) throw new AttestError('HEADER_INVALID', 'the file ends before its header does', { at: 'file' })
    gathered.push(next.value)
  }
  return concat(...gathered.take(size))
}

function parse(headerBytes: Uint8Array): Header {
  try {
    return parseHeader(headerBytes)
  } catch (cause) {
    const at = cause instanceof AttestError && cause.at !== undefined ? cause.at : 'header'
    throw new AttestError('HEADER_INVALID', 'the header is not one of this format', { at, cause })
  }
}
