import { AttestError } from '../../../verify/errors.ts'
import { loadKoffi } from '../native.ts'

/** NVML comes with NVIDIA's driver. */
export const NVML_LIBRARY = 'libnvidia-ml.so.1'

/**
 * The functions that are called, with the types of their parameters (NVML API reference, nvml.h). Structures are buffers
 * that this program lays out itself; a device handle is an address, which fits into 64 bits.
 */
const FUNCTIONS = {
  nvmlInit_v2: [],
  nvmlSystemGetDriverVersion: ['void *', 'uint32_t'],
  nvmlSystemGetConfComputeState: ['void *'],
  nvmlSystemGetConfComputeSettings: ['void *'],
  nvmlSystemGetConfComputeGpusReadyState: ['void *'],
  nvmlSystemSetConfComputeGpusReadyState: ['uint32_t'],
  nvmlDeviceGetCount_v2: ['void *'],
  nvmlDeviceGetHandleByIndex_v2: ['uint32_t', 'void *'],
  nvmlDeviceGetUUID: ['uint64_t', 'void *', 'uint32_t'],
  nvmlDeviceGetArchitecture: ['uint64_t', 'void *'],
  nvmlDeviceGetVbiosVersion: ['uint64_t', 'void *', 'uint32_t'],
  nvmlDeviceGetConfComputeGpuAttestationReport: ['uint64_t', 'void *'],
  nvmlDeviceGetConfComputeGpuCertificate: ['uint64_t', 'void *'],
} as const

export type NvmlFunction = keyof typeof FUNCTIONS

/** NVML_ERROR_FUNCTION_NOT_FOUND: also the answer where the library is older than the function. */
export const FUNCTION_NOT_FOUND = 13

/** Calls NVML on a thread of its own. @returns `nvmlReturn_t`. Buffers may be changed until it resolves. */
export type Nvml = (name: NvmlFunction, ...args: readonly (number | bigint | Uint8Array)[]) => Promise<number>

/**
 * @param library - Name or path; the loader of the system finds a name.
 * @returns null where the machine has no such library.
 * @throws AttestError `ATTESTER_UNAVAILABLE` where the optional package for foreign functions is missing.
 */
export async function loadNvml(library: string = NVML_LIBRARY): Promise<Nvml | null> {
  const koffi = await loadKoffi()
  let handle: ReturnType<typeof koffi.load>
  try {
    handle = koffi.load(library)
  } catch {
    return null
  }
  const bound = new Map<NvmlFunction, ReturnType<typeof handle.func> | null>()
  return (name, ...args) => {
    if (!bound.has(name)) bound.set(name, bind(handle, name))
    const call = bound.get(name)
    if (!call) return Promise.resolve(FUNCTION_NOT_FOUND)
    return new Promise((resolve, reject) => {
      call.async(...args, (cause: Error | null, result: number) => {
        if (cause === null) resolve(result)
        else reject(new AttestError('ATTESTER_UNAVAILABLE', 'the call did not come through', { at: `nvml.${name}`, cause }))
      })
    })
  }
}

function bind(handle: ReturnType<typeof import('koffi')['load']>, name: NvmlFunction): ReturnType<typeof handle.func> | null {
  try {
    return handle.func(name, 'int', [...FUNCTIONS[name]])
  } catch {
    return null
  }
}
