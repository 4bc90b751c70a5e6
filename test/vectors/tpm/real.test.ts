import { afterAll, describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../../src/verify/bytes/bytes.ts'
import { parseAttest } from '../../../src/verify/evidence/tpm/attest.ts'
import { describeTpmQuote } from '../../../src/verify/evidence/tpm/claims.ts'
import { nameOf, parsePublic } from '../../../src/verify/evidence/tpm/public.ts'
import type { VerifyOptions } from '../../../src/verify/evidence/types.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { tally } from '../../support/dcap-vector-checks.ts'
import { caseOf, cases, fieldsOf, file, folder } from './cases.ts'

const counts = tally('TPM')
afterAll(() => {
  if (folder !== null) counts.print()
})

function verify(quote: Uint8Array, collateral: readonly Uint8Array[], more: Partial<VerifyOptions> = {}): Promise<EvidenceVerdict> {
  return verifyEvidence(quote, {
    collateral,
    trustAnchors: [],
    at: new Date('2021-09-15T00:00:00Z'),
    allowUnknown: ['revocation'],
    ...more,
  })
}

function troublesOf({ checks }: EvidenceVerdict): readonly string[] {
  return checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => `${c.rule}=${c.outcome}`)
}

describe.skipIf(folder === null)('quotes of Google Compute Engine', () => {
  const runs = ['gce-cos85-nonce9009', 'gce-cos85-no-nonce']
  const banks = ['sha1', 'sha256', 'sha384']
  it.each(runs.flatMap((run) => banks.map((bank) => [run, bank] as const)))('%s, %s', async (run, bank) => {
    const at = `quotes/${run}`
    const companions = [`${at}/${bank}.sig`, `${at}/${bank}.pcrs.json`, `${at}/ak.tpmt_public.bin`, `${at}/ak.cert.der`]
    const collateral = [...companions, 'certs/gce-ak-intermediate-0.pem'].map(file)
    const hasNonce = run.endsWith('9009')
    const verdict = await verify(file(`${at}/${bank}.msg`), collateral, {
      eventLogs: [file(`${at}/eventlog.bin`)],
      ...(hasNonce ? { nonce: fromHex('9009') } : {}),
    })
    expect(troublesOf(verdict)).toEqual(hasNonce ? [] : ['freshness.extra-data=fail'])
    expect(verdict.notChecked.filter((n) => n.startsWith('pcr-bank'))).toHaveLength(bank === 'sha1' ? 1 : 0)
    expect(verdict.checks.filter((c) => /^binding\.pcr[0-7]$/.test(c.rule))).toHaveLength(8)
    const want = caseOf(`tpm-${run}`).expected.quotes?.find((q) => q.bank === bank)
    if (want === undefined) throw new Error('the manifest lacks this quote')
    expect(verdict.parsed).toMatchObject(fieldsOf(want.parsed))
    if (verdict.decision === 'accept') expect(verdict.claims).toMatchObject({ simulated: false, tee: 'tpm' })
    counts.count(verdict.decision)
  })

  it('are of unknown revocation without a CRL', async () => {
    const at = 'quotes/gce-cos85-nonce9009'
    const collateral = [`${at}/sha256.sig`, `${at}/sha256.pcrs.json`, `${at}/ak.cert.der`, 'certs/gce-ak-intermediate-0.pem'].map(file)
    const verdict = await verify(file(`${at}/sha256.msg`), collateral, { allowUnknown: [] })
    expect(troublesOf(verdict)).toEqual(['revocation.issuer=unknown', 'revocation.issuer=unknown'])
  })

  it('lead nowhere without the intermediate', async () => {
    const at = 'quotes/gce-cos85-nonce9009'
    const verdict = await verify(file(`${at}/sha256.msg`), [`${at}/sha256.sig`, `${at}/sha256.pcrs.json`, `${at}/ak.cert.der`].map(file))
    expect(troublesOf(verdict)).toEqual(['chain.ak=fail'])
  })
})

describe.skipIf(folder === null)('other quotes', () => {
  it('of a TPM without a certificate: accepted for who names its key, for nobody else', async () => {
    const at = 'quotes/trustee-tpm'
    const collateral = [`${at}/quote.sig`, `${at}/pcrs.json`, `${at}/ak.pub.der`].map(file)
    const quote = file(`${at}/quote.msg`)
    const named = await verify(quote, collateral, { trustAnchors: [file(`${at}/ak.pub.der`)] })
    expect(troublesOf(named)).toEqual([])
    expect(named.parsed).toMatchObject(fieldsOf(caseOf('tpm-trustee').expected.parsed ?? fail()))
    expect(troublesOf(await verify(quote, collateral))).toEqual(['chain.ak=unknown'])
    counts.count(named.decision)
  })

  it('with SHA-1 and no nonce: refused', async () => {
    const at = 'quotes/gcp-windows-shielded-sha1'
    const { expected } = caseOf('tpm-gcp-windows-sha1')
    const ak = file(`${at}/ak.tpmt_public.bin`)
    const verdict = await verify(file(`${at}/quote.msg`), [file(`${at}/quote.sig`), file(`${at}/pcrs-sha1.json`), ak], {
      trustAnchors: [ak],
      eventLogs: [file(`${at}/eventlog.bin`)],
    })
    expect(troublesOf(verdict)).toEqual(['signature.tpm-quote=fail', 'chain.ak=unknown', 'freshness.extra-data=fail'])
    // Its values and its log, of the form without a header, lead to what was signed.
    const rules = verdict.checks.filter((c) => c.outcome === 'pass').map((c) => c.rule)
    expect(rules).toEqual(expect.arrayContaining(['binding.pcr-digest', 'binding.pcr0', 'binding.pcr7']))
    expect(verdict.parsed).toMatchObject(fieldsOf(expected.parsed ?? fail()))
    expect(toHex(await nameOf(parsePublic(ak)))).toBe(expected.ak_name)
    counts.count(verdict.decision)
  })

  it('of which only the structure is known', async () => {
    const dstack = parseAttest(file('quotes/dstack-tpms-attest.bin'))
    expect(describeTpmQuote(dstack, null, [])).toMatchObject(fieldsOf(caseOf('tpm-dstack-structure').expected.parsed ?? fail()))
    const keylime = await verify(file('quotes/keylime-r-format.txt'), [])
    expect(troublesOf(keylime)).toEqual(['signature.tpm-quote=fail', 'chain.ak=unknown'])
    const want = fieldsOf(caseOf('tpm-keylime-r-format').expected.parsed ?? fail())
    expect(keylime.parsed).toMatchObject({ ...want, signature: { scheme: 'rsassa', hash: 'sha1' } })
    counts.count('parsed')
    counts.count('parsed')
  })

  it('are all of the manifest', () => {
    const tpm = cases.filter((c) => c.kind.startsWith('tpm-')).map((c) => c.id)
    expect(tpm.sort()).toEqual(
      [
        'tpm-trustee',
        'tpm-gcp-windows-sha1',
        'tpm-gce-cos85-no-nonce',
        'tpm-gce-cos85-nonce9009',
        'tpm-keylime-r-format',
        'tpm-dstack-structure',
      ].sort(),
    )
  })
})

function fail(): never {
  throw new Error('the manifest lacks this')
}
