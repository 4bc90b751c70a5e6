import { lstat, readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { fromBase64, toBase64 } from '../verify/bytes/bytes.ts'
import { encodeDocument, parseDocument } from '../verify/documents/fields.ts'
import { AttestError } from '../verify/errors.ts'
import { exists, fileError, makeFolder, PRIVATE, PUBLIC, readBytes, refuseExisting, writeNew } from './files.ts'
import { FILES, MAX_FILE_SIZE } from './folder.ts'
import { assertPassphrase, openJwe, sealJwe } from './jwe-file.ts'

/** Keys and documents of a folder, encrypted under a passphrase (docs/formats/backup.md). */
interface Backup {
  readonly v: 1
  readonly type: 'sealgate/backup/v1'
  /** By path. */
  readonly files: readonly BackupFile[]
}

interface BackupFile {
  /** A name, or a name in the keyring. */
  readonly path: string
  readonly private: boolean
  /** Base64. */
  readonly content: string
}

const TYP = 'sealgate-backup+json'
const MAX_FILES = 20_000
export const MAX_BACKUP_SIZE: number = 64 * 1024 * 1024
const NAME = '[A-Za-z0-9_][A-Za-z0-9._-]{0,127}'
const PATH = new RegExp(`^(?:${FILES.keyring}/)?${NAME}$`)

const schema: z.ZodType<Backup> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/backup/v1'),
  files: z
    .array(z.strictObject({ path: z.string().regex(PATH), private: z.boolean(), content: z.base64() }))
    .min(1)
    .max(MAX_FILES)
    .refine((files) => files.every(({ path }, i) => i === 0 || (files[i - 1]?.path ?? '') < path), {
      error: 'want paths in order, each once',
    }),
})

/**
 * Reads the keys and documents of an owner's, gateway's, host's or witness's folder: its own files and its keyring. What grows in use stays out: databases,
 * blobs, outboxes, state that must never go back.
 * @returns The backup, encrypted.
 * @throws AttestError `USAGE` for a short passphrase or a broker's folder, `FILE_UNREADABLE`, `LIMIT_EXCEEDED`.
 */
export async function backUp(
  folder: string,
  passphrase: string,
): Promise<{ readonly bytes: Uint8Array; readonly paths: readonly string[] }> {
  assertPassphrase(passphrase)
  await refuseBroker(folder)
  const paths = (await Promise.all([filesIn(folder, ''), filesIn(folder, `${FILES.keyring}/`)])).flat().sort()
  if (paths.length === 0) throw new AttestError('USAGE', `${folder} holds no keys`)
  const files: BackupFile[] = []
  for (const path of paths) {
    const full = join(folder, path)
    const isPrivate = ((await lstat(full)).mode & 0o077) === 0
    files.push({ path, private: isPrivate, content: toBase64(await readBytes(full, MAX_FILE_SIZE)) })
  }
  const plaintext = encodeDocument('backup', schema, { v: 1, type: 'sealgate/backup/v1', files })
  const bytes = await sealJwe(plaintext, { passphrase }, TYP)
  plaintext.fill(0)
  if (bytes.length > MAX_BACKUP_SIZE) throw new AttestError('LIMIT_EXCEEDED', `a backup of more than ${MAX_BACKUP_SIZE} bytes`)
  return { bytes, paths }
}

/**
 * Puts the files of a backup into a folder. Nothing is overwritten, and nothing is written before all of it has been checked.
 * @returns Paths in the folder.
 * @throws AttestError `UNWRAP_FAILED` for a wrong passphrase or a changed file, `DOCUMENT_INVALID`, `ALREADY_EXISTS`.
 */
export async function restoreBackup(bytes: Uint8Array, passphrase: string, folder: string): Promise<readonly string[]> {
  const { files } = await openBackup(bytes, passphrase)
  await refuseExisting(
    folder,
    files.map(({ path }) => path),
  )
  await makeFolder(folder)
  for (const { path, private: isPrivate, content } of files) {
    const full = join(folder, path)
    await makeFolder(dirname(full))
    await writeNew(full, fromBase64(content), isPrivate ? PRIVATE : PUBLIC)
  }
  return files.map(({ path }) => path)
}

async function openBackup(bytes: Uint8Array, passphrase: string): Promise<Backup> {
  if (bytes.length > MAX_BACKUP_SIZE) throw new AttestError('LIMIT_EXCEEDED', `a backup of more than ${MAX_BACKUP_SIZE} bytes`)
  const plaintext = await openJwe(bytes, { passphrase }, TYP, 'backup')
  try {
    return parseDocument('backup', schema, plaintext, MAX_BACKUP_SIZE)
  } finally {
    plaintext.fill(0)
  }
}

/**
 * A broker's keys are not in files that this reads, and a copy would bring back what owners took away from it. They are with
 * their owners, who entrust them again.
 */
async function refuseBroker(folder: string): Promise<void> {
  if (!(await exists(join(folder, 'keystore.json')))) return
  throw new AttestError('USAGE', `${folder} is a broker's: its keys are not backed up here, their owners have them (docs/broker.md)`)
}

/** Counters that must not go back stay out: whoever restores them would forget what they had promised. */
const NEVER: readonly string[] = ['log-memory.json', 'log.head', 'state.json']

async function filesIn(folder: string, below: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(join(folder, below), { withFileTypes: true })
    const paths = entries.filter((e) => e.isFile() && !NEVER.includes(e.name)).map((e) => `${below}${e.name}`)
    return paths.filter((path) => PATH.test(path))
  } catch (cause) {
    if (below !== '' && (cause as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw fileError(cause, folder)
  }
}
