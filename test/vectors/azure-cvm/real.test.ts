import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { concat, fromBase64Url, fromHex, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../src/verify/errors.ts'
import { parseHclReport } from '../../../src/verify/evidence/azure-cvm/hcl-report.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import type { VerifyOptions } from '../../../src/verify/evidence/types.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { tally } from '../../support/dcap-vector-checks.ts'
import { readVector, vectorsFolder } from '../../support/vectors.ts'
import { AZURE_VCEK, caseOf, cases, fieldsOf, file, folder } from '../tpm/cases.ts'

const counts = tally('Azure')
afterAll(() => {
  if (folder !== null) counts.print()
})

interface Parts {
  readonly hcl: Uint8Array
  readonly quote: Uint8Array
  readonly signature: Uint8Array
  readonly pcrs: Uint8Array
  readonly certificates: readonly Uint8Array[]
}

function partsOf(id: string): Parts {
  const { message = '', signature = '', pcrs = '', hcl_report = '' } = caseOf(id).evidence_files
  const vcek = AZURE_VCEK[id]
  const certificates = vcek === undefined ? [] : [readVector(join(folder ?? '', '../sev-snp/certs'), `vcek-${vcek}.der`)]
  return { hcl: file(hcl_report), quote: file(message), signature: file(signature), pcrs: file(pcrs), certificates }
}

function verify({ hcl, quote, signature, pcrs, certificates }: Parts, more: Partial<VerifyOptions> = {}): Promise<EvidenceVerdict> {
  return verifyEvidence(hcl, {
    collateral: [quote, signature, pcrs, ...certificates],
    trustAnchors: [],
    at: new Date('2025-09-15T00:00:00Z'),
    allowUnknown: ['revocation'],
    ...more,
  })
}

function troublesOf({ checks }: EvidenceVerdict): readonly string[] {
  return checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => `${c.rule}=${c.outcome}`)
}

const azure = cases.filter((c) => c.kind === 'azure-hcl-vtpm-quote')

describe.skipIf(folder === null)('real Azure confidential VMs', () => {
  it.each(azure)('$id', async ({ id, expected }) => {
    const parts = partsOf(id)
    const nonce = fromHex(expected.parsed?.extraData ?? '')
    const verdict = await verify(parts, { nonce })
    // The two TDX captures have no TD quote beside them: everything else about them holds.
    const isTdx = expected.hcl?.report_type === 4
    expect([verdict.decision, troublesOf(verdict)]).toEqual(isTdx ? ['reject', ['signature.quote=unknown']] : ['accept', []])
    expect(verdict.parsed).toMatchObject({
      hardwareTee: isTdx ? 'tdx' : 'sev-snp',
      tpm: fieldsOf(expected.parsed ?? fail()),
    })
    for (const rule of ['signature.tpm-quote', 'binding.pcr-digest', 'binding.runtime-data', 'freshness.nonce']) {
      expect(verdict.checks.find((c) => c.rule === rule)?.outcome).toBe('pass')
    }
    if (!isTdx)
      expect(verdict).toMatchObject({
        claims: { hardware: { vmpl: 0, reportData: expect.stringContaining(expected.hcl?.runtime_data_sha256 ?? '?') } },
      })
    const turned = await verifyEvidence(parts.quote, {
      collateral: [parts.hcl, parts.signature, parts.pcrs, ...parts.certificates],
      trustAnchors: [],
      at: new Date('2025-09-15T00:00:00Z'),
      allowUnknown: ['revocation'],
      nonce,
    })
    expect([turned.format, turned.decision, troublesOf(turned)]).toEqual(['azure-cvm', verdict.decision, troublesOf(verdict)])
    counts.count(isTdx ? 'reject for want of a TD quote alone' : verdict.decision)
  })

  const xor = (bytes: Uint8Array, offset: number, mask: number): Uint8Array => bytes.map((b, i) => (i === offset ? b ^ mask : b))
  /** Selections of three bytes without a bit set, and SHA-256 of nothing. */
  const empty = (quote: Uint8Array): Uint8Array =>
    concat(
      quote.subarray(0, quote.length - 37),
      new Uint8Array(3),
      fromHex('0020e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'),
    )
  const permuted = (pcrs: Uint8Array): Uint8Array => {
    const [first, second, ...rest] = JSON.parse(new TextDecoder().decode(pcrs)) as string[]
    return utf8(JSON.stringify([second, first, ...rest]))
  }
  const without = (pcrs: Uint8Array): Uint8Array =>
    utf8(JSON.stringify((JSON.parse(new TextDecoder().decode(pcrs)) as string[]).slice(0, 23)))
  const RECIPES: readonly (readonly [string, (p: Parts) => Partial<Parts>, RegExp, Partial<VerifyOptions>?])[] = [
    ['magic', ({ quote }) => ({ quote: xor(quote, 0, 1) }), /signature\.tpm-quote=unknown/],
    ['type 8017', ({ quote }) => ({ quote: xor(quote, 5, 0x0f) }), /format\.well-formed=fail/],
    ['type 801a', ({ quote }) => ({ quote: xor(quote, 5, 0x02) }), /format\.well-formed=fail/],
    ['no PCR selected, digest of nothing', ({ quote }) => ({ quote: empty(quote) }), /policy\.pcr-selection=fail/],
    ['PCR values in another order', ({ pcrs }) => ({ pcrs: permuted(pcrs) }), /binding\.pcr-digest=fail/],
    ['a PCR value missing', ({ pcrs }) => ({ pcrs: without(pcrs) }), /binding\.pcr-digest=unknown/],
    ['extraData of other bytes', () => ({}), /freshness\.nonce=fail/, { nonce: utf8('challengf') }],
    ['extraData longer', () => ({}), /freshness\.nonce=fail/, { nonce: utf8('challenge\0') }],
    ['extraData shorter', () => ({}), /freshness\.nonce=fail/, { nonce: utf8('challeng') }],
    ['runtime data changed in one byte', ({ hcl }) => ({ hcl: xor(hcl, 1236 + 1090, 1) }), /binding\.runtime-data=fail/],
    ['HCLAkPub changed', ({ hcl }) => ({ hcl: xor(hcl, 1236 + 120, 1) }), /binding\.runtime-data=fail/],
    ['trailing byte after the quote', ({ quote }) => ({ quote: concat(quote, Uint8Array.of(0)) }), /format\.well-formed=fail/],
    ['SHA-1 in the signature', ({ signature }) => ({ signature: concat(fromHex('001400040100'), signature) }), /signature\.tpm-quote=fail/],
    ['safe = 0', ({ quote }) => ({ quote: xor(quote, 4 + 2 + 2 + 34 + 2 + 9 + 16, 1) }), /signature\.tpm-quote=fail/],
    ['resetCount', ({ quote }) => ({ quote: xor(quote, 4 + 2 + 2 + 34 + 2 + 9 + 8, 1) }), /signature\.tpm-quote=fail/],
    ['hardware report changed', ({ hcl }) => ({ hcl: xor(hcl, 32 + 0x90, 1) }), /signature\.report=fail/],
    ['hash type SHA-384', ({ hcl }) => ({ hcl: xor(hcl, 1228, 3) }), /binding\.runtime-data=fail/],
    ['report type TDX', ({ hcl }) => ({ hcl: xor(hcl, 1224, 6) }), /format\.well-formed=fail/],
    ['no signature', ({ pcrs }) => ({ signature: pcrs }), /signature\.tpm-quote=unknown/],
  ]
  const recipes = RECIPES.map(([name, change, rule, more = {}]) => ({ name, change, rule, more }))
  it.each(recipes)('is refused: $name', async ({ change, rule, more }) => {
    const parts = partsOf('tpm-azsnp-v1')
    const verdict = await verify({ ...parts, ...change(parts) }, { nonce: utf8('challenge'), ...more })
    expect(verdict.decision).toBe('reject')
    expect(troublesOf(verdict).join()).toMatch(rule)
    counts.count('recipe')
  })

  it('refuses the quote of another machine', async () => {
    const [one, other] = [partsOf('tpm-azsnp-v1'), partsOf('tpm-azsnp-genoa')]
    expect(troublesOf(await verify({ ...one, hcl: other.hcl, certificates: other.certificates }))).toEqual(['signature.tpm-quote=fail'])
    counts.count('splice')
  })

  it('refuses a flipped bit in every byte of quote, signature and HCL report', async () => {
    const cache = createVerifyCache()
    const parts = partsOf('tpm-azsnp-v1')
    const size = parseHclReport(parts.hcl).runtimeData.length + 1236
    const regions = { quote: parts.quote.length, signature: parts.signature.length, hcl: size }
    let [refused, accepted] = [0, 0]
    for (const [name, length] of Object.entries(regions) as ['quote' | 'signature' | 'hcl', number][]) {
      for (let i = 0; i < length; i++) {
        const flipped = { ...parts, [name]: xor(parts[name], i, 1 << (i & 7)) }
        const verdict = await verify(flipped, { format: 'azure-cvm', cache })
        if (verdict.decision === 'reject') refused++
        // Request type, outside of everything that is signed.
        else accepted += name === 'hcl' && i >= 12 && i < 16 ? 1 : Number.NaN
      }
    }
    console.info(`Azure: ${refused} flips refused, ${accepted} of the unsigned request type without effect`)
    expect(accepted).toBeLessThanOrEqual(4)
  })

  it('refuses every truncation of the HCL report', () => {
    const { hcl } = partsOf('tpm-azsnp-v1')
    const size = parseHclReport(hcl).runtimeData.length + 1236
    for (let n = 0; n < size; n++) expect(() => parseHclReport(hcl.subarray(0, n))).toThrow(AttestError)
  })
})

const tdxFolder = vectorsFolder('tdx')
describe.skipIf(tdxFolder === null)('a real Azure TDX VM with its TD quote', () => {
  const at = new Date('2026-06-08T12:42:41Z')
  const collateralFile = 'collateral/tdx-90c06f000000-v3-eval19-2026-06-08-2bd6b7.json'

  /** The capture is YAML of one fixed shape. */
  function capture(): { parts: Parts; tdQuote: Uint8Array; collateral: Uint8Array } {
    const text = new TextDecoder().decode(readVector(tdxFolder ?? '', 'azure/attested-tls-1780922561.yaml'))
    const blob = (name: string): Uint8Array =>
      fromBase64Url(new RegExp(`^${name}: >-\\n  (\\S+)`, 'm').exec(text)?.[1]?.replace(/=+$/, '') ?? '')
    const numbers = (lines: string): Uint8Array => Uint8Array.from(lines.match(/\d+/g) ?? [], Number)
    const list = (name: string): string => new RegExp(`^    ${name}:\\n((?:    (?:  )?- .*\\n|      - .*\\n)+)`, 'm').exec(text)?.[1] ?? ''
    const pcrs = list('pcrs')
      .split(/^ {4}- - /m)
      .slice(1)
      .map((block) => Buffer.from(numbers(block)).toString('hex'))
    const parts = {
      hcl: blob('hcl_report_base64'),
      quote: numbers(list('message')),
      signature: numbers(list('signature')),
      pcrs: utf8(JSON.stringify(pcrs)),
      certificates: [],
    }
    return { parts, tdQuote: blob('tdx_quote_base64'), collateral: readVector(tdxFolder ?? '', collateralFile) }
  }

  it('is accepted, and every part of it is needed', async () => {
    const { parts, tdQuote, collateral } = capture()
    const all = { ...parts, certificates: [tdQuote, collateral] }
    const verdict = await verify(all, { at, allowUnknown: [], nonce: new Uint8Array(32) })
    expect([verdict.decision, troublesOf(verdict)]).toEqual(['accept', []])
    expect(verdict).toMatchObject({
      claims: { tee: 'azure-cvm', hardwareTee: 'tdx', tcbStatus: 'UpToDate', debug: false, simulated: false },
    })
    expect(troublesOf(await verify({ ...parts, certificates: [collateral] }, { at }))).toEqual(['signature.quote=unknown'])
    const stranger = readVector(tdxFolder ?? '', 'evidence/tdx-v4-cmc-2.bin')
    expect(troublesOf(await verify({ ...parts, certificates: [stranger, collateral] }, { at }))).toContain('binding.td-quote=fail')
    counts.count('accept with TD quote')
  })
})

function fail(): never {
  throw new Error('the manifest lacks this')
}
