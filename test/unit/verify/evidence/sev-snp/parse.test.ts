import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attest } from '../../../../../src/sim/index.ts'
import { toHex } from '../../../../../src/verify/bytes/bytes.ts'
import { REPORT_SIZE } from '../../../../../src/verify/evidence/sev-snp/layout.ts'
import { parseReport } from '../../../../../src/verify/evidence/sev-snp/parse.ts'
import { outcomeOf } from '../../../../support/outcome.ts'
import { simulatedPlatform } from '../../../../support/simulated-platform.ts'

const platform = simulatedPlatform()
const reportOf = (version: number): Uint8Array =>
  attest(platform, { version, reportData: new Uint8Array(64).fill(7), measurement: new Uint8Array(48).fill(9) }).report

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

/** Bytes of AMD 56860 table 23 that must be zero, whatever the version. R and S fill 48 of 72 bytes each. */
const ALWAYS = [
  ...range(0x04c, 0x050),
  ...range(0x18b, 0x1a0),
  0x1eb,
  0x1ef,
  ...range(0x208, 0x2a0),
  ...range(0x2d0, 0x2e8),
  ...range(0x318, 0x330),
  ...range(0x330, 0x4a0),
]
const CPUID = range(0x188, 0x18b)
const MITIGATIONS = range(0x1f8, 0x208)

describe.each([
  [2, [...CPUID, ...MITIGATIONS]],
  [3, MITIGATIONS],
  [4, MITIGATIONS],
  [5, []],
] as const)('a report of version %i', (version, more) => {
  const report = reportOf(version)

  it('has reserved bytes where the table says, and nowhere else', async () => {
    const refused: number[] = []
    for (let i = 0; i < REPORT_SIZE; i++) {
      const changed = report.slice()
      changed[i] = (changed[i] ?? 0) ^ 0x80
      if ((await outcomeOf(() => parseReport(changed))) === 'EVIDENCE_RESERVED_NONZERO') refused.push(i)
    }
    // POLICY above bit 25 and the key info above bit 4: bit 7 of these bytes is reserved as well.
    const bits = [0x00b, ...range(0x00c, 0x010), ...range(0x048, 0x04c)]
    expect(refused).toEqual([...ALWAYS, ...more, ...bits].sort((a, b) => a - b))
  })

  it('is refused at every truncation, and with a byte too many', async () => {
    for (let n = 0; n < REPORT_SIZE; n++) expect(await outcomeOf(() => parseReport(report.subarray(0, n)))).toBe('EVIDENCE_TRUNCATED')
    expect(await outcomeOf(() => parseReport(new Uint8Array([...report, 0])))).toBe('EVIDENCE_TRAILING')
  })

  it('has CPUID from version 3 on and mitigation vectors from version 5 on', () => {
    const { cpuid, launchMitVector, currentMitVector } = parseReport(report)
    expect([cpuid !== null, launchMitVector !== null, currentMitVector !== null]).toEqual([version >= 3, version >= 5, version >= 5])
  })
})

describe('a report', () => {
  it.each([0, 1, 6, 7, 0xffffffff])('of version %i is not supported', async (version) => {
    const report = reportOf(5)
    new DataView(report.buffer).setUint32(0, version, true)
    expect(await outcomeOf(() => parseReport(report))).toBe('EVIDENCE_UNSUPPORTED')
  })

  it.each([0, 2, 0x101])('with SIGNATURE_ALGO %i is not supported: zero is no algorithm either', async (algorithm) => {
    const report = reportOf(5)
    new DataView(report.buffer).setUint32(0x034, algorithm, true)
    expect(await outcomeOf(() => parseReport(report))).toBe('EVIDENCE_UNSUPPORTED')
  })

  it.each([2, 3, 4, 5, 6])('with the reserved SIGNING_KEY %i is not supported', async (key) => {
    const report = reportOf(5)
    report[0x048] = key << 2
    expect(await outcomeOf(() => parseReport(report))).toBe('EVIDENCE_UNSUPPORTED')
  })

  it('may set bits of PLATFORM_INFO that have no name yet: Turin does', () => {
    const report = reportOf(5)
    report.set([0x65, 0xff], 0x040)
    expect(parseReport(report).platformInfo).toBe(0xff65n)
  })

  it('gives R and S in the order of the curve, reversed', () => {
    const report = reportOf(5)
    report.set(range(0, 48), 0x2a0)
    report.set(range(48, 96), 0x2e8)
    const { signature } = parseReport(report)
    expect(toHex(signature)).toBe(toHex(Uint8Array.from([...range(0, 48).reverse(), ...range(48, 96).reverse()])))
  })

  it('fails only with an AttestError, whatever the bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(2, 3, 4, 5),
        fc.uint8Array({ minLength: REPORT_SIZE - 1, maxLength: REPORT_SIZE + 1 }),
        async (version, bytes) => {
          await outcomeOf(() => parseReport(bytes))
          new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, version, true)
          await outcomeOf(() => parseReport(bytes))
        },
      ),
      { numRuns: 500 },
    )
  })
})
