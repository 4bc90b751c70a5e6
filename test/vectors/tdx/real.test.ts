import { afterAll, describe, expect, it } from 'vitest'
import type { TdReportField } from '../../../src/verify/evidence/tdx/td-report.ts'
import { decide, troubles, verifyTd } from '../../support/dcap.ts'
import { expectCommon, flipBits, mutationOutcome, type Tally, tally } from '../../support/dcap-vector-checks.ts'
import { eventLogVectors, mutatedVectors, quoteVectors, tdxFolder } from '../../support/dcap-vectors.ts'

describe.skipIf(tdxFolder === null)('real TDX quotes', () => {
  const counts: Tally = tally('TDX')
  afterAll(() => counts.print())

  const vectors = tdxFolder === null ? [] : quoteVectors('tdx')
  describe.each(vectors)('$id', (vector) => {
    it('gives the expected verdict, with the expected values', async () => {
      const result = await verifyTd(vector)
      const verdict = decide(result)
      const { expected } = vector
      expectCommon(verdict, expected)
      const { tdReport } = result.parsed
      for (const [name, value] of Object.entries(expected.parsed?.td_report ?? {})) {
        expect([name, tdReport[FIELDS[name] ?? 'mrTd']]).toEqual([name, value])
      }
      expect(result.parsed.tcb?.tdxModuleStatus ?? 'n/a (TDX module version 0)').toBe(expected.tdx_module_tcb_status)
      const { raw, sept_ve_disable, migratable, debug } = expected.parsed?.td_attributes_decoded ?? {}
      expect(tdReport.tdAttributeBits).toMatchObject({ raw, septVeDisable: sept_ve_disable, migratable, debug })
      counts.count(verdict.decision)
    })
  })

  const mutated = tdxFolder === null ? [] : mutatedVectors('tdx')
  it.each(mutated)('$id is refused: $reason', async (vector) => {
    const outcome = await mutationOutcome(() => verifyTd(vector), vector.reason)
    counts.count('recipe')
    expect(outcome).toEqual({ refused: true, fitting: true })
  })

  const logs = tdxFolder === null ? [] : eventLogVectors()
  it.each(logs)('event log $id', async ({ quote, eventLog, expected }) => {
    const result = await verifyTd({ quote, collateral: [], at: new Date('2026-01-01T00:00:00Z') }, { eventLogs: [eventLog] })
    expect(result.parsed.eventLog?.events).toBe(expected.events)
    expect(Object.values(result.parsed.eventLog?.replayed ?? {})).toEqual(expected.replayed)
    const wrong = troubles(result).filter((t) => t.startsWith('binding.'))
    expect(wrong).toEqual(expected.equal?.flatMap((is, i) => (is ? [] : [`binding.rtmr${i}=fail`])))
    counts.count('event log')
  })

  it('refuses every single flipped bit of the signed part of one quote', async () => {
    const vector = vectors.find((v) => v.expected.verdict === 'pass' && v.id.startsWith('tdx-v5'))
    if (vector === undefined) throw new Error('no vector')
    expect(await flipBits(vector, (one, cache, collateral) => verifyTd(one, { cache, collateral }), 48 + 6 + 648)).toBe(8 * (48 + 6 + 648))
  })
})

const FIELDS: Readonly<Record<string, TdReportField>> = {
  tee_tcb_svn: 'teeTcbSvn',
  mrseam: 'mrSeam',
  mrsignerseam: 'mrSignerSeam',
  seam_attributes: 'seamAttributes',
  td_attributes: 'tdAttributes',
  xfam: 'xfam',
  mrtd: 'mrTd',
  mrconfigid: 'mrConfigId',
  mrowner: 'mrOwner',
  mrownerconfig: 'mrOwnerConfig',
  rtmr0: 'rtmr0',
  rtmr1: 'rtmr1',
  rtmr2: 'rtmr2',
  rtmr3: 'rtmr3',
  report_data: 'reportData',
  tee_tcb_svn2: 'teeTcbSvn2',
  mrservicetd: 'mrServiceTd',
}
