import type { NvidiaRequirements } from './appraise.ts'
import type { Architecture } from './architecture.ts'

/** What a policy asks of GPUs and switches. Some of it only claims can answer: what there is, not what one of them is. */
export interface DeviceRequirements extends Omit<NvidiaRequirements, 'firmwareId' | 'ocsp'> {
  /** A GPU whose report names no firmware id is refused, whatever its driver. */
  readonly firmwareId?: true
  readonly architectures?: readonly Architecture[]
  /** Fewest GPUs that must be shown. */
  readonly minimumGpus?: number
  /** Most seconds since each OCSP response was made. */
  readonly maximumOcspAgeSeconds?: number
}
