import { afterAll, describe, expect, it } from 'vitest'
import { concat, toBase64, toHex, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { exitCodeOf } from '../../../src/verify/verdict.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { vectorsFolder } from '../../support/vectors.ts'
import { collateralOf, evidenceCases, evidenceOf, loadCases } from './cases.ts'

const folder = vectorsFolder('sev-snp')
const cases = folder === null ? [] : loadCases(folder)
const reports = cases.filter((c) => c.kind === 'sev-snp-report' || c.kind === 'configfs-tsm-report')
const cache = createVerifyCache()
const counts = { accepted: 0, 'accepted by the strict default': 0, refused: 0, 'parsed values compared': 0 }

const questions = new Map(evidenceCases().map((c) => [c.id, c]))

describe.skipIf(folder === null)('real SEV-SNP evidence', () => {
  it.each(reports)('gives $expected.verdict for $id', async (vector) => {
    const found = questions.get(vector.id)
    if (found === undefined) throw new Error(`no question for ${vector.id}`)
    const { input, options, check } = found
    if (check(await verifyEvidence(input, { ...options, cache })) === 'accept') counts.accepted++
    else counts.refused++
    counts['parsed values compared'] += Object.keys({ ...vector.expected.parsed, ...vector.expected.vek }).length

    const strict = await verifyEvidence(input, { ...options, allowUnknown: [], cache })
    const revocationKnown = strict.checks.every((c) => c.rule !== 'revocation.issuer' || c.outcome === 'pass')
    if (vector.expected.verdict === 'pass') {
      expect(strict.decision).toBe(revocationKnown ? 'accept' : 'reject')
      expect(exitCodeOf(strict.checks)).toBe(revocationKnown ? 0 : 6)
    }
    if (strict.decision === 'accept') counts['accepted by the strict default']++
  })

  it.each(reports.filter((c) => c.expected.verdict === 'pass'))('accepts $id by its VEK alone, in every spelling', async (vector) => {
    const [vek] = collateralOf(folder ?? '', vector)
    if (vek === undefined || vector.kind !== 'sev-snp-report') return
    const report = evidenceOf(folder ?? '', vector)
    const response = concat(new Uint8Array(4), Uint8Array.of(0xa0, 0x04, 0, 0), new Uint8Array(24), report, new Uint8Array(64))
    const options = { collateral: [vek], trustAnchors: [], at: new Date(vector.verify_at), allowUnknown: ['revocation'] as const, cache }
    const lines = (text: string): string => `${text.replace(/.{1,76}/g, '$&\n')}`
    const spellings = [report, response, utf8(toHex(report)), utf8(lines(toBase64(report))), utf8(lines(toHex(report).toUpperCase()))]
    for (const input of spellings) expect((await verifyEvidence(input, options)).decision).toBe('accept')
  })

  it('accepts by the strict default every report that a CRL window covers, 21 at least', async () => {
    const instants = [
      '2024-12-22T04:36:24Z',
      '2025-04-30T00:00:00Z',
      '2025-07-20T00:00:00Z',
      '2025-10-30T00:00:00Z',
      '2026-05-10T00:00:00Z',
    ]
    const passing = new Set<string>()
    for (const vector of cases.filter((c) => c.kind === 'sev-snp-report')) {
      const [input, collateral] = [evidenceOf(folder ?? '', vector), collateralOf(folder ?? '', vector)]
      for (const at of [vector.verify_at, ...instants].map((t) => new Date(t))) {
        const verdict = await verifyEvidence(input, { collateral, trustAnchors: [], at, allowUnknown: [], cache })
        if (verdict.decision === 'accept') passing.add(vector.id)
      }
    }
    console.info(`SEV-SNP reports that the strict default accepts inside of a CRL window: ${passing.size}`)
    expect(passing.size).toBeGreaterThanOrEqual(21)
  })

  afterAll(() => console.table({ ...counts, reports: reports.length }))
})
