import { beforeAll, describe, expect, it } from 'vitest'
import { der } from '../../../../../src/sim/der.ts'
import { LATEST } from '../../../../../src/sim/index.ts'
import { toHex } from '../../../../../src/verify/bytes/bytes.ts'
import { certificatesOf, pemText } from '../../../../../src/verify/evidence/dcap/collateral-json.ts'
import { OID_SGX_EXTENSION, type PckExtension, parsePckExtension } from '../../../../../src/verify/evidence/dcap/pck.ts'
import { parseQuote } from '../../../../../src/verify/evidence/dcap/quote.ts'
import { type Certificate, parseCertificate } from '../../../../../src/verify/formats/x509.ts'
import { SimulatedIntel } from '../../../../support/intel.ts'
import { outcomeOf } from '../../../../support/outcome.ts'

let certificate: Certificate
let good: Uint8Array
beforeAll(async () => {
  const { quote } = await new SimulatedIntel().make('tdx', {
    pck: { sgx: [...LATEST.slice(0, 7), 200], pceSvn: 300, fmspc: '00a1b2c3d4e5', pceId: '0001' },
  })
  const [leaf = new Uint8Array()] = certificatesOf(pemText(parseQuote(quote).certificationData), 'pck')
  certificate = parseCertificate(leaf)
  good = certificate.extensions.get(OID_SGX_EXTENSION)?.value ?? new Uint8Array()
})

const withValue = (value: Uint8Array): PckExtension =>
  parsePckExtension({ ...certificate, extensions: new Map([[OID_SGX_EXTENSION, { oid: OID_SGX_EXTENSION, critical: false, value }]]) })
const entry = (path: string, value: Uint8Array): Uint8Array => der.sequence(der.oid(`${OID_SGX_EXTENSION}.${path}`), value)

describe('the SGX extension of a PCK certificate', () => {
  it('is read, numbers above 127 and above 255 included', () => {
    const { sgx, ...rest } = parsePckExtension(certificate)
    expect(toHex(sgx)).toBe('05050202040100c80000000000000000')
    expect(rest).toEqual({
      ppid: '99'.repeat(16),
      pceSvn: 300,
      cpuSvn: '05050202040100c80000000000000000',
      pceId: '0001',
      fmspc: '00a1b2c3d4e5',
      sgxType: 1,
      platformInstanceId: '77'.repeat(16),
      configuration: { dynamicPlatform: true, cachedKeys: false, smtEnabled: true },
    })
  })

  it('has no platform instance and no configuration where the Processor CA issued', () => {
    const members = membersOf(good).slice(0, 5)
    expect(withValue(der.sequence(...members))).toMatchObject({ platformInstanceId: null, configuration: null })
  })

  it('passes over members that it does not know', () => {
    expect(withValue(der.sequence(...membersOf(good), entry('99', der.boolean(true))))).toEqual(parsePckExtension(certificate))
  })

  it.each([0, 1, 2, 3, 4])('is refused without member %i', async (i) => {
    expect(await outcomeOf(() => withValue(der.sequence(...membersOf(good).filter((_, k) => k !== i))))).toBe('CERTIFICATE_MALFORMED')
  })

  it.each([0, 1, 2, 3, 4, 5, 6])('is refused with member %i twice', async (i) => {
    const members = membersOf(good)
    expect(await outcomeOf(() => withValue(der.sequence(...members, members[i] ?? new Uint8Array())))).toBe('CERTIFICATE_MALFORMED')
  })

  it.each([
    ['a short PPID', '1', der.octets(new Uint8Array(15))],
    ['an SGX type that the profile does not name', '5', der.enumerated(3)],
    ['an SGX type of two bytes', '5', Uint8Array.of(0x0a, 2, 1, 0)],
    ['an FMSPC that is a number', '4', der.integer(5)],
    [
      'a component above 255',
      '2',
      der.sequence(
        ...Array.from({ length: 16 }, (_, i) => entry(`2.${i + 1}`, der.integer(i === 3 ? 256 : 0))),
        entry('2.17', der.integer(1)),
        entry('2.18', der.octets(new Uint8Array(16))),
      ),
    ],
    [
      '15 components',
      '2',
      der.sequence(
        ...Array.from({ length: 15 }, (_, i) => entry(`2.${i + 1}`, der.integer(0))),
        entry('2.17', der.integer(1)),
        entry('2.18', der.octets(new Uint8Array(16))),
      ),
    ],
  ] as const)('is refused with %s', async (_, path, value) => {
    const members = membersOf(good).filter((_m, i) => i !== Number(path) - 1)
    expect(await outcomeOf(() => withValue(der.sequence(...members, entry(path, value))))).toBe('CERTIFICATE_MALFORMED')
  })

  it('is refused when it is not there, and at every truncation', async () => {
    expect(await outcomeOf(() => parsePckExtension({ ...certificate, extensions: new Map() }))).toBe('CERTIFICATE_MALFORMED')
    for (let n = 0; n < good.length; n++) expect(await outcomeOf(() => withValue(good.subarray(0, n)))).toBe('DER_MALFORMED')
  })
})

/** The members of a SEQUENCE whose length takes three bytes at most. */
function membersOf(sequence: Uint8Array): Uint8Array[] {
  const header = (at: number): readonly [start: number, end: number] => {
    const first = sequence[at + 1] ?? 0
    const size = first < 0x80 ? 0 : first - 0x80
    const length = size === 0 ? first : [...sequence.subarray(at + 2, at + 2 + size)].reduce((n, b) => 256 * n + b, 0)
    return [at + 2 + size, at + 2 + size + length]
  }
  const out: Uint8Array[] = []
  const [start, end] = header(0)
  for (let at = start; at < end; at = header(at)[1]) out.push(sequence.subarray(at, header(at)[1]))
  return out
}
