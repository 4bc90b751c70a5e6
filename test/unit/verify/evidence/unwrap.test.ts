import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attest } from '../../../../src/sim/index.ts'
import { concat, fromHex, toBase64, toBase64Url, toHex, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { parseCertificateTable } from '../../../../src/verify/evidence/sev-snp/certificate-table.ts'
import { isBundle, MAX_EVIDENCE_SIZE, unwrapEvidence } from '../../../../src/verify/evidence/unwrap.ts'
import { certificateTable, GUID, u32le } from '../../../support/certificate-table.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { simulatedPlatform } from '../../../support/simulated-platform.ts'
import { TestAk, attest as tpmAttest } from '../../../support/tpm-maker.ts'

const platform = simulatedPlatform()
const { report } = attest(platform, { reportData: new Uint8Array(64), measurement: new Uint8Array(48) })

const { vcek: VCEK, vcekInMicrosoftOrder: VCEK_MICROSOFT, ark: ARK, crl: CRL, firmware: FIRMWARE } = GUID

function response(body: Uint8Array = report, size = body.length, status = 0): Uint8Array {
  return concat(u32le(status), u32le(size), new Uint8Array(24), body)
}

const json = (value: object): Uint8Array => utf8(JSON.stringify(value))
const hexOf = (input: Uint8Array): string => toHex(unwrapEvidence(input, 'auto').evidence)
const failure = (input: Uint8Array): Promise<string> => outcomeOf(() => unwrapEvidence(input, 'auto'))

describe('evidence as it is found', () => {
  it.each([
    ['raw bytes', report],
    ['hexadecimal', utf8(toHex(report))],
    ['hexadecimal in upper case with a line end', utf8(`${toHex(report).toUpperCase()}\n`)],
    ['hexadecimal in lines', utf8(toHex(report).replace(/.{60}/g, '$&\r\n'))],
    ['hexadecimal with 0x in front', utf8(`0x${toHex(report)}`)],
    ['base64', utf8(toBase64(report))],
    ['base64 in lines', utf8(toBase64(report).replace(/.{76}/g, '$&\n'))],
    ['base64url', utf8(toBase64Url(report))],
    ['a response of /dev/sev-guest', response()],
    ['a response in the buffer of the ioctl', concat(response(), new Uint8Array(4000 - 32 - report.length))],
    ['configfs-tsm JSON', json({ provider: 'sev_guest\n', outblob: toBase64(report), generation: 3 })],
    ['configfs-tsm JSON in base64url without provider', json({ outblob: toBase64Url(report) })],
    ['configfs-tsm JSON with an empty auxblob', json({ provider: 'sev_guest', outblob: toHex(report), auxblob: '' })],
  ])('is taken out of %s', (_, input) => {
    expect(unwrapEvidence(input, 'auto').format).toBe('sev-snp')
    expect(hexOf(input)).toBe(toHex(report))
  })

  it.each([
    [
      'an extended report',
      concat(
        report,
        certificateTable([
          [VCEK, platform.vek.certificate],
          [FIRMWARE, report],
        ]),
      ),
    ],
    [
      'an extended report with GUIDs in the order of Microsoft',
      concat(report, certificateTable([[VCEK_MICROSOFT, platform.vek.certificate]])),
    ],
    ['an auxblob', json({ outblob: toBase64(report), auxblob: toBase64(certificateTable([[VCEK, platform.vek.certificate]])) })],
  ])('brings its certificates with it in %s', (_, input) => {
    const { evidence, endorsements } = unwrapEvidence(input, 'auto')
    expect(toHex(evidence)).toBe(toHex(report))
    expect(endorsements.map(toHex)).toEqual([toHex(platform.vek.certificate)])
  })

  it.each([
    ['an empty input', new Uint8Array(), 'EVIDENCE_TRUNCATED'],
    ['an input beyond the limit', new Uint8Array(MAX_EVIDENCE_SIZE + 1), 'EVIDENCE_UNRECOGNIZED'],
    ['bytes of no format', Uint8Array.of(0xff, 0xfe, 0xfd, 0xfc, 0), 'EVIDENCE_UNRECOGNIZED'],
    ['text of no encoding', utf8('hello, world'), 'EVIDENCE_UNRECOGNIZED'],
    ['JSON that is cut off', utf8('{"outblob":'), 'JSON_MALFORMED'],
    ['JSON with a blob twice', utf8(`{"outblob":"${toHex(report)}","outblob":"${toHex(report)}"}`), 'JSON_MALFORMED'],
    ['JSON that is no object', utf8('{}[]'), 'JSON_MALFORMED'],
    ['hexadecimal with 0X in front', utf8(`0X${toHex(report)}`), 'EVIDENCE_UNRECOGNIZED'],
    ['hexadecimal with 0x in front twice', utf8(`0x0x${toHex(report)}`), 'EVIDENCE_UNRECOGNIZED'],
    ['JSON of something else', json({ hello: 'world' }), 'EVIDENCE_UNRECOGNIZED'],
    ['JSON with a blob in no encoding', json({ outblob: '!!' }), 'ENCODING_INVALID'],
    ['a provider nobody knows', json({ provider: 'x', outblob: toHex(report) }), 'EVIDENCE_UNSUPPORTED'],
    ['a response with a reserved byte set', response().map((b, i) => (i === 9 ? 1 : b)), 'EVIDENCE_RESERVED_NONZERO'],
    ['a response with bytes after the report', concat(response(), Uint8Array.of(1)), 'EVIDENCE_TRAILING'],
    ['a response larger than the buffer of the ioctl', concat(response(), new Uint8Array(3000)), 'EVIDENCE_TRAILING'],
    [
      'a certificate table without end',
      concat(report, certificateTable([[VCEK, platform.vek.certificate]]).subarray(0, 24)),
      'EVIDENCE_TRUNCATED',
    ],
    ['an evidence bundle', json({ type: 'sealgate/evidence-bundle/v1' }), 'EVIDENCE_UNSUPPORTED'],
  ])('is refused as %s', async (_, input, code) => {
    expect(await failure(input)).toBe(code)
  })

  it('is taken out of the text of a Keylime agent, whose signature comes with it', async () => {
    const [quote, signature] = [tpmAttest(), new TestAk('rsassa').sign(tpmAttest())]
    const text = (...parts: readonly Uint8Array[]): Uint8Array => utf8(`r${parts.map(toBase64).join(':')}\n`)
    const keylime = text(quote, signature, new Uint8Array(8))
    expect(unwrapEvidence(keylime, 'auto')).toEqual({ format: 'tpm', evidence: quote, endorsements: [signature, new Uint8Array(8)] })
    expect(unwrapEvidence(keylime, 'tpm')).toEqual(unwrapEvidence(keylime, 'auto'))
    expect(unwrapEvidence(keylime, 'tdx').format).toBe('tdx')
    expect(await failure(text(quote, signature))).toBe('EVIDENCE_UNRECOGNIZED')
    expect(await failure(utf8(`r${toBase64(quote)}:AB==:AA==`))).toBe('ENCODING_INVALID')
  })

  it('is told apart from a bundle', () => {
    expect(isBundle(json({ type: 'sealgate/evidence-bundle/v1' }))).toBe(true)
    expect(isBundle(report)).toBe(false)
  })

  it('never makes more of it than an AttestError, whatever the bytes', () => {
    const start = fc.constantFrom(new Uint8Array(), report, response(), report.subarray(0, 8), utf8('{"outblob":"'), utf8('00'))
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 300 }), (head, tail) => {
        try {
          unwrapEvidence(concat(head, tail), 'auto')
        } catch (error) {
          expect(error).toBeInstanceOf(AttestError)
        }
      }),
      { numRuns: 3000 },
    )
  })
})

describe('a certificate table', () => {
  it('is refused where an entry points outside, has no end or is too large', async () => {
    const outside = concat(fromHex(VCEK), u32le(48), u32le(10), new Uint8Array(24))
    const endless = concat(...Array.from({ length: 40 }, () => concat(fromHex(VCEK), u32le(0), u32le(1))))
    const large = certificateTable([[VCEK, new Uint8Array(64 * 1024 + 1)]])
    expect(await outcomeOf(() => parseCertificateTable(outside))).toBe('EVIDENCE_TRUNCATED')
    expect(await outcomeOf(() => parseCertificateTable(endless))).toBe('EVIDENCE_TRUNCATED')
    expect(await outcomeOf(() => parseCertificateTable(large))).toBe('CERTIFICATE_MALFORMED')
    expect(await outcomeOf(() => parseCertificateTable(new Uint8Array()))).toBe('EVIDENCE_TRUNCATED')
  })

  const entries = (...list: readonly (readonly [guid: string, offset: number, length: number])[]): Uint8Array =>
    concat(...list.map(([guid, offset, length]) => concat(fromHex(guid), u32le(offset), u32le(length))), new Uint8Array(24 + 64))

  it.each([
    ['the largest length', entries([VCEK, 48, 0xffffffff]), 'EVIDENCE_TRUNCATED'],
    ['the largest offset', entries([VCEK, 0xffffffff, 1]), 'EVIDENCE_TRUNCATED'],
    ['both, whose sum is small again in 32 bits', entries([VCEK, 0xffffffff, 49]), 'EVIDENCE_TRUNCATED'],
    ['an entry that points at itself', entries([VCEK, 0, 24]), 'EVIDENCE_TRUNCATED'],
    ['an entry that points at the end of the entries', entries([VCEK, 24, 64]), 'EVIDENCE_TRUNCATED'],
    ['an unknown entry that points outside', entries([VCEK, 72, 8], [FIRMWARE, 72, 400]), 'EVIDENCE_TRUNCATED'],
    ['contents that overlap', entries([VCEK, 72, 20], [ARK, 91, 20]), 'EVIDENCE_TRAILING'],
    ['contents of which one lies inside of another', entries([VCEK, 72, 40], [ARK, 80, 8]), 'EVIDENCE_TRAILING'],
    ['contents that are the same', entries([VCEK, 72, 40], [ARK, 72, 40]), 'EVIDENCE_TRAILING'],
  ])('is refused with %s', async (_, bytes, code) => {
    expect(await outcomeOf(() => parseCertificateTable(bytes))).toBe(code)
  })

  it('may have its contents in any order, empty ones, and the CRL', () => {
    const first = entries([VCEK, 104, 2], [CRL, 96, 4], [ARK, 0, 0])
    expect(parseCertificateTable(first).map((c) => c.length)).toEqual([2, 4])
  })

  it('fails only with an AttestError, whatever the bytes', () => {
    const entry = fc
      .tuple(fc.constantFrom(VCEK, VCEK_MICROSOFT, FIRMWARE), fc.nat(300), fc.nat(300))
      .map(([g, o, n]) => concat(fromHex(g), u32le(o), u32le(n)))
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 5 }), fc.uint8Array({ maxLength: 200 }), (entries, rest) => {
        try {
          parseCertificateTable(concat(...entries, rest))
        } catch (error) {
          expect(error).toBeInstanceOf(AttestError)
        }
      }),
    )
  })
})
