import { readFile } from 'node:fs/promises'
import { parseSimulatedTee } from '../../sim/index.ts'
import { AttestError } from '../../verify/errors.ts'
import { simulatedMeasurement } from './agent-measurement.ts'
import type { Attester } from './attester.ts'
import { openConfigfsTsm, TSM_ROOT } from './configfs-tsm.ts'
import { exists } from './exists.ts'
import { NSM, openNitro } from './nitro.ts'
import { openSevGuest, SEV_GUEST } from './sev-guest.ts'
import { simulatedAttester } from './sim.ts'
import { openTpm } from './tpm.ts'
import { TPM_DEVICE } from './tpm-transport.ts'

type HardwareKind = 'configfs-tsm' | 'sev-guest' | 'nitro' | 'tpm'

export type AttesterKind = 'auto' | 'sim' | HardwareKind

interface Hardware {
  /** Where its interface lies. */
  readonly path: string
  open(path: string): Promise<Attester>
}

const HARDWARE: Readonly<Record<HardwareKind, Hardware>> = {
  'configfs-tsm': { path: TSM_ROOT, open: (path) => openConfigfsTsm(path) },
  'sev-guest': { path: SEV_GUEST, open: (path) => openSevGuest(path) },
  nitro: { path: NSM, open: (path) => openNitro(path) },
  tpm: { path: TPM_DEVICE, open: openTpm },
}

/** Where `auto` looks, in this order. What is no TEE by itself (a TPM) must be asked for by name. */
const AUTO: readonly HardwareKind[] = ['configfs-tsm', 'sev-guest', 'nitro']

export interface AttesterOptions {
  /** File with the keys of a simulated TEE. Not given: there is none. */
  readonly platformFile?: string
  /** Where the interfaces lie that are not in their usual place. */
  readonly paths?: Partial<Readonly<Record<HardwareKind, string>>>
  /** For demonstrations of an attack: a simulated TEE that lies about what it runs. 48 bytes. */
  readonly dangerouslyClaimMeasurement?: Uint8Array
}

/**
 * Finds the source of this machine's evidence. `auto` takes the kernel's TEE where there is one and never falls back from
 * it; else the simulated TEE of the host's folder.
 * @throws AttestError `ATTESTER_UNAVAILABLE`, `USAGE`; `JSON_*` or `DOCUMENT_INVALID` for a damaged platform file.
 */
export async function createAttester(kind: AttesterKind, options: AttesterOptions): Promise<Attester> {
  const { paths = {}, dangerouslyClaimMeasurement } = options
  const found = kind === 'auto' ? await firstHardware(paths) : kind === 'sim' ? null : kind
  if (found === null) return openSimulated(kind, options)
  if (dangerouslyClaimMeasurement !== undefined) {
    throw new AttestError('USAGE', 'a real TEE measures by itself; only a simulated one can claim a measurement')
  }
  return HARDWARE[found].open(paths[found] ?? HARDWARE[found].path)
}

async function firstHardware(paths: NonNullable<AttesterOptions['paths']>): Promise<HardwareKind | null> {
  for (const kind of AUTO) {
    if (await exists(paths[kind] ?? HARDWARE[kind].path)) return kind
  }
  return null
}

async function openSimulated(kind: AttesterKind, options: AttesterOptions): Promise<Attester> {
  const { platformFile, dangerouslyClaimMeasurement } = options
  if (platformFile === undefined || !(await exists(platformFile))) {
    const looked = AUTO.map((name) => HARDWARE[name].path)
    const simulated = platformFile === undefined ? 'no host folder is named for a simulated one' : `no simulated one at ${platformFile}`
    throw new AttestError('ATTESTER_UNAVAILABLE', kind === 'auto' ? `no TEE at ${looked.join(', ')}; ${simulated}` : simulated)
  }
  const tee = parseSimulatedTee(new Uint8Array(await readFile(platformFile)))
  return simulatedAttester(tee, dangerouslyClaimMeasurement ?? (await simulatedMeasurement()))
}
