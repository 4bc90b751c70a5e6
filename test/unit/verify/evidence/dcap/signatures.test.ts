import { generateKeyPairSync, sign } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { assembleQuote } from '../../../../../src/sim/index.ts'
import { sgxExtension } from '../../../../../src/sim/intel/certificates.ts'
import { pemBytes } from '../../../../../src/sim/intel/quote.ts'
import { concat, fromHex, utf8 } from '../../../../../src/verify/bytes/bytes.ts'
import { parseQuote } from '../../../../../src/verify/evidence/dcap/quote.ts'
import { exitCodeOf } from '../../../../../src/verify/verdict.ts'
import { decide, troubles, verifySgx, verifyTd } from '../../../../support/dcap.ts'
import { AT, collateralOf, type SimulatedCase, SimulatedIntel } from '../../../../support/intel.ts'
import { outcomeOf } from '../../../../support/outcome.ts'

const BOTH = ['tdx', 'sgx'] as const
type Tee = (typeof BOTH)[number]
type Parts = Parameters<typeof assembleQuote>[3]

let intel: SimulatedIntel
let other: SimulatedIntel
beforeAll(async () => {
  intel = new SimulatedIntel()
  other = new SimulatedIntel()
})

async function look(tee: Tee, quote: Uint8Array, made: SimulatedCase): Promise<{ rules: readonly string[]; exit: number }> {
  const asked = { quote, collateral: collateralOf(made), at: AT }
  const result = tee === 'tdx' ? await verifyTd(asked, { roots: made.roots }) : await verifySgx(asked, { roots: made.roots })
  return { rules: troubles(result), exit: exitCodeOf(decide(result).checks) }
}

/** The same quote with some of its parts exchanged. */
function rebuild(bytes: Uint8Array, change: Partial<Parts>, signature?: Uint8Array, head?: Uint8Array): Uint8Array {
  const quote = parseQuote(bytes)
  const { attestationKey, qeReport, qeReportSignature, qeAuthData: authData, certificationType, certificationData } = quote
  const parts = { attestationKey, qeReport, qeReportSignature, authData, certificationType, certificationData, ...change }
  return assembleQuote(quote.version as 3 | 4 | 5, head ?? quote.signed, signature ?? quote.signature, parts)
}

const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((b, i) => (i === at ? b ^ 1 : b))

/** Order of P-256 (SP 800-186, section 3.2.1.3). */
const ORDER = fromHex('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')
const ZERO = new Uint8Array(32)

/** Signatures that no implementation may take: r or s outside of 1 to n - 1. */
const OUT_OF_RANGE = (good: Uint8Array): readonly (readonly [string, Uint8Array])[] => {
  const [r, s] = [good.subarray(0, 32), good.subarray(32)]
  return [
    ['r zero', concat(ZERO, s)],
    ['s zero', concat(r, ZERO)],
    ['both zero', concat(ZERO, ZERO)],
    ['r the order', concat(ORDER, s)],
    ['s the order', concat(r, ORDER)],
    ['s beyond it', concat(r, new Uint8Array(32).fill(255))],
  ]
}

describe.each(BOTH)('signatures of a %s quote', (tee) => {
  let made: SimulatedCase
  beforeAll(async () => {
    made = await intel.make(tee)
  })

  it('hold in a quote that was only taken apart and put together', async () => {
    expect(rebuild(made.quote, {})).toEqual(made.quote)
    expect((await look(tee, rebuild(made.quote, {}), made)).rules).toEqual([])
  })

  it('do not hold with a bit of the QE report changed, or of the signature over it', async () => {
    const { qeReport, qeReportSignature } = parseQuote(made.quote)
    const report = await look(tee, rebuild(made.quote, { qeReport: flipped(qeReport, 0) }), made)
    expect(report).toEqual({ exit: 4, rules: ['signature.qe-report=fail'] })
    const signature = await look(tee, rebuild(made.quote, { qeReportSignature: flipped(qeReportSignature, 63) }), made)
    expect(signature).toEqual({ exit: 4, rules: ['signature.qe-report=fail'] })
  })

  it('do not hold with a hint of the header changed, though nothing goes by it', async () => {
    for (const at of [8, 10, 28, 47]) {
      const quote = flipped(made.quote, at)
      expect(await look(tee, quote, made)).toEqual({ exit: 4, rules: ['signature.quote=fail'] })
    }
  })

  it('do not hold under an attestation key that the attacker put in the place of the one the QE made', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
    const attestationKey = new Uint8Array(Buffer.concat([Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]))
    const { signed } = parseQuote(made.quote)
    const head = flipped(signed, signed.length - 1)
    const signature = new Uint8Array(sign('sha256', head, { key: privateKey, dsaEncoding: 'ieee-p1363' }))
    expect(await look(tee, rebuild(made.quote, { attestationKey }, signature, head), made)).toEqual({
      exit: 4,
      rules: ['signature.qe-binding=fail'],
    })
  })

  it('do not hold for a body under the quoting enclave of another platform', async () => {
    const stranger = await other.make(tee)
    const { signed, signature } = parseQuote(made.quote)
    const both = { ...stranger, roots: [...made.roots, ...stranger.roots] }
    expect(await look(tee, rebuild(stranger.quote, {}, signature, signed), both)).toEqual({ exit: 4, rules: ['signature.quote=fail'] })
  })

  it.each([
    ['zeros', new Uint8Array(64)],
    ['a point that is not on the curve', new Uint8Array(64).fill(1)],
    ['coordinates beyond the field', new Uint8Array(64).fill(255)],
  ])('do not hold under %s for an attestation key', async (_, attestationKey) => {
    const result = await look(tee, rebuild(made.quote, { attestationKey }), made)
    expect(result).toEqual({ exit: 4, rules: ['signature.qe-binding=fail', 'signature.quote=fail'] })
  })

  it('do not hold with r or s out of range, whichever of them it is', async () => {
    const { signature, qeReportSignature } = parseQuote(made.quote)
    for (const [, bad] of OUT_OF_RANGE(signature)) {
      expect((await look(tee, rebuild(made.quote, {}, bad), made)).rules).toEqual(['signature.quote=fail'])
    }
    for (const [, bad] of OUT_OF_RANGE(qeReportSignature)) {
      expect((await look(tee, rebuild(made.quote, { qeReportSignature: bad }), made)).rules).toEqual(['signature.qe-report=fail'])
    }
  })
})

describe('certification data', () => {
  const pemOf = (quote: Uint8Array): string => new TextDecoder().decode(parseQuote(quote).certificationData).replace(/\0$/, '')
  const blocksOf = (quote: Uint8Array): readonly string[] => pemOf(quote).match(/-----BEGIN[\s\S]*?-----END CERTIFICATE-----\n/g) ?? []
  const withData = (quote: Uint8Array, text: string, certificationType = 5): Uint8Array =>
    rebuild(quote, { certificationData: pemBytes(text), certificationType })

  it('of type 4 holds the PCK certificate alone; its issuer comes with the collateral', async () => {
    const made = await intel.make('tdx')
    const [leaf = ''] = blocksOf(made.quote)
    expect((await look('tdx', withData(made.quote, leaf, 4), made)).rules).toEqual([])
  })

  it('with two PCK certificates is refused: nobody says which of them counts', async () => {
    const made = await intel.make('tdx')
    const [older = ''] = blocksOf((await intel.make('tdx', { certificates: { leaf: { extra: [sgxExtension(OTHER_PLATFORM)] } } })).quote)
    for (const text of [older + pemOf(made.quote), pemOf(made.quote) + older]) {
      expect((await look('tdx', withData(made.quote, text), made)).rules).toContain('chain.pck=fail')
    }
  })

  it('of another platform under the same authority does not vouch for this quoting enclave', async () => {
    const made = await intel.make('tdx')
    const stranger = await other.make('tdx')
    const result = await look('tdx', withData(made.quote, pemOf(stranger.quote)), {
      ...stranger,
      roots: [...made.roots, ...stranger.roots],
    })
    expect(result).toEqual({ exit: 4, rules: ['signature.qe-report=fail'] })
  })

  it('with a changed certificate is refused, leaf or authority; the root in it is not read for trust', async () => {
    const made = await intel.make('tdx')
    const blocks = blocksOf(made.quote)
    for (const [i, name] of (['leaf', 'platform', 'root'] as const).entries()) {
      // The last bytes of a certificate are its signature.
      const changed = blocks.map((b, k) => (k === i ? changeTail(b) : b)).join('')
      // The issuer also lies in the collateral, which would do instead.
      const json = { ...made.json, pck_crl_issuer_chain: '' }
      const { rules } = await look('tdx', withData(made.quote, changed), { ...made, json })
      expect(rules.includes('chain.pck=fail')).toBe(name !== 'root')
    }
  })

  it('that is no PEM, or holds something else, or too much, is malformed', async () => {
    const made = await intel.make('tdx')
    const pem = pemOf(made.quote)
    const bad = (text: string): Promise<string> =>
      outcomeOf(() => verifyTd({ quote: withData(made.quote, text), collateral: [], at: AT }, { roots: made.roots }))
    expect(await bad(pem.replace('-----END CERTIFICATE-----', ''))).toBe('ENCODING_INVALID')
    expect(await bad(`${pem}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n`)).toBe('ENCODING_INVALID')
    expect(await bad(pem.repeat(3))).toBe('CERTIFICATE_MALFORMED')
    const raw = rebuild(made.quote, { certificationData: Uint8Array.of(0xff, 0xfe) })
    expect(await outcomeOf(() => verifyTd({ quote: raw, collateral: [], at: AT }, { roots: made.roots }))).toBe('ENCODING_INVALID')
  })

  it('that is empty names no certificate', async () => {
    const made = await intel.make('tdx')
    const quote = rebuild(made.quote, { certificationData: utf8('') })
    expect((await look('tdx', quote, made)).rules).toContain('chain.pck=fail')
  })
})

const OTHER_PLATFORM = { sgx: [1], pceSvn: 1, fmspc: '00a1b2c3d4e5', pceId: '0000' }

function changeTail(pem: string): string {
  const lines = pem.trimEnd().split('\n')
  const der = Buffer.from(lines.slice(1, -1).join(''), 'base64')
  der[der.length - 3] = (der[der.length - 3] ?? 0) ^ 1
  const text = der.toString('base64').replace(/.{64}/g, '$&\n').trimEnd()
  return `${lines[0]}\n${text}\n${lines.at(-1)}\n`
}
