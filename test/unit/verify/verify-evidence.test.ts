import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attest } from '../../../src/sim/index.ts'
import { concat, toBase64, toHex, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { MAX_COLLATERAL_SIZE } from '../../../src/verify/evidence/collateral.ts'
import { conclude } from '../../../src/verify/evidence/conclude.ts'
import type { VerifyOptions } from '../../../src/verify/evidence/types.ts'
import { AMD_HIERARCHIES } from '../../../src/verify/trust/amd.ts'
import { exitCodeOf } from '../../../src/verify/verdict.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { certificateTable, GUID } from '../../support/certificate-table.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { simulatedPlatform } from '../../support/simulated-platform.ts'

const platform = simulatedPlatform()
const { report, endorsements } = attest(platform, { reportData: new Uint8Array(64).fill(7), measurement: new Uint8Array(48).fill(9) })
const cache = createVerifyCache()
const cold: VerifyOptions = {
  collateral: endorsements,
  trustAnchors: [platform.root.certificate],
  at: new Date('2026-06-01T00:00:00Z'),
  allowUnknown: [],
}
const options: VerifyOptions = { ...cold, cache }
const table = certificateTable([
  [GUID.vcek, platform.vek.certificate],
  [GUID.firmware, report],
  [GUID.ask, platform.intermediate.certificate],
  [GUID.crl, platform.crl],
])
const pem = (label: string, der: Uint8Array): Uint8Array =>
  utf8(`-----BEGIN ${label}-----\n${toBase64(der).replace(/.{64}/g, '$&\n')}\n-----END ${label}-----\n`)

describe('a verdict', () => {
  it('carries claims on acceptance alone', async () => {
    const accepted = await verifyEvidence(report, options)
    expect(accepted).toMatchObject({ decision: 'accept', authentic: true, format: 'sev-snp', notChecked: ['nonce', 'measurement'] })
    expect('claims' in accepted && 'error' in accepted).toBe(false)
    const rejected = await verifyEvidence(report, { ...options, trustAnchors: [] })
    expect(rejected).toMatchObject({ decision: 'reject', authentic: false, error: { code: 'CHAIN_INVALID' } })
    expect('claims' in rejected).toBe(false)
    expect(rejected.parsed).toMatchObject({ version: 3 })
  })

  it('says where a malformed input is wrong', async () => {
    const verdict = await verifyEvidence(
      report.map((b, i) => (i === 0x4c ? 1 : b)),
      options,
    )
    expect(verdict).toMatchObject({
      decision: 'reject',
      authentic: false,
      parsed: null,
      error: { code: 'EVIDENCE_RESERVED_NONZERO', at: 'snp.report@0x04c', message: 'reserved bytes must be zero' },
    })
    expect(exitCodeOf(verdict.checks)).toBe(3)
  })

  it('is a JSON document', async () => {
    const verdict = await verifyEvidence(report, options)
    expect(JSON.parse(JSON.stringify(verdict))).toEqual(verdict)
  })

  it('does not change the options, the input or the collateral', async () => {
    const frozen = Object.freeze({ ...options, collateral: Object.freeze([...endorsements]), allowUnknown: Object.freeze([]) })
    const before = [report, ...endorsements].map((b) => toBase64(b))
    await verifyEvidence(report, frozen)
    expect([report, ...endorsements].map((b) => toBase64(b))).toEqual(before)
  })

  it('is the same from memory that is reused afterwards', async () => {
    const buffer = Buffer.from(concat(report, ...endorsements))
    const parts = [platform.vek.certificate, platform.intermediate.certificate, platform.crl].map((c) => c.length)
    const [a = 0, b = 0] = parts
    const collateral = [buffer.subarray(1184, 1184 + a), buffer.subarray(1184 + a, 1184 + a + b), buffer.subarray(1184 + a + b)]
    const own = createVerifyCache()
    const first = await verifyEvidence(buffer.subarray(0, 1184), { ...options, collateral, cache: own })
    expect(first.decision).toBe('accept')
    buffer.fill(0)
    expect((await verifyEvidence(report, { ...options, cache: own })).decision).toBe('accept')
    expect((await verifyEvidence(report, { ...options, collateral: [buffer.subarray(1184)], cache: own })).decision).toBe('reject')
  })

  it('comes for every input, and accepts none of the random ones', async () => {
    const head = fc.constantFrom(new Uint8Array(), report.subarray(0, 100), report)
    await fc.assert(
      fc.asyncProperty(head, fc.uint8Array({ maxLength: 1300 }), fc.uint8Array({ maxLength: 64 }), async (start, rest, extra) => {
        const verdict = await verifyEvidence(concat(start, rest), { ...options, collateral: [...endorsements, extra] })
        if (start.length < report.length || rest.length > 0) expect(verdict.decision).toBe('reject')
      }),
      { numRuns: 500 },
    )
  })
})

describe('options', () => {
  it.each([
    ['a time that is none', { at: new Date(Number.NaN) }],
    ['an empty nonce', { nonce: new Uint8Array() }],
    ['an empty measurement', { measurement: new Uint8Array() }],
  ])('with %s are refused', async (_, change) => {
    expect(await outcomeOf(() => verifyEvidence(report, { ...options, ...change }))).toBe('USAGE')
  })

  it.each([
    ['a file that is no certificate', utf8('hello')],
    ['a certificate that is no root', platform.intermediate.certificate],
    ['a certificate that is damaged', platform.root.certificate.subarray(0, 100)],
  ])('that name %s as trust anchor are answered with a rejection', async (_, anchor) => {
    const verdict = await verifyEvidence(report, { ...options, trustAnchors: [anchor] })
    expect(verdict).toMatchObject({ decision: 'reject', authentic: false })
  })

  it('may name a trust anchor as PEM', async () => {
    const verdict = await verifyEvidence(report, { ...options, trustAnchors: [pem('CERTIFICATE', platform.root.certificate)] })
    expect(verdict.decision === 'accept' && verdict.claims.simulated).toBe(true)
  })

  it('cannot allow evidence whose signer is unknown', async () => {
    const groups = [
      'format',
      'signature',
      'chain',
      'validity',
      'revocation',
      'tcb',
      'debug',
      'freshness',
      'binding',
      'reference-values',
      'policy',
    ] as const
    const verdict = await verifyEvidence(report, { ...options, collateral: [], allowUnknown: groups })
    expect(verdict).toMatchObject({ decision: 'reject', error: { code: 'COLLATERAL_MISSING' } })
    expect(exitCodeOf(verdict.checks)).toBe(6)
  })

  it('name a format that is for another function, which is refused', async () => {
    const verdict = await verifyEvidence(report, { ...options, format: 'bundle' })
    expect(verdict).toMatchObject({ decision: 'reject', format: 'bundle', error: { code: 'EVIDENCE_UNSUPPORTED' } })
    expect(exitCodeOf(verdict.checks)).toBe(3)
  })
})

describe('collateral', () => {
  it.each([
    ['PEM, one file each', endorsements.map((der, i) => pem(i === 2 ? 'X509 CRL' : 'CERTIFICATE', der))],
    ['one PEM file', [concat(...endorsements.map((der, i) => pem(i === 2 ? 'X509 CRL' : 'CERTIFICATE', der)))]],
    ['DER side by side', [concat(...endorsements)]],
    ['a certificate table', [table]],
    ['hexadecimal of a certificate table', [utf8(`0x${toHex(table)}\n`)]],
    ['hexadecimal', endorsements.map((der) => utf8(`${toHex(der)}\n`))],
    ['base64 in lines', endorsements.map((der) => utf8(toBase64(der).replace(/.{64}/g, '$&\r\n')))],
    ['twice the same', [...endorsements, ...endorsements]],
  ])('is recognised as %s', async (_, collateral) => {
    expect((await verifyEvidence(report, { ...options, collateral })).decision).toBe('accept')
  })

  it('of another kind is named as not looked at', async () => {
    const verdict = await verifyEvidence(report, { ...options, collateral: [utf8('# notes'), ...endorsements, pem('PUBLIC KEY', report)] })
    expect(verdict).toMatchObject({ decision: 'accept', notChecked: ['nonce', 'measurement', 'collateral[0]', 'collateral[4]'] })
  })

  it.each([
    ['a certificate with a trailing byte', concat(platform.vek.certificate, Uint8Array.of(0))],
    ['a certificate that is cut off', platform.vek.certificate.subarray(0, 700)],
    ['a certificate table without end', table.subarray(0, 48)],
    ['a certificate table whose contents are cut off', table.subarray(0, 700)],
    ['hexadecimal of a certificate that is cut off', utf8(toHex(platform.vek.certificate.subarray(0, 700)))],
    ['PEM that is damaged', pem('CERTIFICATE', platform.vek.certificate).subarray(0, 500)],
    ['a PEM block that is no certificate', pem('CERTIFICATE', report)],
    ['a PEM block that is another thing than it says', pem('X509 CRL', platform.vek.certificate)],
    ['larger than any CRL', new Uint8Array(MAX_COLLATERAL_SIZE + 1)],
  ])('that is %s is malformed', async (_, broken) => {
    const verdict = await verifyEvidence(report, { ...options, collateral: [...endorsements, broken] })
    expect(verdict.decision === 'reject' && verdict.error?.at).toMatch(/^collateral\[3\]/)
    expect(exitCodeOf(verdict.checks)).toBe(3)
  })

  it('of more than 256 pieces is refused', async () => {
    const verdict = await verifyEvidence(report, { ...options, collateral: Array.from({ length: 257 }, () => utf8('x')) })
    expect(verdict).toMatchObject({ decision: 'reject', error: { code: 'LIMIT_EXCEEDED' } })
  })

  it('never adds trust: neither the root itself nor a vendor root makes a simulated chain pass', async () => {
    const vendor = AMD_HIERARCHIES.map((h) => pem('PUBLIC KEY', new Uint8Array(Buffer.from(h.ark.spki, 'base64'))))
    const verdict = await verifyEvidence(report, {
      ...options,
      trustAnchors: [],
      collateral: [...endorsements, platform.root.certificate, ...vendor],
    })
    expect(verdict).toMatchObject({ decision: 'reject', error: { code: 'CHAIN_INVALID' } })
  })
})

describe('a cache', () => {
  it('changes no verdict, and carries none across a boundary of time', async () => {
    const shared = createVerifyCache()
    const instants = [
      '2025-12-31T23:59:59Z',
      '2026-01-01T00:00:00Z',
      '2026-06-01T00:00:00Z',
      '2035-12-30T00:00:00Z',
      '2035-12-30T00:00:01Z',
    ]
    for (const at of [...instants, ...instants].map((t) => new Date(t))) {
      const [warm, fresh] = [await verifyEvidence(report, { ...options, at, cache: shared }), await verifyEvidence(report, { ...cold, at })]
      expect(warm).toEqual(fresh)
      expect(warm.decision).toBe(at >= new Date('2026-01-01T00:00:00Z') && at <= new Date('2035-12-30T00:00:00Z') ? 'accept' : 'reject')
    }
  })

  it('does not mix up roots', async () => {
    const shared = createVerifyCache()
    expect((await verifyEvidence(report, { ...options, cache: shared })).decision).toBe('accept')
    expect((await verifyEvidence(report, { ...options, trustAnchors: [], cache: shared })).decision).toBe('reject')
  })
})

describe('a conclusion', () => {
  const findings = { format: 'x', parsed: null, claims: { a: 1 }, notChecked: [] }
  const pass = { rule: 'signature.x', outcome: 'pass', want: '', got: '' } as const

  it.each([
    ['nothing at all', [], 'reject'],
    ['nothing about who signed', [{ ...pass, rule: 'policy.x' } as const], 'reject'],
    ['a signature', [pass], 'accept'],
    ['a signature and an unknown', [pass, { ...pass, rule: 'policy.x', outcome: 'unknown' } as const], 'reject'],
    ['a signature and a failure', [pass, { ...pass, rule: 'policy.x', outcome: 'fail' } as const], 'reject'],
  ])('from %s is: %s', (_, checks, decision) => {
    expect(conclude({ ...findings, checks }, []).decision).toBe(decision)
  })

  it('allows an unknown of a named group, and no failure', () => {
    const unknown = { ...pass, rule: 'revocation.x', outcome: 'unknown' } as const
    const allowed = conclude({ ...findings, checks: [pass, unknown] }, ['revocation'])
    expect(allowed).toMatchObject({ decision: 'accept', checks: [pass, { ...unknown, allowed: true }] })
    const failed = conclude({ ...findings, checks: [pass, { ...unknown, outcome: 'fail' }] }, ['revocation'])
    expect(failed).toMatchObject({ decision: 'reject', authentic: false, error: { code: 'COLLATERAL_REVOKED' } })
  })
})
