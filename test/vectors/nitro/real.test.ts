import { afterAll, describe, expect, it } from 'vitest'
import type { NitroClaims } from '../../../src/verify/evidence/nitro/claims.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { readManifest, readVector, vectorsFolder } from '../../support/vectors.ts'

interface NitroCase {
  readonly id: string
  readonly kind: string
  readonly evidence_files: { readonly document: string }
  readonly verify_at: string
  readonly expected: {
    readonly verdict: 'pass' | 'fail'
    readonly reason: string | null
    readonly checks?: { readonly debug?: boolean; readonly signature_valid?: boolean }
    readonly parsed?: Readonly<Record<string, unknown>> & { readonly pcrs: Readonly<Record<string, string>> }
  }
}

const folder = vectorsFolder('nitro')

describe.skipIf(folder === null)('real Nitro documents', () => {
  const cases = folder === null ? [] : readManifest<readonly NitroCase[]>(folder).filter((c) => c.kind === 'attestation-document')
  const counts = { accept: 0, debug: 0, tampered: 0 }
  afterAll(() => console.log(`Nitro: ${cases.length} documents: ${JSON.stringify(counts)}`))

  it.each(cases)('$id', async ({ evidence_files, verify_at, expected }) => {
    const bytes = readVector(folder ?? '', evidence_files.document)
    const verdict = await verifyEvidence(bytes, { collateral: [], trustAnchors: [], at: new Date(verify_at), allowUnknown: [] })
    expect(verdict.decision).toBe(expected.verdict === 'pass' ? 'accept' : 'reject')
    const failed = verdict.checks.filter((c) => c.outcome !== 'pass').map((c) => c.rule)
    if (expected.checks?.debug === true && expected.checks.signature_valid === true) {
      expect(failed).toEqual(['debug.pcr0'])
      counts.debug++
    } else if (expected.verdict === 'fail') {
      expect(verdict.authentic).toBe(false)
      counts.tampered++
    }
    const { parsed } = expected
    if (parsed !== undefined) {
      expect(verdict.parsed).toMatchObject({
        moduleId: parsed.module_id,
        digest: parsed.digest,
        timestamp: parsed.ts_ms,
        pcrs: parsed.pcrs,
        publicKey: parsed.public_key,
        userData: parsed.user_data,
        nonce: parsed.nonce,
      })
    }
    if (verdict.decision === 'reject') return
    counts.accept++
    const claims = verdict.claims as NitroClaims
    expect(claims).toMatchObject({ tee: 'nitro', measurement: parsed?.pcrs['0'], debug: false, simulated: false })
  })
})
