import { access, readFile } from 'node:fs/promises'
import { parseSimulatedTee } from '../../sim/index.ts'
import { AttestError } from '../../verify/errors.ts'
import { simulatedMeasurement } from './agent-measurement.ts'
import type { Attester } from './attester.ts'
import { openConfigfsTsm, TSM_ROOT } from './configfs-tsm.ts'
import { simulatedAttester } from './sim.ts'

export type AttesterKind = 'auto' | 'sim' | 'configfs-tsm'

export interface AttesterOptions {
  /** File with the keys of a simulated TEE. */
  readonly platformFile: string
  /** Default {@link TSM_ROOT}. */
  readonly tsmRoot?: string
  /** For demonstrations of an attack: a simulated TEE that lies about what it runs. 48 bytes. */
  readonly dangerouslyClaimMeasurement?: Uint8Array
}

/**
 * Finds the source of this machine's evidence. `auto` takes the kernel's TEE where there is one and never falls back from
 * it; else the simulated TEE of the host's folder.
 * @throws AttestError `ATTESTER_UNAVAILABLE`, `USAGE`; `JSON_*` or `DOCUMENT_INVALID` for a damaged platform file.
 */
export async function createAttester(kind: AttesterKind, options: AttesterOptions): Promise<Attester> {
  const { platformFile, tsmRoot = TSM_ROOT, dangerouslyClaimMeasurement } = options
  const wantsKernel = kind === 'configfs-tsm' || (kind === 'auto' && (await exists(tsmRoot)))
  if (wantsKernel && dangerouslyClaimMeasurement !== undefined) {
    throw new AttestError('USAGE', 'a real TEE measures by itself; only a simulated one can claim a measurement')
  }
  if (wantsKernel) return openConfigfsTsm(tsmRoot)
  if (!(await exists(platformFile))) {
    const message = `no TEE at ${tsmRoot} and no simulated one at ${platformFile}`
    throw new AttestError('ATTESTER_UNAVAILABLE', kind === 'auto' ? message : `no simulated TEE at ${platformFile}`)
  }
  const tee = parseSimulatedTee(new Uint8Array(await readFile(platformFile)))
  return simulatedAttester(tee, dangerouslyClaimMeasurement ?? (await simulatedMeasurement()))
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
