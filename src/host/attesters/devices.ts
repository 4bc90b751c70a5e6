import { readFile } from 'node:fs/promises'
import { parseSimulatedGpus } from '../../sim/index.ts'
import { AttestError } from '../../verify/errors.ts'
import type { DeviceAttester } from './attester.ts'
import { exists } from './exists.ts'
import { NvmlGpus } from './nvml/gpus.ts'
import { loadNvml, NVML_LIBRARY } from './nvml/library.ts'
import { simulatedDevices } from './sim.ts'

/** The driver's control device: there while the NVIDIA driver is loaded. */
const NVIDIA_DRIVER = '/dev/nvidiactl'

export type DevicesKind = 'auto' | 'none' | 'nvml' | 'sim'

export interface DevicesOptions {
  /** Default {@link NVML_LIBRARY}. */
  readonly library?: string
  /** Default {@link NVIDIA_DRIVER}. */
  readonly driver?: string
  /** File of simulated GPUs. Not given: there are none. */
  readonly simulatedFile?: string
}

/**
 * Finds the devices of this machine that give evidence of their own. `auto` asks NVML where the NVIDIA driver is loaded,
 * and then never goes on without it; else it takes the simulated GPUs of the host's folder, if any.
 * @returns null for none.
 * @throws AttestError `ATTESTER_UNAVAILABLE`.
 */
export async function openDevices(kind: DevicesKind, options: DevicesOptions = {}): Promise<DeviceAttester | null> {
  const { library = NVML_LIBRARY, driver = NVIDIA_DRIVER, simulatedFile } = options
  if (kind === 'none') return null
  if (kind === 'sim' || (kind === 'auto' && !(await exists(driver)))) return openSimulatedGpus(kind, simulatedFile)
  const nvml = await loadNvml(library)
  if (nvml === null)
    throw new AttestError('ATTESTER_UNAVAILABLE', `${library} is not here; it comes with the NVIDIA driver`, { at: 'nvml' })
  return NvmlGpus.open(nvml)
}

async function openSimulatedGpus(kind: DevicesKind, file: string | undefined): Promise<DeviceAttester | null> {
  if (file !== undefined && (await exists(file))) return simulatedDevices(parseSimulatedGpus(new Uint8Array(await readFile(file))))
  if (kind === 'auto') return null
  throw new AttestError('ATTESTER_UNAVAILABLE', `no simulated GPUs${file === undefined ? ': no host folder is named' : ` at ${file}`}`, {
    at: 'sim',
  })
}
