import { afterAll, describe, expect, it } from 'vitest'
import { fromHex, utf8 } from '../../../src/verify/bytes/bytes.ts'
import type { TokenParsed } from '../../../src/verify/evidence/tokens/claims.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { readManifest, readVector, vectorsFolder } from '../../support/vectors.ts'

interface TokenCase {
  readonly id: string
  readonly kind: string
  readonly evidence_files: Readonly<Record<string, string>>
  readonly collateral_files?: Readonly<Record<string, string>>
  readonly verify_at: string
  readonly expected: {
    readonly client_nonce?: string
    readonly nras?: {
      readonly iss: string
      readonly overall_result: boolean
      readonly eat_nonce: string
      readonly submods: Record<string, unknown>
    }
  }
}

const folder = vectorsFolder('nvidia-gpu')
const common = { format: 'nras-eat', collateral: [], allowUnknown: [] } as const

function failed(verdict: EvidenceVerdict): readonly string[] {
  return verdict.checks.filter((c) => c.outcome !== 'pass').map((c) => c.rule)
}

describe.skipIf(folder === null)('real answers of NRAS', () => {
  const all = folder === null ? [] : readManifest<readonly TokenCase[]>(folder)
  const counts = { accept: 0, reject: 0, unverifiable: 0, mutation: 0, local: 0 }
  afterAll(() => console.log(`NRAS: ${JSON.stringify(counts)}`))
  const read = (path = ''): Uint8Array => readVector(folder ?? '', path)
  const recorded = all.filter((c) => c.collateral_files?.nras_response !== undefined)

  it.each(recorded)('$id', async ({ collateral_files, verify_at, expected }) => {
    const token = read(collateral_files?.nras_response)
    const trustAnchors = [read(collateral_files?.nras_jwks)]
    const nonce = fromHex(expected.client_nonce ?? '')
    const verdict = await verifyEvidence(token, { ...common, trustAnchors, at: new Date(verify_at), nonce })
    expect(verdict.decision).toBe(expected.nras?.overall_result === true ? 'accept' : 'reject')
    expect(verdict.parsed).toMatchObject({ verifier: 'nras', issuer: expected.nras?.iss })
    counts[verdict.decision]++
    if (verdict.decision === 'reject') {
      expect(verdict.authentic).toBe(true)
      expect(failed(verdict)).toContain('policy.overall-result')
      return
    }
    const names = Object.keys(expected.nras?.submods ?? {}).sort()
    expect(verdict.claims).toMatchObject({ tee: 'nvidia-gpu', debug: false, reportData: expected.nras?.eat_nonce })
    expect((verdict.parsed as TokenParsed).submodules.map((s) => s.name).sort()).toEqual(names)

    const otherNonce = await verifyEvidence(token, { ...common, trustAnchors, at: new Date(verify_at), nonce: nonce.map((b) => b ^ 1) })
    expect(failed(otherNonce)).toEqual(['freshness.nonce'])
    const late = await verifyEvidence(token, { ...common, trustAnchors, at: new Date(Date.parse(verify_at) + 2 * 3600_000) })
    expect(late.authentic).toBe(false)
    const unsigned = await verifyEvidence(token, { ...common, trustAnchors: [], at: new Date(verify_at) })
    expect(failed(unsigned)).toEqual(['signature.token', 'signature.submodules'])
    const auto = await verifyEvidence(token, { ...common, format: 'auto', trustAnchors, at: new Date(verify_at) })
    expect(auto).toMatchObject({ decision: 'reject', error: { code: 'EVIDENCE_UNRECOGNIZED' } })
    const [head, detached] = JSON.parse(new TextDecoder().decode(token)) as [unknown, Record<string, string>]
    const [first = '', second = first] = Object.keys(detached)
    const without = { ...detached }
    delete without[first]
    const forged = [
      [head, without],
      [head, { ...detached, 'GPU-99': detached[first] }],
      [head, { ...detached, [first]: damaged(detached[second] ?? '') }],
    ]
    for (const value of forged) {
      const changed = await verifyEvidence(utf8(JSON.stringify(value)), { ...common, trustAnchors, at: new Date(verify_at) })
      expect(changed).toMatchObject({ decision: 'reject', authentic: false })
      counts.mutation++
    }
  })

  it.each(all.filter((c) => c.kind === 'nras-eat'))('$id cannot be verified without the keys of its day', async ({ evidence_files }) => {
    const verdict = await verifyEvidence(read(evidence_files.detached_eat), {
      ...common,
      trustAnchors: [],
      at: new Date('2025-06-11T01:00:00Z'),
    })
    expect(verdict.checks.find((c) => c.rule === 'signature.digests')?.outcome).toBe('pass')
    expect(verdict.checks.filter((c) => c.outcome === 'unknown').map((c) => c.rule)).toEqual(['signature.token', 'signature.submodules'])
    expect(verdict).toMatchObject({ decision: 'reject', authentic: false })
    counts.unverifiable++
  })

  it('claims that nobody signed are no token', async () => {
    const files = all.filter((c) => c.kind === 'eat-claims-sample').flatMap((c) => Object.values(c.evidence_files))
    for (const path of files) {
      const verdict = await verifyEvidence(read(path), { ...common, trustAnchors: [], at: new Date('2025-06-11T01:00:00Z') })
      expect(verdict).toMatchObject({ decision: 'reject', authentic: false })
      counts.local++
    }
  })
})

/** The last character of a signature, changed in bits that are not padding. */
function damaged(token: string): string {
  const at = token.length - 2
  return `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`
}
