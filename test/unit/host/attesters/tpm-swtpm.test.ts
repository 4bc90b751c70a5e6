import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAttester } from '../../../../src/host/attesters/index.ts'
import { attestTpm, type TpmEvidence } from '../../../../src/host/attesters/tpm.ts'
import { connectTpm, openTpmDevice } from '../../../../src/host/attesters/tpm-transport.ts'
import { fromHex, toHex, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { parsePublic } from '../../../../src/verify/evidence/tpm/public.ts'
import type { VerifyOptions } from '../../../../src/verify/evidence/types.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../../src/verify/verify-evidence.ts'
import { testBytes } from '../../../support/keys.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { hasSwtpm, startSwtpm, type TestTpm } from '../../../support/swtpm.ts'
import { subjectOf } from '../fakes.ts'

const nonce = testBytes('nonce', 32)

function verify(evidence: TpmEvidence, change: Partial<VerifyOptions> = {}): Promise<EvidenceVerdict> {
  const { quote, signature, pcrs, akPublic } = evidence
  return verifyEvidence(quote, {
    collateral: [signature, pcrs, akPublic],
    trustAnchors: [akPublic],
    at: new Date('2026-01-01T00:00:00Z'),
    nonce,
    allowUnknown: [],
    ...change,
  })
}

function troublesOf(verdict: EvidenceVerdict): readonly string[] {
  return verdict.checks.filter((c) => c.outcome !== 'pass').map((c) => `${c.rule}=${c.outcome}`)
}

describe.skipIf(!hasSwtpm())('quotes of a real software TPM', () => {
  let tpm: TestTpm
  let evidence: TpmEvidence
  beforeAll(async () => {
    tpm = await startSwtpm()
    evidence = await attestTpm(tpm.transport, { nonce })
  })
  afterAll(() => tpm?.stop())

  it('are accepted under the key that the caller names', async () => {
    const verdict = await verify(evidence)
    expect(troublesOf(verdict)).toEqual([])
    expect(verdict).toMatchObject({
      decision: 'accept',
      format: 'tpm',
      notChecked: ['measurement', 'event-log'],
      claims: {
        tee: 'tpm',
        reportData: toHex(nonce),
        simulated: true,
        signature: { scheme: 'ecdsa', hash: 'sha256' },
        pcrSelections: [{ bank: 'sha256', pcrs: Array.from({ length: 24 }, (_, i) => i) }],
        pcrs: { sha256: { 0: '00'.repeat(32), 17: 'ff'.repeat(32) } },
        ak: { attributes: ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'userWithAuth', 'restricted', 'sign'] },
      },
    })
  })

  it('are not accepted under a key that nobody vouches for', async () => {
    expect(troublesOf(await verify(evidence, { trustAnchors: [] }))).toEqual(['chain.ak=unknown'])
  })

  it('carry the digest of a binding where the attester is one that is asked for by name', async () => {
    const own = await startSwtpm()
    try {
      // It serves one connection at a time.
      await own.transport.close()
      const attester = await createAttester('tpm', { paths: { tpm: `tcp:127.0.0.1:${own.port}` } })
      const subject = subjectOf(new Uint8Array(64))
      const { report, endorsements } = await attester.attest(subject)
      const options = {
        collateral: endorsements,
        trustAnchors: endorsements.slice(2),
        at: new Date('2026-01-01T00:00:00Z'),
        allowUnknown: [],
      }
      const verdict = await verifyEvidence(report, { ...options, nonce: subject.bindingDigest })
      expect([attester.format, attester.simulated, troublesOf(verdict)]).toEqual(['tpm', false, []])
      expect(troublesOf(await verifyEvidence(report, { ...options, nonce: subject.nonce }))).toEqual(['freshness.nonce=fail'])
    } finally {
      await own.stop()
    }
  })

  it('can be taken again and again: no key stays behind', async () => {
    for (let i = 0; i < 8; i++) await attestTpm(tpm.transport, { nonce, pcrs: [i] })
    const again = await attestTpm(tpm.transport, { nonce, pcrs: [0, 7, 23] })
    expect(again.akPublic).toEqual(evidence.akPublic)
    expect(await verify(again)).toMatchObject({ decision: 'accept', claims: { pcrSelections: [{ pcrs: [0, 7, 23] }] } })
  })

  it('show an extended PCR, which a reference value then refuses', async () => {
    const before = { tpm: { pcrs: { 16: new Uint8Array(32) } } }
    expect(troublesOf(await verify(await attestTpm(tpm.transport, { nonce, pcrs: [16] }), before))).toEqual([])
    // TPM2_PCR_Extend: header, PCR 16, empty password, one SHA-256 digest.
    const extend = ['8002', '00000041', '00000182', '00000010', '00000009', '40000009', '0000', '00', '0000', '00000001', '000b']
    await tpm.transport.transmit(fromHex(extend.join('') + 'ab'.repeat(32)))
    const verdict = await verify(await attestTpm(tpm.transport, { nonce, pcrs: [16] }), before)
    expect(troublesOf(verdict)).toEqual(['reference-values.pcr16=fail'])
  })

  it('are refused with any single bit of the quote or the signature flipped', async () => {
    let refused = 0
    for (const part of ['quote', 'signature'] as const) {
      for (let bit = 0; bit < 8 * evidence[part].length; bit++) {
        const bytes = evidence[part].slice()
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        const verdict = await verify({ ...evidence, [part]: bytes }, { format: 'tpm' })
        if (verdict.decision === 'reject') refused++
      }
    }
    console.info(`swtpm quote: ${refused} of ${8 * (evidence.quote.length + evidence.signature.length)} flipped bits refused`)
    expect(refused).toBe(8 * (evidence.quote.length + evidence.signature.length))
  })

  it('are refused with the nonce, the values or the key of another quote', async () => {
    const other = await attestTpm(tpm.transport, { nonce: testBytes('other', 32), pcrs: [0] })
    expect(troublesOf(await verify({ ...evidence, quote: other.quote }))).toContain('signature.tpm-quote=fail')
    expect(troublesOf(await verify(other))).toEqual(['freshness.nonce=fail'])
    expect(troublesOf(await verify({ ...evidence, pcrs: utf8(JSON.stringify({ 0: 'ab'.repeat(32) })) }))).toEqual([
      'binding.pcr-digest=unknown',
    ])
    const stranger = await startSwtpm()
    try {
      const foreign = await attestTpm(stranger.transport, { nonce })
      expect(parsePublic(foreign.akPublic).spki).not.toEqual(parsePublic(evidence.akPublic).spki)
      expect(troublesOf(await verify({ ...evidence, akPublic: foreign.akPublic }))).toContain('signature.tpm-quote=fail')
      expect(troublesOf(await verify(foreign, { trustAnchors: [evidence.akPublic] }))).toEqual(['chain.ak=unknown'])
    } finally {
      await stranger.stop()
    }
  })

  it('are refused a TPM that answers with an error, and one that is not there', async () => {
    expect(await outcomeOf(() => attestTpm(tpm.transport, { nonce, akHandle: 0x81000003 }))).toBe('ATTESTER_UNAVAILABLE')
    expect(await outcomeOf(() => connectTpm('127.0.0.1', 1))).toBe('ATTESTER_UNAVAILABLE')
    expect(await outcomeOf(() => openTpmDevice('/nowhere/tpmrm0'))).toBe('ATTESTER_UNAVAILABLE')
  })
})
