import { basename } from 'node:path'
import Docker from 'dockerode'
import { AttestError } from '../../verify/errors.ts'

export const DEFAULT_SOCKET = '/var/run/docker.sock'

/** How long an engine may take to answer a short question. */
const ANSWER_MS = 10_000

/** A Docker-compatible engine on this machine that can apply every limit of the container profile. */
export interface Engine {
  readonly docker: Docker
  readonly socketPath: string
  readonly version: string
  readonly cpus: number
  /** Null where gVisor can be used; else why not. */
  readonly noGvisor: string | null
}

/**
 * The engine's socket: `DOCKER_HOST` or the usual place. Only a local one will do, since containers must see this
 * machine's memory file system.
 * @throws AttestError `ENGINE_UNAVAILABLE` for a DOCKER_HOST that is not a `unix://` address.
 */
export function socketFrom(dockerHost: string | undefined): string {
  if (dockerHost === undefined || dockerHost === '') return DEFAULT_SOCKET
  const match = /^unix:\/\/(\/.+)$/.exec(dockerHost)
  if (match?.[1] === undefined)
    throw new AttestError('ENGINE_UNAVAILABLE', `DOCKER_HOST is ${dockerHost}: only unix:// engines can be used`)
  return match[1]
}

/**
 * Asks the engine what it is. An engine that would drop a limit with a warning is refused here.
 * @throws AttestError `ENGINE_UNAVAILABLE`, `ENGINE_PERMISSION`.
 */
export async function connectEngine(socketPath: string): Promise<Engine> {
  if (process.platform !== 'linux') throw new AttestError('ENGINE_UNAVAILABLE', 'the container runner needs Linux')
  const docker = new Docker({ socketPath, timeout: ANSWER_MS })
  const info: EngineInfo = await docker.info().catch((cause) => {
    throw engineError(cause, socketPath)
  })
  const lacks = missingFeatures(info)
  if (lacks.length > 0) throw new AttestError('ENGINE_UNAVAILABLE', `the engine at ${socketPath} lacks ${lacks.join(', ')}`)
  return { docker: new Docker({ socketPath }), socketPath, version: info.ServerVersion, cpus: info.NCPU, noGvisor: gvisorObstacle(info) }
}

/** What `GET /info` says, as far as it matters here (Docker Engine API 1.41). */
export interface EngineInfo {
  readonly OSType: string
  readonly Architecture: string
  readonly NCPU: number
  readonly ServerVersion: string
  readonly MemoryLimit: boolean
  readonly SwapLimit: boolean
  readonly PidsLimit: boolean
  readonly CpuCfsQuota: boolean
  readonly SecurityOptions: readonly string[] | null
  readonly Runtimes?: { readonly [name: string]: { readonly path?: string; readonly runtimeArgs?: readonly string[] | null } }
}

/** Names of what the container profile needs and this engine cannot do. */
export function missingFeatures(info: EngineInfo): readonly string[] {
  const seccomp = (info.SecurityOptions ?? []).some((o) => /^name=seccomp(,|$)/.test(o))
  const needs: readonly (readonly [string, boolean])[] = [
    ['linux/amd64', info.OSType === 'linux' && info.Architecture === 'x86_64'],
    ['a memory limit', info.MemoryLimit],
    ['a swap limit', info.SwapLimit],
    ['a process limit', info.PidsLimit],
    ['a CPU limit', info.CpuCfsQuota],
    ['seccomp filters', seccomp],
    ['the runtime runc', info.Runtimes?.runc !== undefined],
  ]
  return needs.filter(([, has]) => has !== true).map(([name]) => name)
}

/** Arguments of runsc that leave the sandbox what it is. Others may open the network, or write what a job does to a log on disk. */
const RUNSC_ARGUMENT = /^--(platform=(ptrace|systrap|kvm)|network=(none|sandbox)|systemd-cgroup(=(true|false))?)$/

/** Why the engine's runtime `runsc` (gVisor) cannot be used, or null. */
export function gvisorObstacle({ Runtimes }: EngineInfo): string | null {
  const runsc = Runtimes?.runsc
  if (runsc === undefined) return 'the engine has no runtime runsc'
  if (basename(runsc.path ?? '') !== 'runsc') return 'the engine runs something else under the name runsc'
  const [odd] = (runsc.runtimeArgs ?? []).filter((argument) => !RUNSC_ARGUMENT.test(argument))
  return odd === undefined ? null : `the engine gives runsc the argument ${odd}`
}

interface EngineFailure {
  readonly code?: string
  readonly statusCode?: number
}

/** HTTP status of an engine's refusal, or null when it did not answer. */
export function statusOf(error: unknown): number | null {
  return (error as EngineFailure).statusCode ?? null
}

/** An `AttestError` for whatever the engine's client throws; one that it is already, as it is. */
export function engineError(cause: unknown, socketPath: string): AttestError {
  if (cause instanceof AttestError) return cause
  const { code } = cause as EngineFailure
  const status = statusOf(cause)
  if (code === 'EACCES' || code === 'EPERM') {
    return new AttestError('ENGINE_PERMISSION', `this user may not use the container engine's socket ${socketPath}`, { cause })
  }
  if (status !== null) return new AttestError('ENGINE_UNAVAILABLE', `the container engine refused a request (status ${status})`, { cause })
  return new AttestError('ENGINE_UNAVAILABLE', `no container engine answers at ${socketPath}`, { cause })
}
