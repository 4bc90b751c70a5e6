import { beforeAll, describe, expect, it } from 'vitest'
import { attest } from '../../../src/sim/index.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { REPORT_SIZE, SIGNED_SIZE } from '../../../src/verify/evidence/sev-snp/layout.ts'
import type { VerifyOptions } from '../../../src/verify/evidence/types.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { truncationErrors } from '../../support/damage.ts'
import { simulatedPlatform } from '../../support/simulated-platform.ts'
import { vectorsFolder } from '../../support/vectors.ts'
import { collateralOf, evidenceOf, loadCases } from './cases.ts'

/** Flips each bit in turn; the certificates are read once. @returns bits whose flip was accepted. */
async function acceptedFlips(report: Uint8Array, bytes: number, options: VerifyOptions): Promise<readonly number[]> {
  const accepted: number[] = []
  for (let bit = 0; bit < bytes * 8; bit++) {
    const flipped = new Uint8Array(report)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const verdict = await verifyEvidence(flipped, options)
    if (verdict.decision === 'accept') accepted.push(bit)
  }
  return accepted
}

const folder = vectorsFolder('sev-snp')

describe.skipIf(folder === null)('a real SEV-SNP report', () => {
  const id = 'snp-genoa-v5-oak-1'
  let report: Uint8Array
  let options: VerifyOptions

  beforeAll(() => {
    const vector = loadCases(folder ?? '').find((c) => c.id === id)
    if (vector === undefined) throw new Error(`no case ${id}`)
    report = evidenceOf(folder ?? '', vector)
    const at = new Date(vector.verify_at)
    options = {
      format: 'sev-snp',
      collateral: collateralOf(folder ?? '', vector),
      trustAnchors: [],
      at,
      allowUnknown: ['revocation'],
      cache: createVerifyCache(),
    }
  })

  it('is refused after the flip of any bit of its signed part', async () => {
    expect((await verifyEvidence(report, options)).decision).toBe('accept')
    expect(await acceptedFlips(report, SIGNED_SIZE, options)).toEqual([])
    console.info(`${SIGNED_SIZE * 8} bit flips of a real report refused`)
  })

  it('is refused with a typed error when it is cut off anywhere', async () => {
    expect(await truncationErrors(report, options)).toEqual(['EVIDENCE_TRUNCATED'])
  })
})

describe('a simulated SEV-SNP report', () => {
  const platform = simulatedPlatform()
  const { report, endorsements } = attest(platform, { reportData: new Uint8Array(64).fill(7), measurement: new Uint8Array(48).fill(9) })
  const options: VerifyOptions = {
    format: 'sev-snp',
    collateral: endorsements,
    trustAnchors: [platform.root.certificate],
    at: new Date('2026-06-01T00:00:00Z'),
    allowUnknown: [],
    cache: createVerifyCache(),
  }

  it('is refused after the flip of any of its bits, signed or not', async () => {
    expect((await verifyEvidence(report, options)).decision).toBe('accept')
    expect(await acceptedFlips(report, REPORT_SIZE, options)).toEqual([])
    console.info(`${REPORT_SIZE * 8} bit flips of a simulated report refused`)
  })

  it('is refused with a typed error when it is cut off anywhere', async () => {
    expect(await truncationErrors(report, { ...options, format: 'auto' })).toEqual(['EVIDENCE_TRUNCATED', 'EVIDENCE_UNRECOGNIZED'])
  })
})
