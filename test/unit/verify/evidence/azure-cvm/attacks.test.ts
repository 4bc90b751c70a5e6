import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { attest as attestSnp } from '../../../../../src/sim/index.ts'
import { concat, fromHex, utf8 } from '../../../../../src/verify/bytes/bytes.ts'
import { parseHclReport } from '../../../../../src/verify/evidence/azure-cvm/hcl-report.ts'
import { parseRuntimeData } from '../../../../../src/verify/evidence/azure-cvm/runtime-data.ts'
import type { VerifyOptions } from '../../../../../src/verify/evidence/types.ts'
import { exitCodeOf } from '../../../../../src/verify/verdict.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../../../src/verify/verify-evidence.ts'
import { type HclChange, hclReport, reportDataFor, runtimeData, tdReportOf } from '../../../../support/azure-maker.ts'
import { AT, collateralOf, defaultWorld, SimulatedIntel } from '../../../../support/intel.ts'
import { outcomeOf } from '../../../../support/outcome.ts'
import { simulatedPlatform } from '../../../../support/simulated-platform.ts'
import { attest, NONCE, pcrsJson, TestAk, troublesOf } from '../../../../support/tpm-maker.ts'

const platform = simulatedPlatform()
const ak = new TestAk('rsassa')
const runtime = runtimeData(ak)
const quote = attest()
const measurement = new Uint8Array(48).fill(9)

interface Evidence {
  readonly hcl: Uint8Array
  readonly beside: readonly Uint8Array[]
}

function snp(reportData: Uint8Array, data: Uint8Array, vmpl = 0, change: HclChange = {}): Evidence {
  const { report, endorsements } = attestSnp(platform, { reportData, measurement, vmpl })
  return { hcl: hclReport(report, data, change), beside: endorsements }
}

const genuine = (): Evidence => snp(reportDataFor(runtime), runtime)
const vtpm = (message: Uint8Array = quote): readonly Uint8Array[] => [message, ak.sign(message), pcrsJson()]

function verify(
  { hcl, beside }: Evidence,
  tpm: readonly Uint8Array[] = vtpm(),
  more: Partial<VerifyOptions> = {},
): Promise<EvidenceVerdict> {
  const trustAnchors = [platform.root.certificate]
  return verifyEvidence(hcl, { collateral: [...beside, ...tpm], trustAnchors, at: AT, nonce: NONCE, allowUnknown: [], ...more })
}

describe('evidence of an Azure confidential VM', () => {
  it('is accepted as a whole: hardware, runtime data, quote', async () => {
    const verdict = await verify(genuine())
    expect(troublesOf(verdict)).toEqual([])
    expect(verdict).toMatchObject({
      decision: 'accept',
      format: 'azure-cvm',
      claims: {
        tee: 'azure-cvm',
        hardwareTee: 'sev-snp',
        measurement: '09'.repeat(48),
        simulated: true,
        debug: false,
        hardware: { tee: 'sev-snp', vmpl: 0 },
        vmConfiguration: { secureBoot: true, consoleEnabled: true, tpmEnabled: true, tpmPersisted: null },
        tpm: { resetCount: 7 },
      },
    })
  })

  it.each(['sha384', 'sha512'] as const)('is read with %s of the runtime data', async (hash) => {
    const hashType = hash === 'sha384' ? 2 : 3
    expect(troublesOf(await verify(snp(reportDataFor(runtime, hash), runtime, 0, { hashType })))).toEqual([])
  })

  it('may be given as the quote, with the HCL report beside it', async () => {
    const { hcl, beside } = genuine()
    const verdict = await verify({ hcl: quote, beside: [...beside, hcl] }, vtpm().slice(1))
    expect([verdict.format, troublesOf(verdict)]).toEqual(['azure-cvm', []])
  })

  it('takes a signature without its TPMT_SIGNATURE, as Azure hands it out', async () => {
    expect(troublesOf(await verify(genuine(), [quote, ak.sign(quote).subarray(6), pcrsJson()]))).toEqual([])
  })
})

describe('attacks on an Azure confidential VM', () => {
  it('the boot-time report played back, without a quote', async () => {
    const verdict = await verify(genuine(), [])
    expect(troublesOf(verdict)).toEqual(['signature.tpm-quote=unknown', 'freshness.nonce=unknown'])
    expect(exitCodeOf(verdict.checks)).toBe(6)
  })

  it('an old quote played back', async () => {
    expect(troublesOf(await verify(genuine(), vtpm(attest({ extraData: utf8('yesterday') }))))).toEqual(['freshness.nonce=fail'])
  })

  it('a key of one’s own in the runtime data', async () => {
    const own = new TestAk('rsassa')
    const data = runtimeData(own)
    const { hcl, beside } = snp(reportDataFor(runtime), data)
    const verdict = await verify({ hcl, beside }, [quote, own.sign(quote), pcrsJson()])
    expect(troublesOf(verdict)).toEqual(['binding.runtime-data=fail'])
  })

  it('a quote by another key', async () => {
    const other = new TestAk('rsassa')
    expect(troublesOf(await verify(genuine(), [quote, other.sign(quote), pcrsJson(), other.publicArea()]))).toEqual([
      'signature.tpm-quote=fail',
    ])
  })

  it('a report that the guest asked for itself, around a key of its own', async () => {
    for (const vmpl of [1, 2, 3]) expect(troublesOf(await verify(snp(reportDataFor(runtime), runtime, vmpl)))).toEqual(['policy.vmpl=fail'])
  })

  it('such a report, where the caller asks for that level of guests in general', async () => {
    const more = { sevSnp: { vmpl: 2 } }
    expect(troublesOf(await verify(snp(reportDataFor(runtime), runtime, 2), vtpm(), more))).toEqual([
      'policy.vmpl=fail',
      'policy.vmpl=fail',
    ])
    expect(troublesOf(await verify(genuine(), vtpm(), more))).toEqual(['policy.vmpl=fail'])
  })

  it('something behind the hash in REPORT_DATA', async () => {
    const reportData = reportDataFor(runtime)
    reportData[63] = 1
    expect(troublesOf(await verify(snp(reportData, runtime)))).toEqual(['binding.runtime-data=fail'])
  })

  it('the same JSON written in another way', async () => {
    const spaced = utf8(new TextDecoder().decode(runtime).replace('{', '{ '))
    expect(troublesOf(await verify(snp(reportDataFor(runtime), spaced)))).toEqual(['binding.runtime-data=fail'])
  })

  it('hardware under a root that nobody trusts', async () => {
    expect(troublesOf(await verify(genuine(), vtpm(), { trustAnchors: [] }))).toContain('chain.issuer=fail')
  })

  it('a machine of Azure’s in place of the TPM whose key was named', async () => {
    const { hcl, beside } = genuine()
    const options = { format: 'tpm', collateral: [...beside, ...vtpm(), hcl], at: AT, nonce: NONCE, allowUnknown: [] } as const
    const named = [platform.root.certificate, new TestAk('p256').publicArea()]
    const verdict = await verifyEvidence(quote, { ...options, trustAnchors: named })
    expect(verdict).toMatchObject({ decision: 'reject', format: 'tpm', authentic: false })
    expect((await verifyEvidence(quote, { ...options, trustAnchors: [platform.root.certificate] })).decision).toBe('accept')
  })

  it('two quotes, or two reports, to choose from', async () => {
    const two = await verify(genuine(), [...vtpm(), attest({ resetCount: 8 })])
    expect(two).toMatchObject({ decision: 'reject', error: { code: 'DOCUMENT_INVALID' } })
    const { hcl, beside } = genuine()
    const reports = await verify({ hcl: quote, beside: [...beside, hcl, hcl.subarray(0, hcl.length - 1)] }, vtpm().slice(1))
    expect(reports).toMatchObject({ decision: 'reject', error: { code: 'DOCUMENT_INVALID' } })
  })

  it('an attestation key that signs anything, where its TPM says so', async () => {
    expect(troublesOf(await verify(genuine(), [...vtpm(), ak.publicArea(0x40072)]))).toEqual(['chain.ak-attributes=fail'])
  })
})

describe('TDX', () => {
  let intel: SimulatedIntel
  beforeAll(async () => {
    intel = new SimulatedIntel()
  })

  async function tdx(
    quoted: Uint8Array,
    inReport: Uint8Array,
  ): Promise<{ evidence: Evidence; trustAnchors: readonly Uint8Array[]; td: Uint8Array }> {
    const made = await intel.make('tdx', { td: { ...defaultWorld('tdx').td, reportData: quoted } })
    const hcl = hclReport(tdReportOf(inReport), runtime)
    return { evidence: { hcl, beside: collateralOf(made) }, trustAnchors: [made.root], td: made.quote }
  }

  it('is accepted with a quote over the REPORTDATA of its TDREPORT, and not without', async () => {
    const reportData = reportDataFor(runtime)
    const { evidence, trustAnchors, td } = await tdx(reportData, reportData)
    expect(troublesOf(await verify(evidence, [...vtpm(), td], { trustAnchors }))).toEqual([])
    const verdict = await verify(evidence, vtpm(), { trustAnchors })
    expect([troublesOf(verdict), exitCodeOf(verdict.checks)]).toEqual([['signature.quote=unknown'], 6])
  })

  it('is refused with the quote of another TD, and with a quote that does not commit to the runtime data', async () => {
    const reportData = reportDataFor(runtime)
    const other = await tdx(new Uint8Array(64).fill(1), reportData)
    expect(troublesOf(await verify(other.evidence, [...vtpm(), other.td], { trustAnchors: other.trustAnchors }))).toEqual([
      'binding.td-quote=fail',
    ])
    const wrong = await tdx(new Uint8Array(64).fill(1), new Uint8Array(64).fill(1))
    expect(troublesOf(await verify(wrong.evidence, [...vtpm(), wrong.td], { trustAnchors: wrong.trustAnchors }))).toEqual([
      'binding.runtime-data=fail',
    ])
  })
})

describe('what a caller may ask of an Azure confidential VM', () => {
  it('secure boot, user data, PCRs, the measurement of the paravisor', async () => {
    expect(troublesOf(await verify(genuine(), vtpm(), { azureCvm: { secureBoot: true }, measurement }))).toEqual([])
    expect(troublesOf(await verify(genuine(), vtpm(), { measurement: new Uint8Array(48) }))).toEqual(['reference-values.measurement=fail'])
    const insecure = runtimeData(ak, { secureBoot: false })
    expect(troublesOf(await verify(snp(reportDataFor(insecure), insecure), vtpm(), { azureCvm: { secureBoot: true } }))).toEqual([
      'policy.secure-boot=fail',
    ])
    const userData = new Uint8Array(64).fill(5)
    expect(troublesOf(await verify(genuine(), vtpm(), { azureCvm: { userData } }))).toEqual(['freshness.user-data=fail'])
    const told = runtimeData(ak, { userData: '05'.repeat(64) })
    expect(troublesOf(await verify(snp(reportDataFor(told), told), vtpm(), { azureCvm: { userData } }))).toEqual([])
    const none = runtimeData(ak, { userData: null })
    expect(troublesOf(await verify(snp(reportDataFor(none), none), vtpm(), { azureCvm: { userData } }))).toEqual([
      'freshness.user-data=fail',
    ])
    expect(troublesOf(await verify(genuine(), vtpm(), { tpm: { pcrs: { 0: new Uint8Array(32) } } }))).toEqual([
      'reference-values.pcr0=fail',
    ])
  })
})

describe('the form of an HCL report', () => {
  const report = new Uint8Array(1184).fill(1)
  it.each([
    ['another version', { version: 3 }, 'EVIDENCE_UNSUPPORTED'],
    ['a status', { status: 1 }, 'EVIDENCE_UNSUPPORTED'],
    ['reserved bytes that are not zero', { reserved: 1 }, 'EVIDENCE_RESERVED_NONZERO'],
    ['another report type', { reportType: 3 }, 'EVIDENCE_UNSUPPORTED'],
    ['an SNP report that calls itself a TDREPORT', { reportType: 4 }, 'EVIDENCE_UNSUPPORTED'],
    ['another hash type', { hashType: 4 }, 'EVIDENCE_UNSUPPORTED'],
    ['runtime data of another version', { runtimeVersion: 2 }, 'EVIDENCE_UNSUPPORTED'],
    ['runtime data larger than any', { variableSize: 0xffffffff }, 'EVIDENCE_UNSUPPORTED'],
    ['runtime data of no size', { variableSize: 0 }, 'EVIDENCE_UNSUPPORTED'],
    ['sizes that contradict each other', { dataSize: 21 }, 'EVIDENCE_UNSUPPORTED'],
    ['a report size that is another', { reportSize: 2600 }, 'EVIDENCE_UNSUPPORTED'],
  ] as const)('is refused with %s', async (_, change, code) => {
    expect(await outcomeOf(() => parseHclReport(hclReport(report, runtime, change)))).toBe(code)
  })

  it('is refused cut off anywhere, and with anything but zeros behind it', async () => {
    const whole = hclReport(report, runtime)
    const size = 1236 + runtime.length
    for (let n = 0; n < size; n++)
      expect([n, await outcomeOf(() => parseHclReport(whole.subarray(0, n)))]).toEqual([n, 'EVIDENCE_TRUNCATED'])
    expect(await outcomeOf(() => parseHclReport(whole.subarray(0, size)))).toBe('accepted')
    expect(await outcomeOf(() => parseHclReport(concat(whole, Uint8Array.of(1))))).toBe('EVIDENCE_TRAILING')
    expect(await outcomeOf(() => parseHclReport(concat(whole, new Uint8Array(16 * 1024))))).toBe('EVIDENCE_TRAILING')
    const td = tdReportOf(new Uint8Array(64))
    expect(await outcomeOf(() => parseHclReport(hclReport(concat(td, Uint8Array.of(1)), runtime)))).toBe('EVIDENCE_RESERVED_NONZERO')
  })

  it('fails only with an AttestError, whatever the bytes', async () => {
    const whole = hclReport(report, runtime)
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.uint8Array({ minLength: 1, maxLength: 40 }), async (at, bytes) => {
        const changed = whole.slice()
        changed.set(bytes.subarray(0, whole.length - at), at)
        await outcomeOf(() => parseRuntimeData(parseHclReport(changed).runtimeData))
      }),
      { numRuns: 500 },
    )
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (b) => void (await outcomeOf(() => parseHclReport(b)))))
  })
})

describe('runtime data', () => {
  const key = { kid: 'HCLAkPub', key_ops: ['sign'], kty: 'RSA', ...ak.publicKey.export({ format: 'jwk' }) }
  it.each([
    ['no attestation key', { keys: [] }, 'DOCUMENT_INVALID'],
    ['two attestation keys', { keys: [key, key] }, 'DOCUMENT_INVALID'],
    ['a key that does not sign', { keys: [{ ...key, key_ops: ['encrypt'] }] }, 'DOCUMENT_INVALID'],
    ['a key of another kind', { keys: [{ ...key, kty: 'EC' }] }, 'DOCUMENT_INVALID'],
    ['a short key', { keys: [{ ...key, n: 'AQAB' }] }, 'CERTIFICATE_MALFORMED'],
    ['an exponent with a leading zero', { keys: [{ ...key, e: 'AAEAAQ' }] }, 'CERTIFICATE_MALFORMED'],
    ['padded base64', { keys: [{ ...key, e: 'AQAB==' }] }, 'ENCODING_INVALID'],
    ['short user data', { userData: '00' }, 'DOCUMENT_INVALID'],
  ] as const)('is refused with %s', async (_, change, code) => {
    expect(await outcomeOf(() => parseRuntimeData(runtimeData(ak, change)))).toBe(code)
  })

  it('is refused as anything but JSON', async () => {
    expect(await outcomeOf(() => parseRuntimeData(fromHex('ff')))).toBe('ENCODING_INVALID')
    expect(await outcomeOf(() => parseRuntimeData(utf8('{"keys":[],"keys":[]}')))).toBe('JSON_MALFORMED')
    expect(await outcomeOf(() => parseRuntimeData(utf8('[]')))).toBe('DOCUMENT_INVALID')
  })
})
