import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { RootHasher, readSealedFile, SEGMENT_SIZE } from '../../seal/index.ts'

/** What a sealed file really holds. */
export interface SealedFacts {
  readonly header: Uint8Array
  /** 32 bytes. */
  readonly root: Uint8Array
  /** SHA-256 of the whole file, 32 bytes. */
  readonly digest: Uint8Array
  readonly size: number
}

/** Reads a sealed file from the disk, once and at flat memory. @throws AttestError `HEADER_INVALID`. */
export async function inspectSealedFile(path: string): Promise<SealedFacts> {
  const whole = createHash('sha256')
  let size = 0
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of createReadStream(path, { highWaterMark: SEGMENT_SIZE }) as AsyncIterable<Uint8Array>) {
      whole.update(chunk)
      size += chunk.length
      yield chunk
    }
  }
  const file = await readSealedFile(hashed())
  const root = new RootHasher()
  for await (const chunk of file.stream) await root.update(chunk)
  return { header: file.headerBytes, root: await root.finish(), digest: new Uint8Array(whole.digest()), size }
}
