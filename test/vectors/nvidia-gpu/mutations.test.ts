import { createHash } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import { concat, fromHex, toBase64, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../src/verify/errors.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { nowAt } from '../../../src/verify/evidence/check.ts'
import { loadCollateral } from '../../../src/verify/evidence/collateral.ts'
import { readMeasurements } from '../../../src/verify/evidence/nvidia/rim/measurements.ts'
import { parseRim } from '../../../src/verify/evidence/nvidia/rim/parse.ts'
import { Shape, swid } from '../../../src/verify/evidence/nvidia/rim/shape.ts'
import { checkRim, chooseRim } from '../../../src/verify/evidence/nvidia/rim/verify.ts'
import { parseXml } from '../../../src/verify/evidence/nvidia/rim/xml.ts'
import { nvidiaRoots } from '../../../src/verify/evidence/nvidia/roots.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { tally } from '../../support/dcap-vector-checks.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { caseOf, cases, chainOf, folder, mutateReport, type Recipe, read, troubles } from './cases.ts'

const cache = createVerifyCache()
const counts = tally('NVIDIA evidence, broken')
const count = (what: string): void => counts.count(what)

const base = folder === null ? null : caseOf('gpu-h100pcie-spt-550.90.07-full')

/** The parts of the complete case, each to be put in another's place. */
interface Parts {
  readonly report: Uint8Array
  readonly chain: readonly Uint8Array[]
  readonly rims: readonly Uint8Array[]
  readonly ocsp: readonly Uint8Array[]
  readonly nonce: Uint8Array
  readonly at: string
}

function parts(): Parts {
  const { evidence_files: files, collateral_files: collateral, expected } = base ?? caseOf('')
  return {
    report: read(files.report),
    chain: chainOf(files.cert_chain),
    rims: [read(collateral.driver_rim), read(collateral.vbios_rim)],
    ocsp: Object.values(collateral.ocsp ?? {}).map(read),
    nonce: fromHex(expected.expected_nonce),
    at: '2025-08-21T12:00:00Z',
  }
}

function pemOf(ders: readonly Uint8Array[]): Uint8Array {
  return utf8(ders.map((der) => `-----BEGIN CERTIFICATE-----\n${toBase64(der)}\n-----END CERTIFICATE-----\n`).join(''))
}

/** Rules that refuse; none where it is accepted. `revocation` may be unknown unless said otherwise. */
async function refusals(change: Partial<Parts>, allow: readonly 'revocation'[] = ['revocation']): Promise<readonly string[]> {
  const { report, chain, rims, ocsp, nonce, at } = { ...parts(), ...change }
  const options = { collateral: [pemOf(chain), ...rims, ...ocsp], trustAnchors: [], at: new Date(at), allowUnknown: allow, nonce, cache }
  const verdict = await verifyEvidence(report, options)
  expect(verdict.decision).toBe(troubles(verdict.checks).length === 0 ? 'accept' : 'reject')
  return troubles(verdict.checks)
}

async function carryOut(recipe: Recipe): Promise<readonly string[]> {
  const whole = parts()
  const { op } = recipe
  if (['xor', 'append', 'set'].includes(op)) return refusals({ report: mutateReport(whole.report, recipe) })
  if (op === 'drop_cert') return refusals({ chain: whole.chain.filter((_, i) => i !== Number(recipe.index)) })
  if (op === 'swap_cert') {
    const [other = new Uint8Array()] = chainOf(caseOf(String(recipe.from)).evidence_files.cert_chain)
    return refusals({ chain: [other, ...whole.chain.slice(1)] })
  }
  if (op === 'append_cert') return refusals({ chain: [...whole.chain, ...whole.chain.slice(-1)] })
  if (op === 'expected_nonce') return refusals({ nonce: fromHex(String(recipe.hex)) })
  if (op === 'swap_rim') return refusals({ rims: [read(String(recipe.driver_rim)), ...whole.rims.slice(1)] })
  if (op === 'verify_at') return refusals({ at: String(recipe.value) })
  if (op === 'ocsp_verify_at') return refusals({ at: String(recipe.value) }, [])
  const ocsp = base?.collateral_files.ocsp ?? {}
  const swapped = { ...ocsp, [String(recipe.to)]: ocsp[String(recipe.from)] }
  return (await refusals({ ocsp: Object.values(swapped).map(read) }, [])).filter((rule) => rule.includes('device'))
}

describe.skipIf(folder === null)('recipes that break the complete H100 case', () => {
  const recipes = cases.flatMap((c) => c.recipes ?? [])

  it.each(recipes)('refuses $op: $why', async (recipe) => {
    expect(await carryOut(recipe)).not.toEqual([])
    count('recipes refused')
  })

  it('accepts the case that they start from', async () => expect(await refusals({})).toEqual([]))
})

describe.skipIf(folder === null)('one changed byte', () => {
  const flip = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((b, i) => (i === at ? b ^ 0x01 : b))
  /** Positions all over the bytes, the same in every run. */
  const spread = (length: number, n: number): readonly number[] =>
    Array.from({ length: n }, (_, i) => createHash('sha256').update(`${length} ${i}`).digest().readUInt32BE(0) % length)

  it('of the report is refused, wherever it is', async () => {
    const { report } = parts()
    for (const at of spread(report.length, 120)) {
      expect([at, await refusals({ report: flip(report, at) })]).not.toEqual([at, []])
      count('bytes of the report')
    }
  })

  it('of a certificate is refused, whichever it is', async () => {
    const { chain } = parts()
    for (const [i, certificate] of chain.entries()) {
      for (const at of spread(certificate.length, 20)) {
        const changed = chain.map((c, k) => (k === i ? flip(c, at) : c))
        expect([i, at, await refusals({ chain: changed })]).not.toEqual([i, at, []])
        count('bytes of certificates')
      }
    }
  })

  it('of a manifest is refused, wherever it is', async () => {
    const { rims } = parts()
    for (const [i, rim] of rims.entries()) {
      for (const at of spread(rim.length, 60)) {
        const changed = rims.map((r, k) => (k === i ? flip(r, at) : r))
        expect([i, at, await refusals({ rims: changed })]).not.toEqual([i, at, []])
        count('bytes of manifests')
      }
    }
  })

  it('of an OCSP answer makes it count for nothing', async () => {
    const { ocsp } = parts()
    const [answer = new Uint8Array()] = ocsp
    for (const at of spread(answer.length, 60)) {
      const rules = await refusals({ ocsp: [flip(answer, at), ...ocsp.slice(1)] }, [])
      expect([at, rules.filter((rule) => !rule.includes('-rim-'))]).not.toEqual([at, []])
      count('bytes of OCSP answers')
    }
  })

  it('of an OCSP answer that says revoked instead of good is no answer', async () => {
    const { ocsp } = parts()
    const [answer = new Uint8Array()] = ocsp
    const good = Buffer.from(answer).indexOf(Buffer.from('8000180f', 'hex'))
    const rules = await refusals({ ocsp: [answer.map((b, i) => (i === good ? 0x82 : b)), ...ocsp.slice(1)] })
    expect([good > 0, rules]).toEqual([true, ['signature.ocsp-device-identity=fail']])
  })

  it('too few of the report are refused, at every length', async () => {
    const { report } = parts()
    for (let size = 0; size < report.length; size += 97) expect(await refusals({ report: report.subarray(0, size) })).not.toEqual([])
    expect(await refusals({ report: concat(report, Uint8Array.of(0)) })).toEqual(['format.well-formed=fail'])
  })
})

describe.skipIf(folder === null)('manifests by themselves', () => {
  const manifests = cases.filter((c) => c.kind === 'rim' && !c.id.startsWith('rim-parser'))

  async function judge(path: string | undefined, at: string | null): Promise<string> {
    const { rims } = await loadCollateral([{ name: 'rim', bytes: read(path) }], cache)
    const [rim] = rims
    if (rim === undefined) return 'none'
    const now = nowAt(Date.parse(at ?? ''))
    const facts = await chooseRim(rims, rim.colloquialVersion, rim.product, nvidiaRoots([]).rim, now, cache)
    return troubles(checkRim(facts, 'driver', rim.colloquialVersion, rim.product, now)).join()
  }

  it.each(manifests)('$id: $expected.verdict', async ({ evidence_files: files, verify_at, expected }) => {
    const rules = await judge(files.rim, verify_at)
    expect(rules === '').toBe(expected.verdict === 'pass')
    count(rules === '' ? 'manifests that verify' : 'manifests refused')
  })

  it('signature wrapping and a foreign KeyValue are refused before any key is looked at', async () => {
    for (const { evidence_files: files } of cases.filter((c) => c.kind === 'rim-derived-negative')) {
      expect(await outcomeOf(() => parseRim(read(files.rim), 'rim'))).toBe('DOCUMENT_INVALID')
      count('attacks refused')
    }
  })

  it.each(cases.filter((c) => c.id.startsWith('rim-parser')))('$id: $expected.verdict', async ({ evidence_files: files, expected }) => {
    expect(await outcomeOf(() => parseRim(read(files.rim), 'rim'))).not.toBe('accepted')
    const wellFormed = expected.verdict.startsWith('parse-ok')
    // One of them holds words in the place of hashes: readable elsewhere, not here.
    const hasHashes = /size="48"/.test(new TextDecoder().decode(read(files.rim)))
    if (wellFormed && hasHashes) expect(payloadOf(read(files.rim)).length).toBeGreaterThan(0)
    count(wellFormed && hasHashes ? 'fragments with a readable payload' : 'fragments refused')
  })

  /** The measurements of a fragment that has nothing but a payload. */
  function payloadOf(xml: Uint8Array): readonly unknown[] {
    const payload = parseXml(new TextDecoder().decode(xml), 'fragment').children.find((c) => typeof c !== 'string')
    if (payload === undefined || typeof payload === 'string') throw new AttestError('DOCUMENT_INVALID', 'no payload')
    return readMeasurements(new Shape(payload, swid('Payload'), 'fragment'))
  }
})

afterAll(() => counts.print())
