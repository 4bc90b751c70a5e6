import { beforeAll, describe, expect, it } from 'vitest'
import { crypto } from '#crypto'
import { toBase64Url } from '../../../src/verify/bytes/bytes.ts'
import { encodeBinding } from '../../../src/verify/documents/binding.ts'
import type { EvidenceBundle } from '../../../src/verify/documents/evidence-bundle.ts'
import { encodeCanonical } from '../../../src/verify/formats/canonical-json.ts'
import { exitCodeOf } from '../../../src/verify/verdict.ts'
import { type BundleOptions, verifyBundle } from '../../../src/verify/verify-bundle.ts'
import { AT, collateralOf, defaultWorld, qeIdentityJson, type SimulatedCase, SimulatedIntel, tcbInfoJson } from '../../support/intel.ts'
import { digestOf, kemKey } from '../../support/job-documents.ts'
import { testBytes, testKey } from '../../support/keys.ts'

const nonce = testBytes('nonce', 32)
const job = toBase64Url(testBytes('job', 32))
const config = encodeCanonical({ agent: 'sealgate/0.1.0' })

let made: SimulatedCase
let bundle: EvidenceBundle
beforeAll(async () => {
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
  })
  const reportData = await crypto.digest('SHA-512', binding)
  const intel = new SimulatedIntel()
  made = await intel.make('tdx', {
    td: { ...defaultWorld('tdx').td, reportData },
    tcbInfo: tcbInfoJson('tdx', { tcbEvaluationDataNumber: 21, issueDate: '2026-06-02T00:00:00Z' }),
    qeIdentity: qeIdentityJson('tdx', { tcbEvaluationDataNumber: 19, issueDate: '2026-06-03T00:00:00Z' }),
  })
  bundle = { binding, config, cpu: { format: 'tdx', report: made.quote }, devices: [], endorsements: [] }
})

const options = (): BundleOptions => ({
  collateral: collateralOf(made),
  trustAnchors: [made.root],
  at: AT,
  role: 'job',
  nonce,
  job,
  allowUnknown: [],
})

describe('a bundle with a TDX quote', () => {
  it('is accepted, with the lower evaluation number and the date of its oldest collateral', async () => {
    const verdict = await verifyBundle(bundle, options())
    expect(verdict).toMatchObject({
      decision: 'accept',
      claims: { tee: 'tdx', tcbStatus: 'UpToDate', tcbEvaluationDataNumber: 19, simulated: true, bindingGrade: 'committed' },
    })
    expect(verdict.decision === 'accept' && verdict.claims.collateralTime).toBe(Date.parse('2026-06-01T00:00:00Z') / 1000)
  })

  it('is rejected with a quote for another binding', async () => {
    const other = await new SimulatedIntel().make('tdx')
    const verdict = await verifyBundle(
      { ...bundle, cpu: { format: 'tdx', report: other.quote } },
      { ...options(), trustAnchors: [other.root], collateral: collateralOf(other) },
    )
    expect(verdict.checks.filter((c) => c.outcome === 'fail').map((c) => c.rule)).toEqual(['binding.report-data'])
    expect(exitCodeOf(verdict.checks)).toBe(5)
  })

  it('is not accepted without Intel’s collateral', async () => {
    const verdict = await verifyBundle(bundle, { ...options(), collateral: [], allowUnknown: ['revocation', 'tcb'] })
    expect(verdict.decision).toBe('reject')
    expect(exitCodeOf(verdict.checks)).toBe(6)
  })
})
