import { attest, type SimulatedPlatform } from '../../sim/index.ts'
import type { Attester } from './attester.ts'

/** An attester whose reports verify only under the platform's own root. @param measurement - 48 bytes. */
export function simulatedAttester(platform: SimulatedPlatform, measurement: Uint8Array): Attester {
  return {
    format: 'sev-snp',
    simulated: true,
    attest: ({ reportData }) => Promise.resolve(attest(platform, { reportData, measurement })),
  }
}
