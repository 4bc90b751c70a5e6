import { expect } from 'vitest'
import { attest, type IntelFields } from '../../src/sim/index.ts'
import { collateralOf, SimulatedIntel, STRANGER, tcbInfoJson } from '../support/intel.ts'
import { simulatedPlatform } from '../support/simulated-platform.ts'
import type { EvidenceCase } from '../support/vector-cases.ts'

type Options = EvidenceCase['options']

/** How a case must end: accepted, or refused by the first rule that does not pass. */
function simulated(id: string, input: Uint8Array, options: Options, refusedBy: RegExp | null): EvidenceCase {
  return {
    id: `simulated ${id}`,
    input,
    options,
    check: (verdict) => {
      const [first] = verdict.checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true)
      expect(verdict.decision).toBe(refusedBy === null ? 'accept' : 'reject')
      if (refusedBy === null) expect(verdict.decision === 'accept' && verdict.claims).toMatchObject({ simulated: true })
      else expect(first?.rule).toMatch(refusedBy)
      return verdict.decision
    },
  }
}

/** Evidence with one bit of every `stride`th byte changed. */
function flips(id: string, input: Uint8Array, size: number, stride: number, options: Options): readonly EvidenceCase[] {
  return Array.from({ length: Math.ceil(size / stride) }, (_, i) => {
    const changed = input.map((b, at) => (at === i * stride ? b ^ (1 << (i % 8)) : b))
    return simulated(`${id}, byte ${i * stride} flipped`, changed, options, /^(format|signature|chain|debug|policy|tcb)\./)
  })
}

export function simulatedSnpCases(): readonly EvidenceCase[] {
  const platform = simulatedPlatform()
  const { report, endorsements } = attest(platform, { reportData: new Uint8Array(64).fill(7), measurement: new Uint8Array(48).fill(9) })
  const trustAnchors = [platform.root.certificate]
  const options: Options = { collateral: endorsements, trustAnchors, at: new Date('2026-06-01T00:00:00Z'), allowUnknown: [] }
  return [
    simulated('SNP report', report, options, null),
    simulated('SNP report without its root', report, { ...options, trustAnchors: [] }, /^chain\.issuer$/),
    simulated('SNP report without its CRL', report, { ...options, collateral: endorsements.slice(0, 2) }, /^revocation\.issuer$/),
    simulated('SNP report before its time', report, { ...options, at: new Date('2020-01-01T00:00:00Z') }, /^validity\.vek$/),
    ...flips('SNP report', report, report.length, 29, options),
  ]
}

/** One thing that is wrong with a simulated Intel platform, and the rule that says so. */
const WORLDS: readonly (readonly [string, Partial<IntelFields>, RegExp])[] = [
  ['of a revoked platform', { revokedByPlatform: ['leaf'] }, /^revocation\.pck$/],
  ['of a revoked authority', { revokedByRoot: ['platform'] }, /^revocation\.pck-issuer$/],
  ['with forged CRLs', { crlSigner: STRANGER }, /^revocation\./],
  ['under a stranger', { certificates: { leaf: { signedBy: STRANGER } } }, /^chain\.pck$/],
  ['with an old TCB', { pck: { sgx: [3, 3, 2, 2, 3, 1, 0, 3], pceSvn: 13, fmspc: '00a1b2c3d4e5', pceId: '0000' } }, /^tcb\.status$/],
]

export async function simulatedIntelCases(tee: 'tdx' | 'sgx'): Promise<readonly EvidenceCase[]> {
  const intel = new SimulatedIntel()
  const made = await intel.make(tee)
  const options: Options = { collateral: collateralOf(made), trustAnchors: [made.root], at: made.at, allowUnknown: [] }
  const old = await intel.make(tee, { tcbInfo: tcbInfoJson(tee, { nextUpdate: '2026-06-10T00:00:00Z' }) })
  const broken = await Promise.all(
    WORLDS.map(async ([id, world, rule]) => {
      const one = await intel.make(tee, world)
      return simulated(`${tee} quote ${id}`, one.quote, { ...options, collateral: collateralOf(one), trustAnchors: [one.root] }, rule)
    }),
  )
  return [
    simulated(`${tee} quote`, made.quote, options, null),
    simulated(`${tee} quote without its root`, made.quote, { ...options, trustAnchors: [] }, /^chain\.pck$/),
    simulated(`${tee} quote without collateral`, made.quote, { ...options, collateral: [] }, /^validity\.tcb-info$/),
    simulated(`${tee} quote with old TCB info`, old.quote, { ...options, collateral: collateralOf(old) }, /^validity\.tcb-info$/),
    ...broken,
    ...flips(`${tee} quote`, made.quote, 1000, 37, options),
  ]
}
