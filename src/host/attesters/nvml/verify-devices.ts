import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BaseLogger } from 'pino'
import { createVerifyCache } from '../../../verify/evidence/cache.ts'
import { type CollateralItem, loadCollateral } from '../../../verify/evidence/collateral.ts'
import { joinDevices, loadChain } from '../../../verify/evidence/nvidia/devices.ts'
import { nvidiaRoots } from '../../../verify/evidence/nvidia/roots.ts'
import { verifyDevice } from '../../../verify/evidence/nvidia/verify.ts'
import { accepts } from '../../../verify/verdict.ts'
import type { DeviceEvidence } from '../attester.ts'
import type { VerifyDevices } from './admit.ts'

export interface DeviceVerifierOptions {
  /** Folder of manifests and OCSP responses, each recognised by content. One that does not exist is empty. */
  readonly folder: string
  readonly now: () => Date
  readonly logger: BaseLogger
}

const KINDS = { gpu: 'gpu', nvswitch: 'switch' } as const

/**
 * The strict verifier of this machine's own devices, under NVIDIA's roots alone: genuine, as published, nothing revoked, all
 * different and in one mode. Asks no network. What stands in the way is logged.
 */
export function deviceVerifier({ folder, now, logger }: DeviceVerifierOptions): VerifyDevices {
  return async (devices, nonces) => {
    const cache = createVerifyCache()
    const collateral = await loadCollateral(await readItems(folder), cache)
    const common = { collateral, roots: nvidiaRoots([]), at: now().getTime(), measurement: null, requirements: {}, cache }
    const verify = async ({ type, report, certificateChain }: DeviceEvidence, i: number): ReturnType<typeof verifyDevice> => {
      const certificates = await loadChain(certificateChain, `devices[${i}]`, cache)
      return verifyDevice({ ...common, kind: KINDS[type], report, certificates, nonce: nonces[i] ?? new Uint8Array() })
    }
    const { checks } = joinDevices(await Promise.all(devices.map(verify)))
    const accepted = accepts(checks)
    if (!accepted) logger.error({ folder, checks: checks.filter((c) => c.outcome !== 'pass') }, 'the evidence of the GPUs is rejected')
    return accepted
  }
}

async function readItems(folder: string): Promise<readonly CollateralItem[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const names = entries.filter((entry) => entry.isFile()).map((entry) => join(folder, entry.name))
  return Promise.all(names.sort().map(async (name) => ({ name, bytes: new Uint8Array(await readFile(name)) })))
}
