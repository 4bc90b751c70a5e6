import { X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  attest,
  createSimulatedPlatform,
  encodeSimulatedPlatform,
  parseSimulatedPlatform,
  type SimulatedPlatform,
} from '../../../src/sim/index.ts'
import { toHex } from '../../../src/verify/bytes/bytes.ts'
import { parseReport } from '../../../src/verify/evidence/sev-snp/parse.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { outcomeOf } from '../../support/outcome.ts'

const platform: SimulatedPlatform = await createSimulatedPlatform({ at: new Date('2026-01-01T00:00:00Z'), days: 30, product: 'Turin' })
const request = { reportData: new Uint8Array(64).fill(1), measurement: new Uint8Array(48).fill(2) }

describe('a simulated platform', () => {
  it('calls itself simulated in every name', () => {
    for (const { certificate } of [platform.root, platform.intermediate, platform.vek]) {
      const { subject, issuer } = new X509Certificate(certificate)
      expect(subject).toMatch(/O=SIMULATED by sealgate\nCN=SIMULATED /)
      expect(issuer).toMatch(/CN=SIMULATED /)
    }
  })

  it('has RSA-4096 authorities and a P-384 key, like the real ones', () => {
    const kinds = [platform.root, platform.intermediate, platform.vek].map(
      (k) => new X509Certificate(k.certificate).publicKey.asymmetricKeyDetails,
    )
    expect(kinds.map((d) => d?.modulusLength ?? d?.namedCurve)).toEqual([4096, 4096, 'secp384r1'])
  })

  it('comes back from its file, and signs what verifies', async () => {
    const back = parseSimulatedPlatform(encodeSimulatedPlatform(platform))
    expect(back).toEqual(platform)
    const { report, endorsements } = attest(back, request)
    const at = new Date('2026-01-15T00:00:00Z')
    const verdict = await verifyEvidence(report, {
      collateral: endorsements,
      trustAnchors: [platform.root.certificate],
      at,
      allowUnknown: [],
    })
    expect(verdict.decision).toBe('accept')
  })

  it('is not read from a file of anything else', async () => {
    expect(await outcomeOf(() => parseSimulatedPlatform(new TextEncoder().encode('{}')))).toBe('DOCUMENT_INVALID')
    const bytes = encodeSimulatedPlatform(platform)
    expect(await outcomeOf(() => parseSimulatedPlatform(bytes.subarray(1)))).toBe('JSON_MALFORMED')
  })

  it('does not hand out its root with the evidence', () => {
    const { endorsements } = attest(platform, request)
    expect(endorsements.map(toHex)).not.toContain(toHex(platform.root.certificate))
  })
})

describe('a simulated report', () => {
  it('reads back field by field', () => {
    const fields = {
      ...request,
      version: 5,
      guestSvn: 3,
      policy: 0x3001fn,
      familyId: new Uint8Array(16).fill(3),
      imageId: new Uint8Array(16).fill(4),
      vmpl: 2,
      platformInfo: 0x65n,
      hostData: new Uint8Array(32).fill(5),
      idKeyDigest: new Uint8Array(48).fill(6),
      authorKeyDigest: new Uint8Array(48).fill(7),
      reportId: new Uint8Array(32).fill(8),
      reportIdMa: new Uint8Array(32).fill(9),
      currentTcb: new Uint8Array(8).fill(10),
      committedTcb: new Uint8Array(8).fill(11),
      launchTcb: new Uint8Array(8).fill(12),
      reportedTcb: new Uint8Array(8).fill(13),
      chipId: new Uint8Array(64).fill(14),
      cpuid: { family: 0x1a, model: 2, stepping: 1 },
    }
    const read = parseReport(attest(platform, { ...fields, keyInfo: 1, mitigationVector: 0x1122n }).report)
    expect(read).toMatchObject(fields)
    expect([read.authorKeyEn, read.maskChipKey, read.signingKey]).toEqual([true, false, 'VCEK'])
    expect(toHex(read.launchMitVector ?? new Uint8Array())).toBe('2211000000000000')
    expect(read.currentVersion).toEqual({ major: 1, minor: 55, build: 40 })
  })

  it('leaves out what its version does not have', () => {
    expect(parseReport(attest(platform, { ...request, version: 2 }).report)).toMatchObject({ cpuid: null, launchMitVector: null })
    expect(parseReport(attest(platform, { ...request, version: 4 }).report)).toMatchObject({ launchMitVector: null })
  })
})
