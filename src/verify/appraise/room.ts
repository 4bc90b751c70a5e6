import type { Contract, Limits, RunnerKind } from '../documents/contract.ts'

/** What a machine has for jobs. */
export interface HostRoom {
  /** Most jobs at a time. */
  readonly jobs: number
  readonly memoryBytes: number
  readonly gpus: number
}

/** What a job takes of it, from its offer to its end. */
export interface JobClaim {
  readonly exclusive: Contract['exclusive']
  readonly memoryBytes: number
  readonly gpus: number
}

const MiB = 1024 ** 2

/** Beyond what the job is allowed: processes that watch it, its stdout and stderr. A WebAssembly process holds inputs, and outputs twice. */
const OVERHEAD: Readonly<Record<RunnerKind, (limits: Limits) => number>> = {
  docker: () => 32 * MiB,
  wasm: ({ outputBytes }) => 256 * MiB + 2 * outputBytes,
}

/** @param inputBytes - Plaintext of the inputs together: it lies in memory beside what the job is allowed. */
export function claimOf({ exclusive, image, limits, resources }: Contract, inputBytes: number): JobClaim {
  return { exclusive, memoryBytes: limits.memoryBytes + inputBytes + OVERHEAD[image.runner](limits), gpus: resources.gpus }
}

/** Why a job would not fit even if it had the machine alone; null where it would. */
export function misfit(room: HostRoom, wanted: JobClaim): string | null {
  if (wanted.memoryBytes <= room.memoryBytes) return null
  return `the job takes ${wanted.memoryBytes} bytes of memory, this host has ${room.memoryBytes} for jobs`
}

/**
 * Why there is no room beside the jobs that are here; null where there is. `exclusive: host` shares the machine with
 * no job, in either direction. A GPU is given to one job at a time whatever `exclusive` says.
 */
export function roomObstacle(room: HostRoom, present: readonly JobClaim[], wanted: JobClaim): string | null {
  const total = (of: (claim: JobClaim) => number): number => present.reduce((sum, claim) => sum + of(claim), 0)
  if (present.some((claim) => claim.exclusive === 'host')) return 'busy with a job that has the host to itself'
  if (wanted.exclusive === 'host' && present.length > 0) return `busy with ${present.length} jobs, and the contract wants the host alone`
  if (present.length >= room.jobs) return `busy with ${present.length} jobs`
  if (total((c) => c.memoryBytes) + wanted.memoryBytes > room.memoryBytes) return 'the jobs there leave too little memory'
  if (wanted.gpus > 0 && total((c) => c.gpus) + wanted.gpus > room.gpus) return 'the jobs there leave too few GPUs'
  return null
}
