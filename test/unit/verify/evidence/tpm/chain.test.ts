import 'reflect-metadata'
import { Extension, KeyUsageFlags } from '@peculiar/x509'
import { beforeAll, describe, expect, it } from 'vitest'
import { exitCodeOf } from '../../../../../src/verify/verdict.ts'
import type { EvidenceVerdict } from '../../../../../src/verify/verify-evidence.ts'
import { attest, pcrsJson, TestAk, troublesOf, verifyTpm } from '../../../../support/tpm-maker.ts'
import { type AkCertificateChange, TpmAuthority } from '../../../../support/tpm-pki.ts'

const ak = new TestAk('p256')
const quote = attest()
let authority: TpmAuthority
beforeAll(async () => {
  authority = await TpmAuthority.create()
})

async function certified(change: AkCertificateChange = {}, more: readonly Uint8Array[] = []): Promise<EvidenceVerdict> {
  const certificates = [await authority.certify(ak, change), authority.intermediate]
  return verifyTpm(quote, [ak.sign(quote), pcrsJson(), ak.publicArea(), ...certificates, ...more], { trustAnchors: [authority.root] })
}

describe('a certified attestation key', () => {
  it('is trusted under a root that the caller names, as a simulated one', async () => {
    const verdict = await certified()
    expect(troublesOf(verdict)).toEqual([])
    expect(verdict).toMatchObject({
      claims: { simulated: true, ak: { certificate: { subject: 'CN=ak', issuer: 'CN=SIMULATED vTPM CA', serial: '0a' } } },
    })
    expect(verdict.notChecked).toContain('revocation of CN=ak: its certificate names no CRL')
  })

  it('needs no other description than its certificate', async () => {
    const certificates = [await authority.certify(ak), authority.intermediate]
    const verdict = await verifyTpm(quote, [ak.sign(quote), pcrsJson(), ...certificates], { trustAnchors: [authority.root] })
    expect([troublesOf(verdict), verdict.notChecked.includes('ak-attributes')]).toEqual([[], true])
  })

  it('is not trusted under a root that nobody named, without its intermediate, or after a year', async () => {
    const certificates = [await authority.certify(ak), authority.intermediate]
    const evidence = [ak.sign(quote), pcrsJson(), ak.publicArea()]
    expect(troublesOf(await verifyTpm(quote, [...evidence, ...certificates]))).toEqual(['chain.ak=fail'])
    expect(troublesOf(await verifyTpm(quote, [...evidence, ...certificates, authority.root]))).toEqual(['chain.ak=fail'])
    const other = await TpmAuthority.create()
    expect(troublesOf(await verifyTpm(quote, [...evidence, ...certificates], { trustAnchors: [other.root] }))).toEqual(['chain.ak=fail'])
    const short = await verifyTpm(quote, [...evidence, ...certificates.slice(0, 1)], { trustAnchors: [authority.root] })
    expect([troublesOf(short), exitCodeOf(short.checks)]).toEqual([['chain.ak=fail'], 4])
    const late = await verifyTpm(quote, [...evidence, ...certificates], {
      trustAnchors: [authority.root],
      at: new Date('2027-06-01T00:00:00Z'),
    })
    expect(troublesOf(late)).toEqual(['validity.ak=fail', 'validity.issuer=fail', 'validity.root=fail'])
  })

  it('is refused with a certificate of another key', async () => {
    const certificates = [await authority.certify(new TestAk('p256')), authority.intermediate]
    const verdict = await verifyTpm(quote, [ak.sign(quote), pcrsJson(), ak.publicArea(), ...certificates], {
      trustAnchors: [authority.root],
    })
    expect(troublesOf(verdict)).toEqual(['chain.ak=fail'])
  })

  it('is refused with a certificate that is not for attestation keys', async () => {
    expect(troublesOf(await certified({ usage: null }))).toEqual(['chain.ak=unknown'])
    expect(troublesOf(await certified({ usage: '1.3.6.1.5.5.7.3.1' }))).toEqual(['chain.ak=unknown'])
    expect(troublesOf(await certified({ keyUsage: KeyUsageFlags.keyAgreement }))).toEqual(['chain.profile=fail'])
    const strange = new Extension('1.2.3.4', true, Uint8Array.of(5, 0))
    expect(troublesOf(await certified({ extra: [strange] }))).toEqual(['chain.profile=fail'])
    expect(troublesOf(await certified({ notAfter: new Date('2025-06-01T00:00:00Z') }))).toEqual(['validity.ak=fail'])
  })

  it('is refused under an intermediate that may not issue', async () => {
    const weak = await TpmAuthority.create('SIMULATED weak', { ca: false })
    const certificates = [await weak.certify(ak), weak.intermediate]
    const verdict = await verifyTpm(quote, [ak.sign(quote), pcrsJson(), ak.publicArea(), ...certificates], { trustAnchors: [weak.root] })
    expect(troublesOf(verdict)).toEqual(['chain.ak=fail'])
  })
})

describe('revocation of an attestation key', () => {
  it('is unknown where a certificate names a CRL and none is given', async () => {
    const verdict = await certified({ crl: true })
    expect([troublesOf(verdict), exitCodeOf(verdict.checks)]).toEqual([['revocation.issuer=unknown'], 6])
  })

  it('is decided by a current CRL of its issuer', async () => {
    expect(troublesOf(await certified({ crl: true }, [await authority.crl('intermediate', [])]))).toEqual([])
    expect(troublesOf(await certified({ crl: true }, [await authority.crl('intermediate', ['0a'])]))).toEqual(['revocation.issuer=fail'])
    expect(troublesOf(await certified({}, [await authority.crl('intermediate', ['0a'])]))).toEqual(['revocation.issuer=fail'])
    const old = await authority.crl('intermediate', [], new Date('2025-02-01T00:00:00Z'))
    expect(troublesOf(await certified({ crl: true }, [old]))).toEqual(['revocation.issuer=unknown'])
    expect(troublesOf(await certified({}, [await authority.crl('root', ['02'])]))).toEqual(['revocation.issuer=fail'])
  })

  it('is not decided by a CRL that somebody else signed', async () => {
    const other = await TpmAuthority.create()
    expect(troublesOf(await certified({ crl: true }, [await other.crl('intermediate', [])]))).toEqual([
      'signature.crl=fail',
      'revocation.issuer=unknown',
    ])
  })
})
