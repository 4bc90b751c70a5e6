import { describe, expect, it } from 'vitest'
import { toBase64Url } from '../../../src/verify/bytes/bytes.ts'
import { type Binding, encodeBinding } from '../../../src/verify/documents/binding.ts'
import { type EvidenceBundle, evidenceDigest } from '../../../src/verify/documents/evidence-bundle.ts'
import { encodeCanonical } from '../../../src/verify/formats/canonical-json.ts'
import { parseCertificate } from '../../../src/verify/formats/x509.ts'
import { exitCodeOf } from '../../../src/verify/verdict.ts'
import { type BundleOptions, type BundleVerdict, verifyBundle } from '../../../src/verify/verify-bundle.ts'
import { digestOf, kemKey, T0 } from '../../support/job-documents.ts'
import { testBytes, testKey } from '../../support/keys.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { MEASUREMENT, platform, simulatedReport } from '../../support/receipt-builder.ts'

const nonce = testBytes('nonce', 32)
const job = toBase64Url(testBytes('job', 32))
const config = encodeCanonical({ agent: 'sealgate/0.1.0' })
const endorsements = [platform.vek.certificate, platform.intermediate.certificate, platform.crl]

async function bundleOf(changes: Partial<Binding> = {}, parts: Partial<EvidenceBundle> = {}): Promise<EvidenceBundle> {
  const binding = encodeBinding({
    v: 1,
    context: 'sealgate/attest/v1',
    role: 'job',
    nonce: toBase64Url(nonce),
    kem: kemKey('enclave'),
    sig: { alg: 'Ed25519', publicKey: testKey('job').jwk.x },
    tls: null,
    devices: [],
    config: await digestOf(config),
    job,
    ...changes,
  })
  return { binding, config, cpu: { format: 'sev-snp', report: await simulatedReport(binding) }, devices: [], endorsements, ...parts }
}

const options: BundleOptions = {
  collateral: [],
  trustAnchors: [platform.root.certificate],
  at: new Date(T0 * 1000),
  role: 'job',
  nonce,
  job,
  allowUnknown: [],
}

const failed = ({ checks }: BundleVerdict): string[] => checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule)

describe('an honest bundle', () => {
  it('is accepted, with claims about the enclave that holds the keys', async () => {
    const bundle = await bundleOf()
    const verdict = await verifyBundle(bundle, options)
    expect(failed(verdict)).toEqual([])
    expect(verdict.decision === 'accept' && verdict.claims).toMatchObject({
      tee: 'sev-snp',
      measurement: MEASUREMENT,
      simulated: true,
      debug: false,
      bindingGrade: 'committed',
      placementGrade: 'none',
      bindingDigest: await digestOf(bundle.binding),
      evidence: await evidenceDigest(bundle),
      config: { agent: 'sealgate/0.1.0' },
      collateralTime: Date.parse('2026-05-01T00:00:00Z') / 1000,
    })
  })

  it('says what it was not asked to check', async () => {
    const { nonce: _n, job: _j, ...rest } = options
    expect((await verifyBundle(await bundleOf(), rest)).notChecked).toEqual(['nonce', 'job', 'measurement'])
    const host = await verifyBundle(await bundleOf({ role: 'host', job: null }), { ...rest, role: 'host' })
    expect(host.decision).toBe('accept')
    expect(host.notChecked).toEqual(['nonce', 'measurement'])
  })

  it('may take its endorsements from elsewhere', async () => {
    const bare = await bundleOf({}, { endorsements: [] })
    expect((await verifyBundle(bare, { ...options, collateral: endorsements })).decision).toBe('accept')
    expect(exitCodeOf((await verifyBundle(bare, options)).checks)).toBe(6)
  })
})

describe('a bundle is rejected:', () => {
  const other = toBase64Url(testBytes('other', 32))
  const cases: readonly (readonly [string, () => Promise<EvidenceBundle>, Partial<BundleOptions>, readonly string[]])[] = [
    ['replayed with an old nonce', () => bundleOf(), { nonce: testBytes('fresh nonce', 32) }, ['freshness.binding-nonce']],
    ['made for another job', () => bundleOf(), { job: other }, ['binding.job']],
    ['of a host where a job is wanted', () => bundleOf({ role: 'host', job: null }), {}, ['binding.role', 'binding.job']],
    ['of a host that names a job', () => bundleOf({ role: 'host' }), { role: 'host' }, ['binding.job-role']],
    ['of a job that names none', () => bundleOf({ job: null }), {}, ['binding.job-role', 'binding.job']],
    [
      'with another configuration',
      async () => ({ ...(await bundleOf()), config: encodeCanonical({ agent: 'other' }) }),
      {},
      ['binding.config'],
    ],
    [
      "with another enclave's key put in",
      async () => ({ ...(await bundleOf({ kem: kemKey('thief') })), cpu: (await bundleOf()).cpu }),
      {},
      ['binding.report-data'],
    ],
    ['with a device in the binding', () => bundleOf({ devices: [{ type: 'gpu', report: other }] }), {}, ['binding.devices']],
    [
      'with a device beside the binding',
      () => bundleOf({}, { devices: [{ type: 'gpu', report: nonce, certificateChain: nonce }] }),
      {},
      ['format.well-formed'],
    ],
    ['under no root that the caller trusts', () => bundleOf(), { trustAnchors: [] }, ['signature.endorsements', 'chain.issuer']],
    [
      'before its certificates are valid',
      () => bundleOf(),
      { at: new Date('2026-04-30T00:00:00Z') },
      ['validity.vek', 'validity.issuer', 'validity.root', 'revocation.issuer'],
    ],
    ['without its CRL', () => bundleOf({}, { endorsements: endorsements.slice(0, 2) }), {}, ['revocation.issuer']],
  ]

  it.each(cases)('%s', async (_, make, changes, rules) => {
    const verdict = await verifyBundle(await make(), { ...options, ...changes })
    expect(verdict.decision).toBe('reject')
    expect(failed(verdict)).toEqual(rules)
  })

  it('whatever devices it has, even if unknowns of the binding are allowed', async () => {
    const verdict = await verifyBundle(await bundleOf({ devices: [{ type: 'gpu', report: other }] }), {
      ...options,
      allowUnknown: ['binding'],
    })
    expect(verdict.decision).toBe('reject')
  })

  it('with endorsements that nobody signed', async () => {
    const forged = platform.vek.certificate.map((b, i, all) => (i === all.length - 1 ? b ^ 1 : b))
    expect(parseCertificate(forged).subject.commonName).toBe(parseCertificate(platform.vek.certificate).subject.commonName)
    expect(failed(await verifyBundle(await bundleOf({}, { endorsements: [...endorsements, forged] }), options))).toEqual([
      'signature.endorsements',
    ])
  })

  it('with endorsements in any spelling but DER', async () => {
    const pem = new TextEncoder().encode('-----BEGIN CERTIFICATE-----\n')
    expect(await verifyBundle(await bundleOf({}, { endorsements: [...endorsements, pem] }), options)).toMatchObject({
      decision: 'reject',
      error: { code: 'ENCODING_INVALID' },
    })
  })

  it('in a format that is not known, or none of a CPU', async () => {
    for (const format of ['auto', 'bundle', 'sev', 'tdx', 'nras-eat', 'ita-jwt', 'maa-jwt']) {
      const bundle = await bundleOf()
      const verdict = await verifyBundle({ ...bundle, cpu: { ...bundle.cpu, format } }, options)
      expect(verdict).toMatchObject({ decision: 'reject', authentic: false })
      expect(exitCodeOf(verdict.checks)).toBe(3)
    }
  })

  it('with a binding or configuration that is not canonical', async () => {
    const bundle = await bundleOf()
    const spaced = new TextEncoder().encode(` ${new TextDecoder().decode(bundle.binding)}`)
    expect(await verifyBundle({ ...bundle, binding: spaced }, options)).toMatchObject({ error: { code: 'JSON_NOT_CANONICAL' } })
    expect(await verifyBundle({ ...bundle, config: new TextEncoder().encode('{ }') }, options)).toMatchObject({
      error: { code: 'JSON_NOT_CANONICAL' },
    })
    expect(await verifyBundle({ ...bundle, binding: config }, options)).toMatchObject({ error: { code: 'DOCUMENT_INVALID' } })
  })

  it('with any one byte of the binding changed', async () => {
    const bundle = await bundleOf()
    for (let i = 0; i < bundle.binding.length; i += 5) {
      const binding = bundle.binding.map((b, j) => (j === i ? b ^ 1 : b))
      expect((await verifyBundle({ ...bundle, binding }, options)).decision, `byte ${i}`).toBe('reject')
    }
  })
})

describe('options that make no sense', () => {
  it('are an error of the caller', async () => {
    expect(await outcomeOf(async () => verifyBundle(await bundleOf(), { ...options, nonce: nonce.slice(1) }))).toBe('USAGE')
    expect(await outcomeOf(async () => verifyBundle(await bundleOf(), { ...options, at: new Date(Number.NaN) }))).toBe('USAGE')
  })
})
