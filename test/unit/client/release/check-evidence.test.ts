import { beforeAll, describe, expect, it } from 'vitest'
import { checkEvidence, type EvidenceQuestion, generateSigningKey } from '../../../../src/client/index.ts'
import { random } from '../../../../src/client/owner.ts'
import { simulatedAttester } from '../../../../src/host/attesters/sim.ts'
import { collectEvidence } from '../../../../src/host/job/evidence.ts'
import { generateKemKey, publicOf } from '../../../../src/seal/index.ts'
import { sevSnpTee } from '../../../../src/sim/index.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { encodeBinding, parseBinding } from '../../../../src/verify/documents/binding.ts'
import { jobNonce } from '../../../../src/verify/documents/job-nonce.ts'
import { DEFAULT_HPKE_SUITE } from '../../../../src/verify/documents/keys.ts'
import type { TrustFile } from '../../../../src/verify/documents/trust.ts'
import { encodeCanonical } from '../../../../src/verify/formats/canonical-json.ts'
import { headerBytes, policyBytes, sampleContract, samplePolicy } from '../../../support/job-documents.ts'
import { testBytes } from '../../../support/keys.ts'
import { simulatedPlatform } from '../../../support/simulated-platform.ts'

const platform = simulatedPlatform()
const JOB = toBase64Url(testBytes('job', 32))
const NONCES = [testBytes('nonce', 32)]
const CHECKPOINT = 'the text of a checkpoint'
const trust: TrustFile = {
  v: 1,
  type: 'sealgate/trust/v1',
  logs: [],
  witnesses: [],
  gateways: [],
  owners: [],
  simulatedRoots: [toBase64Url(platform.root.certificate)],
}
let good: EvidenceQuestion

async function evidenceFor(
  changes: {
    readonly nonces?: readonly Uint8Array[]
    readonly job?: string
    readonly role?: 'host' | 'job'
    readonly measurement?: number
  } = {},
) {
  const attester = simulatedAttester(sevSnpTee(platform), new Uint8Array(48).fill(changes.measurement ?? 0xab))
  const { bundle } = await collectEvidence(attester, {
    role: changes.role ?? 'job',
    nonce: await jobNonce(JOB, changes.nonces ?? NONCES, CHECKPOINT),
    kem: (await generateKemKey(DEFAULT_HPKE_SUITE, random)).publicKey,
    sig: publicOf(generateSigningKey()),
    tls: null,
    config: encodeCanonical({}),
    job: changes.role === 'host' ? null : (changes.job ?? JOB),
  })
  const verdict = { accepted: true, authentic: true, format: 'bundle', checks: [], notChecked: [], claims: new Uint8Array() }
  return { bundle, verdict, checkpoint: CHECKPOINT, ownerNonces: NONCES, endorsements: [] }
}

beforeAll(async () => {
  const contract = await sampleContract(headerBytes, policyBytes)
  good = {
    evidence: await evidenceFor(),
    contract,
    jobDigest: JOB,
    ownerNonces: NONCES,
    policies: [samplePolicy()],
    trust,
    at: new Date('2026-01-10T00:00:00Z'),
  }
})

async function rejection(changes: Partial<EvidenceQuestion>): Promise<string> {
  return checkEvidence({ ...good, ...changes }).then(
    () => 'accepted',
    (error: { code: string; message: string }) => `${error.code} ${error.message}`,
  )
}

describe('evidence, as the releaser sees it', () => {
  it('accepts what was made for this job, these nonces and a policy that wants it', async () => {
    const enclave = await checkEvidence(good)
    expect(enclave).toMatchObject({ simulated: true, measurement: 'ab'.repeat(48) })
    expect(enclave.kem).toEqual(parseBinding(good.evidence.bundle.binding).kem)
  })

  it('does not look at the verdict of the gateway', async () => {
    const verdict = { ...good.evidence.verdict, accepted: false }
    expect(await rejection({ evidence: { ...good.evidence, verdict } })).toBe('accepted')
    const lying = await evidenceFor({ measurement: 0xcd })
    expect(await rejection({ evidence: lying })).toContain('reference-values.measurement')
  })

  it.each([
    ['an old nonce', { nonces: [testBytes('old', 32)] }, 'freshness.binding-nonce'],
    ['another job', { job: toBase64Url(testBytes('other job', 32)) }, 'binding.job'],
    ['the role of a host', { role: 'host' as const }, 'binding.role'],
    ['another measurement', { measurement: 0xba }, 'reference-values.measurement'],
  ])('rejects evidence of %s', async (_, changes, rule) => {
    expect(await rejection({ evidence: await evidenceFor(changes) })).toMatch(new RegExp(`^EVIDENCE_REJECTED.*${rule}`))
  })

  it('rejects evidence whose nonce was made over another checkpoint', async () => {
    expect(await rejection({ evidence: { ...good.evidence, checkpoint: 'another one' } })).toContain('freshness.binding-nonce')
  })

  it('rejects evidence of another key', async () => {
    const { evidence } = good
    const kem = (await generateKemKey(DEFAULT_HPKE_SUITE, random)).publicKey
    const binding = encodeBinding({ ...parseBinding(evidence.bundle.binding), kem })
    expect(await rejection({ evidence: { ...evidence, bundle: { ...evidence.bundle, binding } } })).toContain('binding.report-data')
  })

  it('rejects simulated evidence under a trust file that does not name its root', async () => {
    expect(await rejection({ trust: { ...trust, simulatedRoots: [] } })).toMatch(/^EVIDENCE_REJECTED/)
  })

  it('rejects simulated evidence where a policy does not allow it', async () => {
    const policy = samplePolicy()
    const strict = samplePolicy({ appraisal: { ...policy.appraisal, allowSimulated: false } })
    expect(await rejection({ policies: [strict] })).toContain('policy.simulated')
    expect(await rejection({ policies: [policy, strict] })).toContain('policy.simulated')
  })

  it('rejects a runner or key kind that a policy does not name, and no policy at all', async () => {
    expect(await rejection({ policies: [samplePolicy({ runners: ['docker'] })] })).toMatch(/^POLICY_DENIED.*policy.runner/)
    expect(await rejection({ policies: [samplePolicy({ suites: ['DHKEM-P384,HKDF-SHA384,AES-256-GCM'] })] })).toMatch(
      /^POLICY_DENIED.*policy.suite/,
    )
    expect(await rejection({ policies: [] })).not.toBe('accepted')
  })
})
