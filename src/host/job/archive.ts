import { pipeline } from 'node:stream/promises'
import { type Header, type Pack, pack } from 'tar-stream'

/** One file of an archive. `read` may be called more than once and yields exactly `size` bytes each time. */
export interface ArchiveFile {
  readonly path: string
  readonly size: number
  read(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

const BLOCK = 512
/** Two zero blocks end an archive (POSIX.1-2001, pax: ustar interchange format). */
const TRAILER = 2 * BLOCK

/** Nothing in it depends on the machine or the clock: same files, same bytes. */
function headerOf({ path, size }: ArchiveFile): Partial<Header> & Pick<Header, 'name'> {
  return { name: path, size, type: 'file', mode: 0o644, uid: 0, gid: 0, mtime: new Date(0) }
}

/** Size of {@link packArchive}'s output in bytes, without reading the files. */
export async function archiveSize(files: readonly ArchiveFile[]): Promise<number> {
  let total = TRAILER
  for (const file of files) total += (await headerSize(file)) + Math.ceil(file.size / BLOCK) * BLOCK
  return total
}

/** Long and non-ASCII names take an extra pax record, so ask the writer itself. */
async function headerSize(file: ArchiveFile): Promise<number> {
  const tar = pack()
  tar.entry(headerOf(file), Buffer.alloc(0))
  tar.finalize()
  let size = -TRAILER
  for await (const chunk of chunksOf(tar)) size += chunk.length
  return size
}

/** Writes the files, in the order given, as a POSIX tar. */
export async function* packArchive(files: readonly ArchiveFile[]): AsyncGenerator<Uint8Array> {
  const tar = pack()
  const feeding = feed()
  feeding.catch((error: Error) => tar.destroy(error))
  for await (const chunk of chunksOf(tar)) yield chunk
  await feeding

  async function feed(): Promise<void> {
    for (const file of files) await pipeline(file.read(), tar.entry(headerOf(file)))
    tar.finalize()
  }
}

/** The packer's types leave open what it yields. */
function chunksOf(tar: Pack): AsyncIterable<Uint8Array> {
  return tar as AsyncIterable<unknown> as AsyncIterable<Uint8Array>
}
