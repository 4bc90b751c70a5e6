import type { Limits } from '../../verify/documents/contract.ts'
import { fileNameField } from '../../verify/documents/fields.ts'
import type { IsolationName } from '../../verify/documents/isolation.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Runner, RunRequest } from './types.ts'

const MiB = 1024 ** 2

/** Smallest limit that can be applied as it is written. Zero would mean "no limit" to a container engine. */
const LEAST: Record<IsolationName, Limits> = {
  'sealgate-container-v1': { timeMs: 1, memoryBytes: 6 * MiB, outputBytes: 1, pids: 1, cpuMillis: 10 },
  // gVisor's kernel lives in the container's memory.
  'sealgate-gvisor-v1': { timeMs: 1, memoryBytes: 64 * MiB, outputBytes: 1, pids: 1, cpuMillis: 10 },
  'sealgate-wasm-v1': { timeMs: 1, memoryBytes: MiB, outputBytes: 1, pids: 1, cpuMillis: 1 },
}

/** As NVML and the NVIDIA container runtime write it. Anything else, `all` for one, could mean devices that gave no evidence. */
const GPU_ID = /^GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Longest delay of a timer here (2^31 - 1 ms, about 24 days). */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Refuses what a runner could not apply exactly.
 * @throws AttestError `IMAGE_UNAVAILABLE` for another runner's image, `DOCUMENT_INVALID` otherwise.
 */
export function checkRequest({ kind, isolations }: Pick<Runner, 'kind' | 'isolations'>, request: RunRequest): void {
  if (request.image.runner !== kind) {
    throw new AttestError('IMAGE_UNAVAILABLE', `this host runs ${kind} images, the contract names a ${request.image.runner} image`)
  }
  if (!isolations.includes(request.isolation)) throw invalid('contract.isolation', `this host offers ${isolations.join(', ')}`)
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(request.jobId)) throw invalid('contract.jobId', 'want 1 to 64 characters of base64url')
  for (const name of ['timeMs', 'memoryBytes', 'outputBytes', 'pids', 'cpuMillis'] as const) {
    const [value, least] = [request.limits[name], LEAST[request.isolation][name]]
    if (!Number.isSafeInteger(value) || value < least) throw invalid(`contract.limits.${name}`, `want at least ${least}, got ${value}`)
  }
  if (request.limits.timeMs > MAX_TIMER_MS) throw invalid('contract.limits.timeMs', `want at most ${MAX_TIMER_MS}`)
  const words = [...request.argv, ...Object.values(request.env)]
  if (words.some((w) => w.includes('\0') || !w.isWellFormed())) throw invalid('contract.argv', 'arguments and variables must be text')
  if (request.gpus.length > 0 && !takesGpus(request.isolation)) throw invalid('contract.resources', 'this isolation cannot be given a GPU')
  if (request.gpus.some((id) => !GPU_ID.test(id))) throw new AttestError('INTERNAL', 'a GPU without a UUID')
  const names = new Set<string>()
  for (const { name, size } of request.inputs) {
    const fits = fileNameField.safeParse(name).success && Number.isSafeInteger(size) && size >= 0
    if (!fits || names.has(name)) throw invalid('contract.inputs', 'want plain, different file names')
    names.add(name)
  }
}

/** gVisor would need its proxy of NVIDIA's driver, which is more of the kernel than that tier is for. */
export function takesGpus(isolation: IsolationName): boolean {
  return isolation === 'sealgate-container-v1'
}

function invalid(at: string, message: string): AttestError {
  return new AttestError('DOCUMENT_INVALID', message, { at })
}

/** Passes an input on, and holds it to the size that was promised. @throws AttestError `STREAM_TRUNCATED`. */
export async function* exactly(input: {
  readonly size: number
  read(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}): AsyncGenerator<Uint8Array> {
  let left = input.size
  for await (const chunk of input.read()) {
    left -= chunk.length
    if (left < 0) break
    yield chunk
  }
  if (left !== 0) throw new AttestError('STREAM_TRUNCATED', 'an input does not have the size that its header names')
}
