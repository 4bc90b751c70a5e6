import { join } from 'node:path'
import { loadIdentity, PRIVATE, PUBLIC, refuseExisting, writeNew } from '../../client/index.ts'
import { simulatedMeasurement } from '../../host/attesters/agent-measurement.ts'
import { createSimulatedPlatform, encodeSimulatedPlatform, type SimulatedPlatform } from '../../sim/index.ts'
import { toBase64, toHex } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'

const PLATFORM = 'sim-platform.json'
const ROOT = 'simulated-root.pem'

export interface SimulatedHost {
  /** Path of the simulated root certificate, to be added where simulated evidence shall count. */
  readonly rootPath: string
  /** Hexadecimal: what this program, run as an agent, says of itself. */
  readonly measurement: string
}

/**
 * Gives a host folder a SIMULATED TEE. Making its keys takes seconds, so an existing one may be passed.
 * @throws AttestError `ALREADY_EXISTS`.
 */
export async function createSimulatedHost(folder: string, platform?: SimulatedPlatform): Promise<SimulatedHost> {
  const { file } = await loadIdentity(folder)
  if (file.role !== 'host') throw new AttestError('USAGE', `${folder} is the identity of a ${file.role}, not of a host`)
  await refuseExisting(folder, [PLATFORM, ROOT])
  const made = platform ?? (await createSimulatedPlatform({ at: new Date() }))
  await writeNew(join(folder, PLATFORM), encodeSimulatedPlatform(made), PRIVATE)
  await writeNew(join(folder, ROOT), pemOf(made.root.certificate), PUBLIC)
  return { rootPath: join(folder, ROOT), measurement: toHex(await simulatedMeasurement()) }
}

function pemOf(der: Uint8Array): string {
  const lines = toBase64(der).match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}
