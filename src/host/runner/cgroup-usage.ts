import { readFile } from 'node:fs/promises'
import type { RunUsage } from './types.ts'

const SAMPLE_MS = 50
const ROOT = '/sys/fs/cgroup'

export type SampledUsage = Pick<RunUsage, 'cpuMs' | 'memoryPeakBytes'>

/**
 * Samples what a container uses from its control groups while it runs. They go when it ends, so the last sample is what is
 * known: up to 50 ms of work are missing, and nothing is known of a run that is shorter.
 */
export class UsageSampler {
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  #cpuMs: number | null = null
  #peakBytes: number | null = null

  /** @param pid - The container's first process, as this process sees it. */
  async start(pid: number, containerId: string): Promise<void> {
    const files = usageFiles(await readText(`/proc/${pid}/cgroup`), containerId)
    if (files === null) return
    const sample = async (): Promise<void> => {
      const cpuMs = cpuMsOf(await readText(files.cpu))
      const bytes = Number.parseInt(await readText(files.memory), 10)
      if (cpuMs > 0) this.#cpuMs = Math.round(cpuMs)
      if (bytes > 0) this.#peakBytes = Math.max(this.#peakBytes ?? 0, bytes)
      if (!this.#stopped) this.#timer = setTimeout(() => void sample(), SAMPLE_MS)
    }
    await sample()
  }

  stop(): SampledUsage {
    this.#stopped = true
    clearTimeout(this.#timer)
    return { cpuMs: this.#cpuMs, memoryPeakBytes: this.#peakBytes }
  }
}

/**
 * Where the kernel counts, by the text of /proc/PID/cgroup (cgroups(7)): version 1 has a hierarchy per controller, version 2
 * one for all. On a machine with both, the controllers are in version 1. Null unless the groups are the container's own: those
 * of a process that has just ended may be the machine's.
 */
export function usageFiles(groups: string, containerId: string): { readonly cpu: string; readonly memory: string } | null {
  const paths = new Map<string, string>()
  for (const line of groups.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (path?.includes(containerId)) for (const controller of controllers?.split(',') ?? []) paths.set(controller, path)
  }
  const [cpu, memory, unified] = [paths.get('cpuacct'), paths.get('memory'), paths.get('')]
  if (cpu !== undefined && memory !== undefined) {
    return { cpu: `${ROOT}/cpuacct${cpu}/cpuacct.usage`, memory: `${ROOT}/memory${memory}/memory.max_usage_in_bytes` }
  }
  return unified === undefined ? null : { cpu: `${ROOT}${unified}/cpu.stat`, memory: `${ROOT}${unified}/memory.peak` }
}

/** Version 1 gives nanoseconds, version 2 `usage_usec N` in its first line. */
export function cpuMsOf(text: string): number {
  const micros = /^usage_usec (\d+)$/m.exec(text)?.[1]
  return micros === undefined ? Number.parseInt(text, 10) / 1e6 : Number(micros) / 1000
}

function readText(path: string): Promise<string> {
  return readFile(path, 'ascii').catch(() => '')
}
