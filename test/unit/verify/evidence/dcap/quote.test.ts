import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assembleQuote, enclaveReport, quoteHead, tdReport } from '../../../../../src/sim/index.ts'
import { u16, u32 } from '../../../../../src/sim/little-endian.ts'
import { concat, equal } from '../../../../../src/verify/bytes/bytes.ts'
import { parseEnclaveReport } from '../../../../../src/verify/evidence/dcap/enclave-report.ts'
import { parseQuote } from '../../../../../src/verify/evidence/dcap/quote.ts'
import { testBytes } from '../../../../support/keys.ts'
import { outcomeOf } from '../../../../support/outcome.ts'

const qe = {
  attestationKey: testBytes('ak', 64),
  qeReport: enclaveReport({ isvSvn: 8, reportData: testBytes('rd', 64) }),
  qeReportSignature: testBytes('qe-sig', 64),
  authData: testBytes('auth', 32),
  certificationType: 5,
  certificationData: testBytes('pem', 300),
}
const signature = testBytes('sig', 64)

type Version = 3 | 4 | 5
const SHAPES: readonly (readonly [name: string, version: Version, tee: 'sgx' | 'tdx', body: Uint8Array, kind: string])[] = [
  ['SGX in v3', 3, 'sgx', enclaveReport({ mrEnclave: testBytes('m', 32) }), 'sgx'],
  ['SGX in v4', 4, 'sgx', enclaveReport({ mrEnclave: testBytes('m', 32) }), 'sgx'],
  ['SGX in v5', 5, 'sgx', enclaveReport({ mrEnclave: testBytes('m', 32) }), 'sgx'],
  ['TD report 1.0 in v4', 4, 'tdx', tdReport({ mrTd: testBytes('t', 48) }, false), 'td10'],
  ['TD report 1.0 in v5', 5, 'tdx', tdReport({ mrTd: testBytes('t', 48) }, false), 'td10'],
  ['TD report 1.5 in v5', 5, 'tdx', tdReport({ mrTd: testBytes('t', 48) }, true), 'td15'],
]

describe.each(SHAPES)('%s', (_, version, tee, body, kind) => {
  const head = quoteHead(version, tee, body)
  const bytes = assembleQuote(version, head, signature, qe)

  it('is cut into its parts', () => {
    const quote = parseQuote(bytes)
    expect([quote.version, quote.tee, quote.bodyKind, quote.sizeBytes]).toEqual([version, tee, kind, bytes.length])
    expect(quote.body).toEqual(body)
    expect(quote.signed).toEqual(head)
    expect(quote.signature).toEqual(signature)
    expect(quote.attestationKey).toEqual(qe.attestationKey)
    expect(quote.qeReport).toEqual(qe.qeReport)
    expect(quote.qeReportSignature).toEqual(qe.qeReportSignature)
    expect(quote.qeAuthData).toEqual(qe.authData)
    expect([quote.certificationType, quote.certificationData]).toEqual([5, qe.certificationData])
    expect(quote.qeSection).toEqual(bytes.subarray(head.length + 4 + 64))
    expect(quote.padding).toHaveLength(0)
  })

  it('does not look at the caller’s buffer again', () => {
    const buffer = bytes.slice()
    const quote = parseQuote(buffer)
    buffer.fill(0)
    expect(quote.body).toEqual(body)
  })

  it('keeps what stands after it apart', () => {
    const quote = parseQuote(concat(bytes, Uint8Array.of(0, 7)))
    expect(quote.sizeBytes).toBe(bytes.length)
    expect(quote.padding).toEqual(Uint8Array.of(0, 7))
  })

  it('is refused at every truncation', async () => {
    for (let n = 0; n < bytes.length; n++) expect(await outcomeOf(() => parseQuote(bytes.subarray(0, n)))).toBe('EVIDENCE_TRUNCATED')
  })

  it('is refused when a length inside of it does not fit', async () => {
    const at = head.length
    for (const change of [1, -1, 1000, 0x7fffffff]) {
      const size = new DataView(bytes.buffer, at).getUint32(0, true) + change
      expect(await outcomeOf(() => parseQuote(concat(head, u32(size), bytes.subarray(at + 4))))).toMatch(/^EVIDENCE_(TRUNCATED|TRAILING)$/)
    }
  })

  it('fails only with an AttestError, whatever byte changes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
        const changed = bytes.slice()
        changed[at] = (changed[at] ?? 0) ^ mask
        await outcomeOf(() => parseQuote(changed))
      }),
      { numRuns: 500 },
    )
  })
})

describe('a quote', () => {
  const td = tdReport({}, true)
  const make = (change: Partial<typeof qe>, version: Version = 5): Uint8Array =>
    assembleQuote(version, quoteHead(version, 'tdx', td), signature, { ...qe, ...change })

  it('may have authentication data of any length, or none', () => {
    expect(parseQuote(make({ authData: new Uint8Array(0) })).qeAuthData).toHaveLength(0)
    expect(parseQuote(make({ authData: testBytes('a', 1000) })).qeAuthData).toHaveLength(1000)
  })

  it.each([1, 2, 3, 4, 5])('may have certification data of type %i', (certificationType) => {
    expect(parseQuote(make({ certificationType })).certificationType).toBe(certificationType)
  })

  it.each([0, 6, 7, 8, 65535])('may not have certification data of type %i', async (certificationType) => {
    expect(await outcomeOf(() => parseQuote(make({ certificationType })))).toBe('EVIDENCE_UNSUPPORTED')
  })

  it.each([
    ['version 2', 0, u16(2)],
    ['version 6', 0, u16(6)],
    ['attestation key of type 3 (P-384)', 2, u16(3)],
    ['unknown TEE type', 4, u32(0x82)],
    ['TEE type of SGX over a TD report', 4, u32(0)],
    ['vendor that is not Intel', 12, Uint8Array.of(0x92)],
    ['body of type 0', 48, u16(0)],
    ['body of type 4', 48, u16(4)],
    ['body of type 1 in a TDX quote', 48, u16(1)],
    ['TD report 1.5 that claims to be 1.0', 48, u16(2)],
    ['body size that is not its type’s', 50, u32(584)],
  ] as const)('is not supported with %s', async (_, offset, bytes) => {
    const quote = make({})
    quote.set(bytes, offset)
    expect(await outcomeOf(() => parseQuote(quote))).toBe('EVIDENCE_UNSUPPORTED')
  })

  it('of version 3 has no TEE type: those bytes are reserved', async () => {
    const quote = assembleQuote(3, quoteHead(3, 'sgx', enclaveReport({})), signature, qe)
    quote[5] = 1
    expect(await outcomeOf(() => parseQuote(quote))).toBe('EVIDENCE_RESERVED_NONZERO')
  })

  it('says where it is wrong', () => {
    const quote = make({})
    quote[12] = 0
    expect(() => parseQuote(quote)).toThrow(expect.objectContaining({ at: 'quote@0x00c' }))
  })

  it('of version 4 and 5 wraps the QE report in certification data of type 6 that ends with it', async () => {
    const quote = make({})
    const at = 48 + 6 + 648 + 4 + 64 + 64
    const wrong = quote.slice()
    wrong.set(u16(5), at)
    expect(await outcomeOf(() => parseQuote(wrong))).toBe('EVIDENCE_UNSUPPORTED')
    const short = quote.slice()
    short.set(u32(100), at + 2)
    expect(await outcomeOf(() => parseQuote(short))).toBe('EVIDENCE_TRAILING')
  })

  it('is refused beyond 16 KiB, padding included', async () => {
    expect(await outcomeOf(() => parseQuote(concat(make({}), new Uint8Array(16 * 1024))))).toBe('EVIDENCE_TRAILING')
  })

  it('fails only with an AttestError, whatever the bytes', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 4096 }), async (bytes) => void (await outcomeOf(() => parseQuote(bytes)))))
  })
})

describe('an enclave report', () => {
  it('is refused with any reserved byte set, and looks at every byte', async () => {
    const clean = enclaveReport({})
    const reserved: number[] = []
    for (let i = 0; i < clean.length; i++) {
      const report = clean.slice()
      report[i] = 1
      const outcome = await outcomeOf(() => parseEnclaveReport(report, 'r'))
      if (outcome === 'EVIDENCE_RESERVED_NONZERO') reserved.push(i)
      else {
        const fields = Object.values(parseEnclaveReport(report, 'r')).filter((v) => !equal(v as Uint8Array, report))
        expect(fields.some((v) => (typeof v === 'number' ? v !== 0 : (v as Uint8Array).includes(1)))).toBe(true)
      }
    }
    const range = (from: number, size: number): number[] => Array.from({ length: size }, (_, i) => from + i)
    expect(reserved).toEqual([...range(20, 12), ...range(96, 32), ...range(160, 32), ...range(262, 42)])
  })
})
