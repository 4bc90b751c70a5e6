import { attest } from '../../src/sim/index.ts'
import type { SnpClaims } from '../../src/verify/evidence/sev-snp/claims.ts'
import { verifyEvidence } from '../../src/verify/verify-evidence.ts'
import { simulatedPlatform } from './simulated-platform.ts'

const platform = simulatedPlatform()
const { report, endorsements } = attest(platform, { reportData: new Uint8Array(64), measurement: new Uint8Array(48).fill(0xab) })
const verdict = await verifyEvidence(report, {
  collateral: endorsements,
  trustAnchors: [platform.root.certificate],
  at: new Date('2026-06-01T00:00:00Z'),
  allowUnknown: [],
})
if (verdict.decision === 'reject' || verdict.claims.tee !== 'sev-snp') throw new Error('the simulated report was not accepted')

/** What a report of the SIMULATED machine proves. */
export const snpClaims: SnpClaims = verdict.claims
