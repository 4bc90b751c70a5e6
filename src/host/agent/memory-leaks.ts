import { readFile } from 'node:fs/promises'
import { AttestError } from '../../verify/errors.ts'
import { loadKoffi } from '../attesters/native.ts'

/** Ways by which memory may reach a disk. */
export type MemoryLeak = 'swap' | 'core-dumps'

export interface LeakSources {
  /** Text of /proc/swaps and /proc/sys/kernel/core_pattern; empty where there is none. */
  readonly swaps: string
  readonly corePattern: string
}

/** Reads what the kernel says. On other systems than Linux there is nothing to read. */
async function readLeakSources(): Promise<LeakSources> {
  const text = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '')
  return { swaps: await text('/proc/swaps'), corePattern: await text('/proc/sys/kernel/core_pattern') }
}

/**
 * What of this machine could bring plaintext to a disk. Swap in compressed memory (zram) is memory. A core pattern that is a pipe (core(5))
 * feeds a program whatever limit a process has.
 */
export function memoryLeaks({ swaps, corePattern }: LeakSources): readonly MemoryLeak[] {
  const areas = swaps
    .split('\n')
    .slice(1)
    .filter((line) => line.trim() !== '' && !/^\/dev\/zram\d+\s/.test(line))
  return [...(areas.length > 0 ? (['swap'] as const) : []), ...(corePattern.startsWith('|') ? (['core-dumps'] as const) : [])]
}

const FIX: Readonly<Record<MemoryLeak, string>> = {
  swap: 'it swaps: run swapoff -a, or start with --dangerously-allow swap',
  'core-dumps':
    'it pipes core dumps to a program, or the package koffi is missing by which the agent gives up its own: set kernel.core_pattern to a plain name, or start with --dangerously-allow core-dumps',
}

/**
 * Refuses a machine that may write memory to a disk.
 * @param allowed - Leaks that somebody allows; they stand in the evidence's configuration.
 * @throws AttestError `MEMORY_EXPOSED`.
 */
export function refuseLeaks(leaks: readonly MemoryLeak[], allowed: readonly MemoryLeak[]): void {
  const refused = leaks.filter((leak) => !allowed.includes(leak))
  if (refused.length === 0) return
  throw new AttestError('MEMORY_EXPOSED', `this machine may write plaintext to a disk: ${refused.map((leak) => FIX[leak]).join('; ')}`)
}

/**
 * Makes sure of it before anything is decrypted here: refuses leaks, and gives up core dumps of this process.
 * @returns the leaks that are there all the same.
 * @throws AttestError `MEMORY_EXPOSED`. Not for a simulated TEE, which protects nothing: its leaks are only told.
 */
export async function secureMemory(
  allowed: readonly MemoryLeak[],
  simulated: boolean,
  sources?: LeakSources,
): Promise<readonly MemoryLeak[]> {
  const found = new Set(memoryLeaks(sources ?? (await readLeakSources())))
  if (process.platform === 'linux') await forbidCoreDumps().catch(() => found.add('core-dumps'))
  const leaks = [...found].sort()
  if (!simulated) refuseLeaks(leaks, allowed)
  return leaks
}

/** prctl(2) and getrlimit(2) on Linux. */
const [PR_SET_DUMPABLE, RLIMIT_CORE] = [4, 4]

/**
 * This process leaves no core file, for itself (a pipe as core pattern included) and, by the limit, for those that it starts.
 * @throws where the kernel refuses, or without the optional package that calls it.
 */
async function forbidCoreDumps(): Promise<void> {
  const libc = (await loadKoffi()).load(null)
  const setrlimit = libc.func('int setrlimit(int resource, const void *limit)')
  const prctl = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)')
  // struct rlimit: two zeros of 64 bits.
  const done = setrlimit(RLIMIT_CORE, Buffer.alloc(16)) === 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) === 0
  if (!done) throw new AttestError('INTERNAL', 'the kernel does not let this process give up core dumps')
}
