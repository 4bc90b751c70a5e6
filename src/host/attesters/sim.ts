import type { SimulatedGpus, SimulatedTee } from '../../sim/index.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Attester, DeviceAttester } from './attester.ts'

/** An attester whose reports verify only under the simulated TEE's own root. @param measurement - 48 bytes. */
export function simulatedAttester(tee: SimulatedTee, measurement: Uint8Array): Attester {
  return {
    format: tee.format,
    simulated: true,
    attest: ({ reportData }) => Promise.resolve(tee.attest(reportData, measurement)),
  }
}

/** Devices whose reports verify only under the simulated NVIDIA's own roots. */
export function simulatedDevices({ count, endorsements, attest }: SimulatedGpus): DeviceAttester {
  return {
    unattested: [],
    endorsements,
    simulated: true,
    count: () => Promise.resolve(count),
    engineIds: () => Promise.resolve([]),
    async attestDevices(nonces) {
      if (nonces.length !== count) throw new AttestError('ATTESTER_UNAVAILABLE', `${count} GPUs for ${nonces.length} nonces`, { at: 'sim' })
      return attest(nonces)
    },
  }
}
