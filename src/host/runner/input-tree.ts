import { createHash } from 'node:crypto'
import { openArchive, readContents } from '../../seal/index.ts'
import { equal } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { exactly } from './request.ts'
import type { InputArchive, RunInput } from './types.ts'

/** A file or folder below /in. */
export interface InputNode {
  /** Relative to /in. */
  readonly path: string
  /** Null for a folder. */
  readonly size: number | null
  readonly executable: boolean
}

/** What an input becomes below /in, each folder before what lies in it: a file of its name, or a folder of its name with the archive in it. */
export function nodesOf({ name, size, archive }: RunInput): readonly InputNode[] {
  if (archive === undefined) return [{ path: name, size, executable: false }]
  const entries = archive.entries.map((entry): InputNode => {
    const path = `${name}/${entry.path}`
    return entry.type === 'folder' ? { path, size: null, executable: false } : { path, size: entry.size, executable: entry.executable }
  })
  return [{ path: name, size: null, executable: false }, ...entries]
}

/** A node with its content, to be read before the next node is asked for. */
export interface FilledNode extends InputNode {
  readonly content: AsyncIterable<Uint8Array>
}

/**
 * Reads an input once: the nodes of {@link nodesOf} in their order, each with its content.
 * @throws AttestError `STREAM_TRUNCATED`, `ARCHIVE_INVALID`, and what the input's `read` throws: what was written until then must go.
 */
export async function* readNodes(input: RunInput): AsyncGenerator<FilledNode, void, undefined> {
  const [first, ...rest] = nodesOf(input)
  if (first === undefined) return
  if (input.archive === undefined) {
    yield { ...first, content: exactly(input) }
    return
  }
  yield { ...first, content: nothing() }
  try {
    yield* readArchive(input, input.archive, rest)
  } catch (error) {
    throw withoutNames(error)
  }
}

async function* readArchive(
  input: RunInput,
  { manifestDigest }: InputArchive,
  nodes: readonly InputNode[],
): AsyncGenerator<FilledNode, void, undefined> {
  const archive = await openArchive(exactly(input), input.size)
  const digest = createHash('sha256').update(archive.manifest).digest()
  if (!equal(digest, manifestDigest)) {
    await archive.contents.close()
    throw new AttestError('ARCHIVE_INVALID', 'the manifest of an input is not the one that was read before', { at: 'contract.inputs' })
  }
  let index = 0
  for await (const item of readContents(archive, () => createHash('sha256'))) {
    const node = nodes[index++]
    if (node === undefined) throw new AttestError('INTERNAL', 'an archive with more entries than its manifest')
    yield { ...node, content: 'content' in item ? item.content : nothing() }
  }
}

/** What is wrong with an archive, without the names in it: a refusal is signed and logged, and names may say as much as contents. */
export function withoutNames(error: unknown): unknown {
  if (!(error instanceof AttestError) || error.code !== 'ARCHIVE_INVALID') return error
  return new AttestError('ARCHIVE_INVALID', 'an input is not an archive as its header says', { at: 'contract.inputs' })
}

async function* nothing(): AsyncGenerator<Uint8Array, void, undefined> {}
