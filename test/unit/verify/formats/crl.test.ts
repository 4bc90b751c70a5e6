import 'reflect-metadata'
import { Extension, X509Crl, X509CrlGenerator, X509CrlReason } from '@peculiar/x509'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, toHex } from '../../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { parseCrl } from '../../../../src/verify/formats/crl.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const P384 = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' }
const thisUpdate = new Date('2026-01-01T00:00:00Z')
const nextUpdate = new Date('2027-01-01T00:00:00Z')
const keys = await globalThis.crypto.subtle.generateKey(P384, true, ['sign', 'verify'])

type Entries = NonNullable<Parameters<typeof X509CrlGenerator.create>[0]['entries']>

async function make(entries: Entries = [], extensions: Extension[] = [], withNextUpdate = true): Promise<Uint8Array> {
  const crl = await X509CrlGenerator.create({
    issuer: 'CN=Root',
    thisUpdate,
    ...(withNextUpdate ? { nextUpdate } : {}),
    entries,
    extensions,
    signingAlgorithm: P384,
    signingKey: keys.privateKey,
  })
  return new Uint8Array(crl.rawData)
}

const crlNumber = new Extension('2.5.29.20', false, new Uint8Array([2, 1, 7]))

describe('a CRL', () => {
  it('is read as @peculiar/x509 reads it', async () => {
    const der = await make([{ serialNumber: '020001', revocationDate: thisUpdate, reason: X509CrlReason.keyCompromise }], [crlNumber])
    const [ours, peculiar] = [parseCrl(der), new X509Crl(new Uint8Array(der))]
    expect(ours.issuer.text).toBe('CN=Root')
    expect([ours.thisUpdate, ours.nextUpdate]).toEqual([peculiar.thisUpdate.getTime(), peculiar.nextUpdate?.getTime()])
    expect([...ours.revoked]).toEqual([['020001', thisUpdate.getTime()]])
    expect(ours.signatureScheme).toBe('ecdsa-p384-sha384')
  })

  it('may be empty', async () => {
    expect(parseCrl(await make()).revoked.size).toBe(0)
    expect(parseCrl(await make([], [crlNumber])).revoked.size).toBe(0)
  })

  it.each([
    ['an issuing distribution point', [], [new Extension('2.5.29.28', true, new Uint8Array([0x30, 0]))]],
    ['a delta indicator', [], [new Extension('2.5.29.27', true, new Uint8Array([2, 1, 1]))]],
    [
      'an entry of another issuer',
      [{ serialNumber: '01', revocationDate: thisUpdate, extensions: [new Extension('2.5.29.29', true, new Uint8Array([0x30, 0]))] }],
      [],
    ],
  ])('with %s is refused, since it answers another question', async (_, entries, extensions) => {
    expect(await outcomeOf(async () => parseCrl(await make(entries, extensions)))).toBe('EVIDENCE_UNSUPPORTED')
  })

  it('without a time of the next one is refused', async () => {
    expect(await outcomeOf(async () => parseCrl(await make([], [crlNumber], false)))).toBe('CERTIFICATE_MALFORMED')
  })

  it('keeps the earliest time where a serial is listed twice', async () => {
    const later = new Date('2026-06-01T00:00:00Z')
    const der = await make([
      { serialNumber: '1234', revocationDate: later },
      { serialNumber: '1235', revocationDate: thisUpdate },
      { serialNumber: '1236', revocationDate: later },
    ])
    der[toHex(der).indexOf('02021235') / 2 + 3] = 0x34
    expect([...parseCrl(der).revoked]).toEqual([
      ['1234', thisUpdate.getTime()],
      ['1236', later.getTime()],
    ])
  })

  it('rejects trailing bytes, truncations and more than 1 MiB', async () => {
    const der = await make([{ serialNumber: '07', revocationDate: thisUpdate }])
    expect(await outcomeOf(() => parseCrl(concat(der, Uint8Array.of(0))))).toBe('DER_MALFORMED')
    for (let size = 0; size < der.length; size++) expect(await outcomeOf(() => parseCrl(der.subarray(0, size)))).toBe('DER_MALFORMED')
    expect(await outcomeOf(() => parseCrl(new Uint8Array(1024 * 1024 + 1)))).toBe('CERTIFICATE_MALFORMED')
  })

  it('fails only with an AttestError, whatever byte of it is changed', async () => {
    const der = await make([{ serialNumber: '07', revocationDate: thisUpdate }], [crlNumber])
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        try {
          const copy = der.map((b, i) => (i === at ? b ^ mask : b))
          expect(toHex(parseCrl(copy).raw)).toBe(toHex(copy))
        } catch (error) {
          expect(error).toBeInstanceOf(AttestError)
        }
      }),
      { numRuns: 1000 },
    )
  })
})
