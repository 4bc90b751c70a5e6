import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attest, createSimulatedPlatform, type SimulatedPlatform } from '../../src/sim/index.ts'
import { verifyEvidence } from '../../src/verify/index.ts'

// The workers are compiled files, so the pool is tested as it is shipped.
const { VerifierPool } = (await import(
  new URL('../../dist/pool/index.js', import.meta.url).href
)) as typeof import('../../src/pool/index.ts')

const at = new Date('2026-01-01T00:00:00Z')
const MEASUREMENT = new Uint8Array(48).fill(7)

describe('the verifier pool', () => {
  let platform: SimulatedPlatform
  let pool: InstanceType<typeof VerifierPool>

  beforeAll(async () => {
    platform = await createSimulatedPlatform({ at })
    pool = new VerifierPool({ threads: 2 })
  })
  afterAll(() => pool.close())

  const evidence = (): ReturnType<typeof attest> => attest(platform, { reportData: randomBytes(64), measurement: MEASUREMENT })
  const rest = { at, allowUnknown: [] } as const

  it('gives the verdict that verifyEvidence gives, claims included, for many at once', async () => {
    const { endorsements } = evidence()
    const options = { ...rest, collateral: pool.load(endorsements), trustAnchors: pool.load([platform.root.certificate]) }
    const reports = Array.from({ length: 40 }, () => evidence().report)
    const verdicts = await Promise.all(reports.map((report) => pool.verify(report, options)))
    const want = await verifyEvidence(reports[7] ?? new Uint8Array(), {
      ...rest,
      collateral: endorsements,
      trustAnchors: [platform.root.certificate],
    })
    expect(verdicts.every((v) => v.decision === 'accept')).toBe(true)
    expect(verdicts[7]).toEqual({ ...want })
    expect(want.decision === 'accept' && want.claims.simulated).toBe(true)
  })

  it('rejects a changed report as an answer, and raw collateral works like loaded', async () => {
    const { report, endorsements } = evidence()
    report[0x90] = (report[0x90] ?? 0) ^ 1
    const verdict = await pool.verify(report, { ...rest, collateral: endorsements, trustAnchors: [platform.root.certificate] })
    expect(verdict.decision).toBe('reject')
    expect(verdict.checks.filter((c) => c.outcome === 'fail').map((c) => c.rule)).toEqual(['signature.report'])
  })

  it('answers about collateral that cannot be read as without a pool', async () => {
    const broken = [new TextEncoder().encode('-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n')]
    const { report } = evidence()
    const verdict = await pool.verify(report, { ...rest, collateral: pool.load(broken), trustAnchors: [] })
    const want = await verifyEvidence(report, { ...rest, collateral: broken, trustAnchors: [] })
    expect(verdict).toEqual(want)
    expect(want).toMatchObject({ decision: 'reject', parsed: null })
  })

  it('throws the same errors, with code and place', async () => {
    const options = { ...rest, collateral: [], trustAnchors: [] }
    await expect(pool.verify(evidence().report, { ...options, at: new Date(Number.NaN) })).rejects.toMatchObject({ code: 'USAGE' })
    await expect(pool.verify(evidence().report, { ...options, collateral: { loaded: 99 } })).rejects.toMatchObject({ code: 'USAGE' })
    const strange = { ...options, at: (() => at) as unknown as Date }
    await expect(pool.verify(evidence().report, strange)).rejects.toMatchObject({ code: 'USAGE' })
  })

  it('refuses more than may wait, and everything once it is closed', async () => {
    const small = new VerifierPool({ threads: 1, maxQueued: 1 })
    const options = { ...rest, collateral: [], trustAnchors: [] }
    const first = small.verify(evidence().report, options)
    await expect(small.verify(evidence().report, options)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
    expect((await first).decision).toBe('reject')
    const cut = small.verify(evidence().report, options)
    await Promise.all([expect(cut).rejects.toMatchObject({ code: 'INTERNAL' }), small.close()])
    await expect(small.verify(evidence().report, options)).rejects.toMatchObject({ code: 'USAGE' })
  })

  it.each([0, 1.5, 257, Number.NaN])('refuses %s threads', (threads) => {
    expect(() => new VerifierPool({ threads })).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})
