import { X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createSimulatedTee, parseSimulatedTee, sevSnpTee } from '../../../src/sim/index.ts'
import { toHex } from '../../../src/verify/bytes/bytes.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { simulatedPlatform } from '../../support/simulated-platform.ts'

const tdx = await createSimulatedTee('tdx', new Date('2026-01-01T00:00:00Z'))
const at = new Date('2026-06-15T12:00:00Z')
const reportData = new Uint8Array(64).fill(1)
const measurement = new Uint8Array(48).fill(2)

describe('the simulated TEE of a host', () => {
  it('may be a TDX machine: it comes back from its file, and its quotes pass the strict default under its own root', async () => {
    const back = parseSimulatedTee(tdx.file)
    expect(back.format).toBe('tdx')
    const { report, endorsements } = back.attest(reportData, measurement)
    const collateral = [...endorsements, tdx.collateral ?? new Uint8Array()]
    const verdict = await verifyEvidence(report, {
      collateral,
      trustAnchors: [tdx.root],
      at,
      allowUnknown: [],
      nonce: reportData,
      measurement,
    })
    if (verdict.decision !== 'accept') throw new Error(JSON.stringify(verdict.checks.filter((c) => c.outcome !== 'pass')))
    expect(verdict.claims).toMatchObject({
      tee: 'tdx',
      simulated: true,
      measurement: toHex(measurement),
      tcbStatus: 'UpToDate',
      debug: false,
    })
    const untrusted = await verifyEvidence(report, { collateral, trustAnchors: [], at, allowUnknown: [] })
    expect(untrusted.decision).toBe('reject')
  })

  it('has a root that calls itself simulated', () => {
    expect(new X509Certificate(tdx.root).subject).toMatch(/CN=SIMULATED SGX Root CA\nO=SIMULATED by sealgate/)
  })

  it('may be an SEV-SNP machine, with nothing beside its evidence', () => {
    const tee = sevSnpTee(simulatedPlatform())
    expect(parseSimulatedTee(tee.file)).toMatchObject({ format: 'sev-snp', collateral: null, root: tee.root })
    expect(tee.attest(reportData, measurement).report).toHaveLength(1184)
  })

  it('is not read from a file of anything else', async () => {
    const text = new TextDecoder().decode(tdx.file)
    for (const damaged of ['{}', '7', 'null', text.replace('"v":1', '"v":2'), text.replace('"chain":"', '"chain":"!')]) {
      expect(await outcomeOf(() => parseSimulatedTee(new TextEncoder().encode(damaged)))).toBe('DOCUMENT_INVALID')
    }
    expect(await outcomeOf(() => parseSimulatedTee(tdx.file.subarray(1)))).toBe('JSON_MALFORMED')
  })

  it('fails only with an AttestError, whatever the file', async () => {
    const anywhere = fc.tuple(fc.nat(tdx.file.length - 1), fc.integer({ min: 1, max: 255 }))
    await fc.assert(
      fc.asyncProperty(anywhere, fc.uint8Array({ maxLength: 256 }), async ([at, change], bytes) => {
        await outcomeOf(() => parseSimulatedTee(bytes))
        await outcomeOf(() => parseSimulatedTee(tdx.file.map((b, i) => (i === at ? b ^ change : b))))
      }),
    )
  })
})
