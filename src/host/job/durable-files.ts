import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AttestError } from '../../verify/errors.ts'

/** Small files of one folder that survive a crash whole or not at all. */
export interface DurableFiles {
  readonly folder: string
  list(): Promise<readonly string[]>
  read(name: string): Promise<Uint8Array>
  /** On return the file is durable; before, the old one (or none) is. */
  write(name: string, bytes: Uint8Array): Promise<void>
  /** Harmless when there is no such file. */
  remove(name: string): Promise<void>
}

const TEMPORARY = '.tmp'

/** Opens (and makes) a folder for its owner alone; what an interrupted write left behind is removed. */
export async function openDurableFiles(folder: string): Promise<DurableFiles> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  for (const name of await readdir(folder)) if (name.endsWith(TEMPORARY)) await rm(join(folder, name))
  return {
    folder,
    list: async () => (await readdir(folder)).filter((name) => !name.endsWith(TEMPORARY)).sort(),
    read: async (name) => new Uint8Array(await readFile(join(folder, name))),
    write: async (name, bytes) => {
      const temporary = join(folder, name + TEMPORARY)
      try {
        await writeAndSync(temporary, bytes)
        await rename(temporary, join(folder, name))
        await syncFolder(folder)
      } catch (cause) {
        await rm(temporary, { force: true }).catch(() => undefined)
        throw diskError(cause)
      }
    },
    remove: async (name) => {
      await rm(join(folder, name), { force: true })
      await syncFolder(folder)
    },
  }
}

/** A full disk by its own code; everything else as it is. */
export function diskError(cause: unknown): unknown {
  const full = cause instanceof Error && 'code' in cause && (cause.code === 'ENOSPC' || cause.code === 'EDQUOT')
  return full ? new AttestError('DISK_FULL', 'no space is left in the state folder', { cause }) : cause
}

async function writeAndSync(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
