import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { AttestationSubject, Attester, DeviceAttester } from '../../../../src/host/attesters/attester.ts'
import { collectEvidence, type EvidenceSubject } from '../../../../src/host/job/evidence.ts'
import { fromBase64Url, toBase64Url, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { parseBinding } from '../../../../src/verify/documents/binding.ts'
import { deviceNonce } from '../../../../src/verify/documents/device-nonce.ts'
import { encodeEvidenceBundle, parseEvidenceBundle } from '../../../../src/verify/documents/evidence-bundle.ts'
import { verifyBundle } from '../../../../src/verify/verify-bundle.ts'
import { recipient } from '../../../support/job-documents.ts'
import { testBytes, testKey } from '../../../support/keys.ts'
import { fakeAttester, fakeDevices } from '../fakes.ts'

const { crv, kty, x } = testKey('evidence').jwk
const subject: EvidenceSubject = {
  role: 'host',
  nonce: testBytes('nonce', 32),
  kem: recipient,
  sig: { crv, kty, x },
  tls: null,
  config: utf8('{"v":1}'),
  job: null,
}
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64url')
const sha512 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha512').update(bytes).digest())

/** The fake attester, and what it was asked. */
function watched(): { readonly attester: Attester; readonly asked: AttestationSubject[] } {
  const asked: AttestationSubject[] = []
  const attest = (wanted: AttestationSubject): ReturnType<Attester['attest']> => {
    asked.push(wanted)
    return fakeAttester.attest(wanted)
  }
  return { attester: { ...fakeAttester, attest }, asked }
}

describe('evidence of a machine with devices', () => {
  it('binds both ways: the CPU names each report, and each report answers a nonce of the binding', async () => {
    const { attester, asked } = watched()
    const { bundle, bindingDigest } = await collectEvidence(attester, subject, fakeDevices(8))
    const binding = parseBinding(bundle.binding)
    expect(bundle.devices).toHaveLength(8)
    expect(binding.devices).toEqual(bundle.devices.map(({ type, report }) => ({ type, report: sha256(report) })))
    for (const [i, { report }] of bundle.devices.entries()) expect(report.subarray(0, 32)).toEqual(await deviceNonce(binding, i))
    expect(bundle.cpu.report.subarray(0x50, 0x90)).toEqual(sha512(bundle.binding))
    expect(bindingDigest).toBe(sha256(bundle.binding))
    expect(asked).toEqual([
      {
        reportData: sha512(bundle.binding),
        bindingDigest: fromBase64Url(bindingDigest),
        nonce: subject.nonce,
        publicKey: fromBase64Url(recipient.publicKey),
      },
    ])
    expect(parseEvidenceBundle(encodeEvidenceBundle(bundle))).toEqual(bundle)
  })

  it('is rejected under no trust at all, as evidence without devices is', async () => {
    const { bundle } = await collectEvidence(fakeAttester, subject, fakeDevices(1))
    const options = { collateral: [], trustAnchors: [], at: new Date('2026-06-01T00:00:00Z'), role: 'host', allowUnknown: [] } as const
    expect((await verifyBundle(bundle, options)).decision).toBe('reject')
  })

  it('is the same for a machine that has none as for one whose devices give none', async () => {
    const [none, empty] = [await collectEvidence(fakeAttester, subject), await collectEvidence(fakeAttester, subject, fakeDevices(0))]
    expect(none).toEqual(empty)
    expect(none.bundle.devices).toEqual([])
  })

  it('asks the CPU for nothing when a device gives no report', async () => {
    const { attester, asked } = watched()
    const broken: DeviceAttester = { ...fakeDevices(2), attestDevices: () => Promise.reject(new Error('gone')) }
    await expect(collectEvidence(attester, subject, broken)).rejects.toThrow('gone')
    expect(asked).toEqual([])
  })

  it('never has the same nonce for two devices or two challenges', async () => {
    const nonces = new Set<string>()
    for (const nonce of [testBytes('one', 32), testBytes('two', 32)]) {
      const { bundle } = await collectEvidence(fakeAttester, { ...subject, nonce }, fakeDevices(4))
      for (const { report } of bundle.devices) nonces.add(toBase64Url(report.subarray(0, 32)))
    }
    expect(nonces.size).toBe(8)
  })
})
