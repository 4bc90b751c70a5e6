import { readFile } from 'node:fs/promises'
import type { Container } from 'dockerode'
import { statusOf } from './docker-engine.ts'

const RETRY_MS = 2000

/**
 * Removes a container, whatever state it is in. Where the engine is gone its workload would go on without anybody who watches it: then
 * its first process is ended, and with that every other of its PID namespace, and the container is removed when the engine is back.
 * Should this agent end before, the next one removes it by its labels.
 * @param pid - The container's first process, 0 while it is not known.
 */
export async function discard(container: Container, pid: number): Promise<void> {
  if (await removed(container)) return
  await endProcess(container.id, pid)
  const again = (): void => {
    setTimeout(() => void removed(container).then((done) => done || again()), RETRY_MS).unref()
  }
  again()
}

async function removed(container: Container): Promise<boolean> {
  try {
    await container.remove({ force: true, v: true })
    return true
  } catch (error) {
    return statusOf(error) === 404
  }
}

/** Only if the process is the container's still: its number may be another's by now. */
async function endProcess(id: string, pid: number): Promise<void> {
  if (pid <= 1) return
  const groups = await readFile(`/proc/${pid}/cgroup`, 'ascii').catch(() => '')
  if (!groups.includes(id)) return
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Gone, or not ours to end: an agent that is not root.
  }
}
