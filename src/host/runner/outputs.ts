import { constants } from 'node:fs'
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileNameField } from '../../verify/documents/fields.ts'
import { AttestError } from '../../verify/errors.ts'
import { OUTPUT_DEPTH, OUTPUT_ENTRIES, OUTPUT_FILES } from './profiles.ts'
import type { RunOutput } from './types.ts'

/**
 * The rules for what a job may leave in /out: plain names, few folders, limited number and size. Reasons name no file,
 * since names may say as much as contents.
 */
export class OutputTally {
  readonly #maxBytes: number
  readonly #paths = new Set<string>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** @throws AttestError `LIMIT_EXCEEDED` for too many or too large files, `JOB_FAILED` for names that are not allowed. */
  file(path: string, size: number): void {
    const segments = path.split('/')
    if (segments.length > OUTPUT_DEPTH + 1) throw refused(`a folder more than ${OUTPUT_DEPTH} deep`)
    if (!segments.every((s) => fileNameField.safeParse(s).success)) throw refused('a file name that is not allowed')
    if (this.#paths.has(path)) throw refused('the same file twice')
    this.#paths.add(path)
    this.#bytes += size
    if (this.#paths.size > OUTPUT_FILES) throw tooLarge(`more than ${OUTPUT_FILES} files`)
    if (!(this.#bytes <= this.#maxBytes)) throw tooLarge(`more than ${this.#maxBytes} bytes`)
  }
}

function refused(what: string): AttestError {
  return new AttestError('JOB_FAILED', `the outputs were refused: ${what}`)
}

function tooLarge(what: string): AttestError {
  return new AttestError('LIMIT_EXCEEDED', `the job wrote ${what}`)
}

/**
 * Takes the outputs of a job that has ended from its folder: regular files with one name each. No link is followed, nothing
 * else is opened.
 * @throws AttestError `LIMIT_EXCEEDED` or `JOB_FAILED`, see {@link OutputTally}.
 */
export async function collectOutputs(folder: string, maxBytes: number): Promise<readonly RunOutput[]> {
  const tally = new OutputTally(maxBytes)
  const outputs: RunOutput[] = []
  let entries = 0
  await walk('', 0)
  return outputs.sort((a, b) => (a.path < b.path ? -1 : 1))

  async function walk(prefix: string, depth: number): Promise<void> {
    if (depth > OUTPUT_DEPTH) throw refused(`a folder more than ${OUTPUT_DEPTH} deep`)
    const found = await readdir(join(folder, prefix), { withFileTypes: true }).catch(() => {
      throw refused('a folder that cannot be read')
    })
    entries += found.length
    if (entries > OUTPUT_ENTRIES) throw tooLarge(`more than ${OUTPUT_ENTRIES} files and folders`)
    for (const entry of found) {
      const path = prefix === '' ? entry.name : `${prefix}/${entry.name}`
      if (entry.isDirectory()) await walk(path, depth + 1)
      else outputs.push(await take(path))
    }
  }

  async function take(path: string): Promise<RunOutput> {
    const file = await openPlain(join(folder, path))
    try {
      const { size, ino } = await file.stat()
      tally.file(path, size)
      return { path, size, read: () => readFileOf(join(folder, path), ino, size) }
    } finally {
      await file.close()
    }
  }
}

/** O_NONBLOCK so that a FIFO cannot hold us up; what it is, is then asked of the open file itself. */
async function openPlain(path: string): Promise<FileHandle> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await open(path, flags).catch(() => {
    throw refused('something that is not a regular, readable file')
  })
  const stat = await file.stat()
  if (stat.isFile() && stat.nlink === 1) return file
  await file.close()
  throw refused(stat.isFile() ? 'a file with several names' : 'something that is not a regular file')
}

async function* readFileOf(path: string, ino: number, size: number): AsyncGenerator<Uint8Array> {
  const file = await openPlain(path)
  try {
    const stat = await file.stat()
    if (stat.ino !== ino || stat.size !== size) throw new AttestError('INTERNAL', 'an output changed after its job had ended')
    if (size > 0) yield* file.createReadStream({ autoClose: false, end: size - 1, highWaterMark: 1024 * 1024 })
  } finally {
    await file.close()
  }
}
