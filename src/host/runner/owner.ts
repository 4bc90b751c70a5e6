import { readFile, readlink } from 'node:fs/promises'
import { AttestError } from '../../verify/errors.ts'

/**
 * Names this process so that a later one on the same machine can tell whether it still lives: user, boot, PID namespace,
 * process and its start (in clock ticks since boot, so that a reused process id is another process). Linux only.
 */
export async function thisOwner(): Promise<string> {
  const uid = process.getuid?.() ?? -1
  const start = await startOf(process.pid)
  if (start === null) throw new AttestError('ENGINE_UNAVAILABLE', 'containers need Linux with /proc')
  return [uid, await bootId(), await pidNamespace(), process.pid, start].join('.')
}

/** The user part of an owner's name: one user's agents clear up after each other, not after other users' agents. */
export function userOf(owner: string): string {
  return owner.split('.')[0] ?? ''
}

/** False only when the process is certainly gone: processes of another PID namespace cannot be seen and count as alive. */
export async function isAlive(owner: string): Promise<boolean> {
  const [, boot, namespace, pid, start] = owner.split('.')
  if (boot !== (await bootId())) return false
  if (namespace !== (await pidNamespace())) return true
  return start !== undefined && (await startOf(Number(pid))) === start
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'ascii')).trim()
}

async function pidNamespace(): Promise<string> {
  return (await readlink('/proc/self/ns/pid')).replace(/\D/g, '')
}

/** proc(5): field 22 of /proc/PID/stat. The command name before it may hold anything, so count from its closing bracket. */
async function startOf(pid: number): Promise<string | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}
