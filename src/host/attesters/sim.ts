import type { SimulatedTee } from '../../sim/index.ts'
import type { Attester } from './attester.ts'

/** An attester whose reports verify only under the simulated TEE's own root. @param measurement - 48 bytes. */
export function simulatedAttester(tee: SimulatedTee, measurement: Uint8Array): Attester {
  return {
    format: tee.format,
    simulated: true,
    attest: ({ reportData }) => Promise.resolve(tee.attest(reportData, measurement)),
  }
}
