import { createHash } from 'node:crypto'
import type { RunInput } from '../../src/host/runner/index.ts'
import { type ArchiveEntry, encodeManifest, openArchive, packArchive } from '../../src/seal/index.ts'
import { concat, utf8 } from '../../src/verify/bytes/bytes.ts'

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest())

/** An archive as an owner would make it. Paths in the order of archives; null is a folder; names that end in .sh are executable. */
export async function archiveOf(files: { readonly [path: string]: string | null }): Promise<Uint8Array> {
  const entries = Object.entries(files).map(([path, content]): ArchiveEntry => {
    if (content === null) return { type: 'folder', path }
    const bytes = utf8(content)
    return { type: 'file', path, executable: path.endsWith('.sh'), size: bytes.length, sha256: sha256(bytes) }
  })
  const parts: Uint8Array[] = []
  const source = { open: ({ path }: ArchiveEntry) => [utf8(files[path] ?? '')], createHash: () => createHash('sha256') }
  for await (const part of packArchive(entries, source)) parts.push(part)
  return concat(...parts)
}

/** The same as a runner gets it. */
export async function archiveInput(name: string, files: { readonly [path: string]: string | null }): Promise<RunInput> {
  const bytes = await archiveOf(files)
  const { entries } = await openArchive([bytes], bytes.length)
  return { name, size: bytes.length, archive: { entries, manifestDigest: sha256(encodeManifest(entries)) }, read: () => [bytes] }
}
