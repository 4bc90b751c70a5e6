import { join } from 'node:path'
import { loadIdentity, PRIVATE, PUBLIC, refuseExisting, writeNew } from '../../client/index.ts'
import { simulatedMeasurement } from '../../host/attesters/agent-measurement.ts'
import { createSimulatedTee, encodePem, type SimulatedGpus, type SimulatedTee } from '../../sim/index.ts'
import { toHex } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'

const PLATFORM = 'sim-platform.json'
const GPUS = 'sim-gpus.json'
const ROOT = 'simulated-root.pem'
const COLLATERAL = 'simulated-collateral.json'

export interface SimulatedHost {
  /** Path of the simulated root certificates, to be added where simulated evidence shall count. */
  readonly rootPath: string
  /** What a verifier needs beside the evidence; null where that brings everything with it. */
  readonly collateralPath: string | null
  /** Hexadecimal: what this program, run as an agent, says of itself. */
  readonly measurement: string
}

/**
 * Gives a host folder a SIMULATED TEE. Making the keys of SEV-SNP, the default, takes seconds, so an existing TEE may be passed.
 * @param gpus - Null for none.
 * @throws AttestError `ALREADY_EXISTS`.
 */
export async function createSimulatedHost(folder: string, tee?: SimulatedTee, gpus: SimulatedGpus | null = null): Promise<SimulatedHost> {
  const { file } = await loadIdentity(folder)
  if (file.role !== 'host') throw new AttestError('USAGE', `${folder} is the identity of a ${file.role}, not of a host`)
  await refuseExisting(folder, [PLATFORM, GPUS, ROOT, COLLATERAL])
  const { file: platform, root, collateral } = tee ?? (await createSimulatedTee('sev-snp', new Date()))
  const collateralPath = collateral === null ? null : join(folder, COLLATERAL)
  await writeNew(join(folder, PLATFORM), platform, PRIVATE)
  if (gpus !== null) await writeNew(join(folder, GPUS), gpus.file, PRIVATE)
  await writeNew(join(folder, ROOT), [root, ...(gpus?.roots ?? [])].map((der) => encodePem(der)).join(''), PUBLIC)
  if (collateral !== null && collateralPath !== null) await writeNew(collateralPath, collateral, PUBLIC)
  return { rootPath: join(folder, ROOT), collateralPath, measurement: toHex(await simulatedMeasurement()) }
}
