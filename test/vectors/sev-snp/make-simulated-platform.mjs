// Makes simulated-platform.golden.json: throwaway keys of a SIMULATED machine, so that tests need not wait for RSA-4096 keys.
// Run `npm run build` first, then `node test/vectors/sev-snp/make-simulated-platform.mjs`.
import { writeFileSync } from 'node:fs'
import { createSimulatedPlatform, encodeSimulatedPlatform } from '../../../dist/sim/index.js'

const platform = await createSimulatedPlatform({ at: new Date('2026-01-01T00:00:00Z') })
writeFileSync(new URL('simulated-platform.golden.json', import.meta.url), encodeSimulatedPlatform(platform))
