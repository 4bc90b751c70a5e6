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
  return { docker: new Docker({ socketPath }), socketPath, version: info.ServerVersion, cpus: info.NCPU }
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
}

/** Names of what the container profile needs and this engine cannot do. */
export function missingFeatures(info: EngineInfo): readonly string[] {
  const seccomp = (info.SecurityOptions ?? []).some((o) => /^name=seccomp,profile=(default|builtin)$/.test(o))
  const needs: readonly (readonly [string, boolean])[] = [
    ['linux/amd64', info.OSType === 'linux' && info.Architecture === 'x86_64'],
    ['a memory limit', info.MemoryLimit],
    ['a swap limit', info.SwapLimit],
    ['a process limit', info.PidsLimit],
    ['a CPU limit', info.CpuCfsQuota],
    ['its default seccomp profile', seccomp],
  ]
  return needs.filter(([, has]) => has !== true).map(([name]) => name)
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
