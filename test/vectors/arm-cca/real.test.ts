import { afterAll, describe, expect, it } from 'vitest'
import { parsePlatformClaims, parseRealmClaims } from '../../../src/verify/evidence/arm-cca/parse.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { readManifest, readVector, vectorsFolder } from '../../support/vectors.ts'

interface CcaCase {
  readonly id: string
  readonly kind: string
  readonly evidence_files: { readonly token: string; readonly claims: string }
  readonly collateral_files: { readonly cpak_public?: string; readonly iak_public?: string }
  readonly expected: {
    readonly verdict: 'pass' | 'fail' | 'parse-ok'
    readonly parsed?: { readonly platform: Record<string, unknown>; readonly realm: Record<string, unknown> }
  }
}

const AT = new Date('2026-11-26T00:00:00Z')
const folder = vectorsFolder('arm-cca')

describe.skipIf(folder === null)('Arm tokens', () => {
  const all = folder === null ? [] : readManifest<readonly CcaCase[]>(folder)
  const counts = { accept: 0, reject: 0, claims: 0 }
  afterAll(() => console.log(`Arm CCA and PSA: ${JSON.stringify(counts)}`))
  const read = (path: string): Uint8Array => readVector(folder ?? '', path)

  it.each(all.filter((c) => c.kind === 'cca-token' || c.kind === 'psa-token'))(
    '$id',
    async ({ kind, evidence_files, collateral_files, expected }) => {
      const token = read(evidence_files.token)
      const key = read(collateral_files.cpak_public ?? collateral_files.iak_public ?? '')
      const options = { collateral: [], at: AT, allowUnknown: [] }
      const verdict = await verifyEvidence(token, { ...options, trustAnchors: [key] })
      const failed = verdict.checks.filter((c) => c.outcome !== 'pass').map((c) => c.rule)
      expect(failed).toEqual(expected.verdict === 'pass' ? [] : ['chain.realm-key'])
      if (verdict.decision === 'accept') expect(verdict.claims.simulated).toBe(true)
      counts[verdict.decision]++
      const platform = kind === 'psa-token' ? null : expected.parsed
      if (platform != null) expectParsed(verdict.parsed, platform)
      const alone = await verifyEvidence(token, { ...options, trustAnchors: [] })
      expect(alone.checks.filter((c) => c.outcome === 'unknown').map((c) => c.rule)).toContain('chain.endorsement')
      expect(alone.decision).toBe('reject')
    },
  )

  it.each(all.filter((c) => c.kind === 'cca-claims-set'))('$id', async ({ evidence_files, expected }) => {
    const bytes = read(evidence_files.claims)
    const parse = evidence_files.claims.includes('platform') ? parsePlatformClaims : parseRealmClaims
    expect(await outcomeOf(() => parse(bytes))).toBe(expected.verdict === 'parse-ok' ? 'accepted' : 'DOCUMENT_INVALID')
    if (evidence_files.claims.includes('spurious')) expect(parse(bytes).strangers).toHaveLength(1)
    counts.claims++
  })
})

function expectParsed(parsed: unknown, { platform, realm }: { platform: Record<string, unknown>; realm: Record<string, unknown> }): void {
  expect(parsed).toMatchObject({
    platform: {
      profile: platform['265'],
      challenge: platform['10'],
      implementationId: platform['2396'],
      instanceId: platform['256'],
      config: platform['2401'],
      lifecycle: platform['2395'],
      hashAlgorithm: platform['2402'],
      softwareComponents: (platform['2399'] as Record<string, string>[]).map((c) => ({
        type: c['1'] ?? null,
        measurement: c['2'],
        version: c['4'] ?? null,
        signerId: c['5'],
        hashAlgorithm: c['6'] ?? null,
      })),
    },
    realm: {
      profile: realm['265'] ?? null,
      challenge: realm['10'],
      personalizationValue: realm['44235'],
      hashAlgorithm: realm['44236'],
      publicKey: realm['44237'],
      initialMeasurement: realm['44238'],
      extensibleMeasurements: realm['44239'],
      publicKeyHashAlgorithm: realm['44240'],
    },
  })
}
