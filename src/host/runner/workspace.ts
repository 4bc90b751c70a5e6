import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, lstat, mkdir, open, readdir, rm, statfs, writeFile } from 'node:fs/promises'
import { freemem } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { AttestError } from '../../verify/errors.ts'
import { type InputNode, nodesOf, readNodes } from './input-tree.ts'
import { isAlive, userOf } from './owner.ts'
import { type CapEnforcement, type MemoryStorage, OUTPUT_ENTRIES, OUTPUT_FILES } from './profiles.ts'
import type { RunInput } from './types.ts'

/** statfs(2): f_type of tmpfs. */
const TMPFS_MAGIC = 0x01021994
const PAGE = 4096
/** Where Linux systems have a tmpfs that every user may write to (tmpfs(5)). */
export const MEMORY_FOLDER = '/dev/shm'

const run = promisify(execFile)

interface Folder {
  readonly path: string
  readonly storage: MemoryStorage
  readonly cap: CapEnforcement
}

/**
 * The plaintext of one job: `in` and `out`, in memory. Where the agent may mount, each is a tmpfs of its own with a
 * size of its own, kept out of swap where the kernel can; elsewhere they are folders on the machine's tmpfs, and the agent
 * watches the size of `out`. Parents are open to the agent's user alone.
 */
export class Workspace {
  readonly #path: string
  readonly in: Folder
  readonly out: Folder
  readonly #outBytes: number

  private constructor(path: string, input: Folder, output: Folder, outBytes: number) {
    this.#path = path
    this.in = input
    this.out = output
    this.#outBytes = outBytes
  }

  /** @throws AttestError `ENGINE_UNAVAILABLE` when `base` is not in memory, `LIMIT_EXCEEDED` when the job does not fit. */
  static async create(base: string, owner: string, inputs: readonly RunInput[], outputBytes: number): Promise<Workspace> {
    const nodes = inputs.flatMap(nodesOf)
    const inputBytes = pagesOf(nodes)
    const parent = join(await userFolder(base, owner), owner)
    const path = join(parent, randomBytes(8).toString('hex'))
    await mkdir(path, { recursive: true, mode: 0o700 })
    try {
      // 16 pages for the folder itself, and a page per file that is not full.
      const input = await memoryFolder(join(path, 'in'), inputBytes + 16 * PAGE, nodes.length + 8, 0o755)
      const output = await memoryFolder(join(path, 'out'), outputBytes + OUTPUT_FILES * PAGE, OUTPUT_ENTRIES, 0o777)
      const workspace = new Workspace(path, input, output, outputBytes)
      await workspace.#checkRoom(inputBytes)
      return workspace
    } catch (error) {
      await removeJob(path)
      throw error
    }
  }

  /** The size of a tmpfs may exceed what there is: the machine's free memory counts too. */
  async #checkRoom(inputBytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.in.path)
    const needed = inputBytes + (this.out.cap === 'watched' ? this.#outBytes : 0)
    const room = Math.min(bavail * bsize, freemem())
    if (room < needed) throw new AttestError('LIMIT_EXCEEDED', `the job needs ${needed} bytes of memory-backed storage, there are ${room}`)
  }

  /** Readable by the workload, writable by nobody. Errors of an input pass through; what was written goes with `remove`. */
  async writeInputs(inputs: readonly RunInput[], signal: AbortSignal): Promise<void> {
    for (const input of inputs) {
      for await (const { path, size, executable, content } of readNodes(input)) {
        signal.throwIfAborted()
        const at = join(this.in.path, path)
        if (size === null) {
          await mkdir(at)
          await chmod(at, 0o755)
          continue
        }
        // `wx`, and folders made one by one: an archive can neither overwrite nor leave its folder.
        const file = await open(at, 'wx', 0o400)
        try {
          await writeFile(file, content, { signal })
          await file.chmod(executable ? 0o555 : 0o444)
        } finally {
          await file.close()
        }
      }
    }
  }

  /** True when the job has put more into /out than it may, or has filled what there is. */
  async outputIsFull(): Promise<boolean> {
    if (this.out.cap === 'filesystem') {
      const { bavail, ffree } = await statfs(this.out.path)
      return bavail === 0 || ffree === 0
    }
    const use = { bytes: 0, entries: 0 }
    await addUse(this.out.path, use)
    return use.bytes > this.#outBytes + OUTPUT_FILES * PAGE || use.entries > OUTPUT_ENTRIES
  }

  /** Erases the inputs: they are not needed while outputs are read. */
  async removeInputs(): Promise<void> {
    await removeFolder(this.in.path)
  }

  async remove(): Promise<void> {
    await removeJob(this.#path)
  }
}

/** Memory that the files take, in whole pages. */
function pagesOf(nodes: readonly InputNode[]): number {
  return nodes.reduce((sum, { size }) => sum + Math.ceil((size ?? 0) / PAGE) * PAGE, 0)
}

/** Removes what dead agents of this user have left. */
export async function sweepWorkspaces(base: string, owner: string): Promise<void> {
  const folder = await userFolder(base, owner)
  for (const name of await readdir(folder)) if (!(await isAlive(name))) await removeWorkspaces(base, name)
}

/** Removes every workspace of one owner, whatever state it is in. */
export async function removeWorkspaces(base: string, owner: string): Promise<void> {
  const path = join(base, `sealgate-${userOf(owner)}`, owner)
  for (const job of await readdir(path).catch(() => [])) await removeJob(join(path, job))
  await rm(path, { recursive: true, force: true })
}

/** The base is open to everyone: take a folder in it only if it is ours, and no link. */
async function userFolder(base: string, owner: string): Promise<string> {
  const { type } = await statfs(base).catch(() => ({ type: 0 }))
  if (type !== TMPFS_MAGIC) {
    throw new AttestError('ENGINE_UNAVAILABLE', `${base} is not a memory file system (tmpfs): decrypted data would reach a disk`)
  }
  const path = join(base, `sealgate-${userOf(owner)}`)
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  const found = await lstat(path)
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) {
    throw new AttestError('ENGINE_UNAVAILABLE', `${path} belongs to someone else or is open to others; remove it`)
  }
  return path
}

async function memoryFolder(path: string, bytes: number, files: number, mode: number): Promise<Folder> {
  // Without permissions below a mount: should the engine not see the mount, its workload can neither read nor write here.
  await mkdir(path, { mode: 0o500 })
  const options = `size=${bytes},nr_inodes=${files + 1},mode=${mode.toString(8)},nosuid,nodev,noexec`
  for (const storage of ['tmpfs-noswap', 'tmpfs'] as const) {
    const flags = storage === 'tmpfs' ? options : `${options},noswap`
    if (await command('mount', ['-t', 'tmpfs', '-o', flags, 'sealgate', path])) return { path, storage, cap: 'filesystem' }
  }
  await chmod(path, mode)
  return { path, storage: 'tmpfs', cap: 'watched' }
}

async function command(file: string, args: readonly string[]): Promise<boolean> {
  try {
    await run(file, args, { env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } })
    return true
  } catch {
    return false
  }
}

async function removeJob(path: string): Promise<void> {
  await removeFolder(join(path, 'in'))
  await removeFolder(join(path, 'out'))
  await rm(path, { recursive: true, force: true })
}

/**
 * Lazily unmounted, the pages of a tmpfs go when the last user of a file is gone. What lies in a plain folder is removed
 * with the system's own tools: they follow no link, and neither depth nor missing permissions of what a job left stop them.
 */
async function removeFolder(path: string): Promise<void> {
  const stat = await lstat(path).catch(() => null)
  if (stat === null) return
  if (stat.dev !== (await lstat(join(path, '..'))).dev) await command('umount', ['-l', path])
  if (await command('rm', ['-rf', '--', path])) return
  await command('chmod', ['-R', 'u+rwx', '--', path])
  if (!(await command('rm', ['-rf', '--', path]))) throw new AttestError('INTERNAL', `plaintext of a job could not be removed from ${path}`)
}

/** Stops counting where the answer is clear: a workload may make files faster than they can be counted. */
async function addUse(path: string, use: { bytes: number; entries: number }): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    use.entries += 1
    if (use.entries > OUTPUT_ENTRIES) return
    const child = join(path, entry.name)
    if (entry.isDirectory()) await addUse(child, use)
    else use.bytes += 512 * ((await lstat(child).catch(() => null))?.blocks ?? 0)
  }
}
