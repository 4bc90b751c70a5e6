import { AttestError } from '../../verify/errors.ts'
import { exists } from './exists.ts'
import { NvmlGpus } from './nvml/gpus.ts'
import { loadNvml, NVML_LIBRARY } from './nvml/library.ts'

/** The driver's control device: there while the NVIDIA driver is loaded. */
const NVIDIA_DRIVER = '/dev/nvidiactl'

export type DevicesKind = 'auto' | 'none' | 'nvml'

export interface DevicesOptions {
  /** Default {@link NVML_LIBRARY}. */
  readonly library?: string
  /** Default {@link NVIDIA_DRIVER}. */
  readonly driver?: string
}

/**
 * Finds the devices of this machine that give evidence of their own. `auto` asks NVML where the NVIDIA driver is loaded,
 * and then never goes on without it.
 * @returns null for none.
 * @throws AttestError `ATTESTER_UNAVAILABLE`.
 */
export async function openDevices(kind: DevicesKind, options: DevicesOptions = {}): Promise<NvmlGpus | null> {
  const { library = NVML_LIBRARY, driver = NVIDIA_DRIVER } = options
  if (kind === 'none' || (kind === 'auto' && !(await exists(driver)))) return null
  const nvml = await loadNvml(library)
  if (nvml === null)
    throw new AttestError('ATTESTER_UNAVAILABLE', `${library} is not here; it comes with the NVIDIA driver`, { at: 'nvml' })
  return NvmlGpus.open(nvml)
}
