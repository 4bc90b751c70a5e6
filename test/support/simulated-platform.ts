import { readFileSync } from 'node:fs'
import { parseSimulatedPlatform, type SimulatedPlatform } from '../../src/sim/index.ts'

/** A SIMULATED machine with throwaway keys, valid from 2026 for ten years. See test/vectors/sev-snp/make-simulated-platform.mjs. */
export function simulatedPlatform(): SimulatedPlatform {
  return parseSimulatedPlatform(new Uint8Array(readFileSync(new URL('../vectors/sev-snp/simulated-platform.golden.json', import.meta.url))))
}
