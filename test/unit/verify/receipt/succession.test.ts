import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { issueGeneralJws, publicOf } from '../../../../src/seal/jws.ts'
import type { MlDsaSigner } from '../../../../src/seal/ml-dsa.ts'
import { encodeSuccession, parseSuccession, SUCCESSION_TYP, type Succession } from '../../../../src/verify/documents/succession.ts'
import { encodeTrustFile, parseTrustFile, type RetiredKey, type TrustFile } from '../../../../src/verify/documents/trust.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { mergeRetired, retire, succeed, verifySuccession } from '../../../../src/verify/receipt/index.ts'
import { gateway, gatewayMlDsa, owner, ownerThumbprint } from '../../../support/job-documents.ts'
import { type TestKey, testKey, testMlDsaKey } from '../../../support/keys.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { mlDsaTrust, sampleTrust } from '../../../support/receipt-builder.ts'

const next = testKey('next gateway')
const thief = testKey('thief')
const nextMlDsa = await testMlDsaKey('next gateway')
const AT = '2026-06-01T00:00:00Z'
const OLD = gateway.jwk.x

const statement = (changes: Partial<Succession> = {}): Succession => ({
  v: 1,
  from: publicOf(gateway.jwk),
  to: publicOf(next.jwk),
  mlDsa: nextMlDsa.key,
  retired: AT,
  ...changes,
})

function issue(
  value: Succession = statement(),
  signers: readonly TestKey[] = [gateway, next],
  mlDsa: MlDsaSigner | null = gatewayMlDsa,
  typ: string = SUCCESSION_TYP,
): Promise<Uint8Array> {
  return issueGeneralJws(
    encodeSuccession(value),
    typ,
    signers.map((s) => s.jwk),
    mlDsa,
  )
}

const taken = async (trust: TrustFile, bytes: Uint8Array): Promise<TrustFile> => succeed(trust, await verifySuccession(bytes))
const codeOf = (trust: TrustFile, bytes: Promise<Uint8Array>): Promise<string> => outcomeOf(async () => taken(trust, await bytes))
const gone = (compromised: boolean): TrustFile => retire(mlDsaTrust, { kind: 'gateway', key: OLD, at: AT, compromised })

describe('a succession', () => {
  it('brings the new key with its ML-DSA key, and retires the old one, which stays', async () => {
    const trust = await taken(mlDsaTrust, await issue())
    expect(trust.gateways).toEqual([...mlDsaTrust.gateways, { ...publicOf(next.jwk), mlDsa: nextMlDsa.key }])
    expect(trust.retired).toEqual([{ kind: 'gateway', key: OLD, at: AT, compromised: false }])
    expect({ ...trust, gateways: mlDsaTrust.gateways, retired: undefined }).toEqual({ ...mlDsaTrust, retired: undefined })
    expect(parseTrustFile(encodeTrustFile(trust))).toEqual(trust)
  })

  it('taken in twice changes nothing', async () => {
    const once = await taken(mlDsaTrust, await issue())
    expect(await taken(once, await issue())).toEqual(once)
  })

  it('gives a gateway without an ML-DSA key one', async () => {
    const trust = await taken(sampleTrust, await issue(statement(), [gateway, next], null))
    expect(trust.gateways.at(-1)?.mlDsa).toEqual(nextMlDsa.key)
  })

  it.each([
    ['signed by a stranger in the place of the old key', () => issue(statement(), [thief, next]), 'JWS_MALFORMED'],
    ['that the new key did not sign', () => issue(statement(), [gateway]), 'JWS_MALFORMED'],
    ['with its signers exchanged', () => issue(statement(), [next, gateway]), 'JWS_MALFORMED'],
    ['with a third signer', () => issue(statement(), [gateway, next, thief]), 'JWS_MALFORMED'],
    ['of another type of document', () => issue(statement(), [gateway, next], gatewayMlDsa, 'sealgate-receipt-v1+jws'), 'JWS_MALFORMED'],
    ['of a stranger', () => issue(statement({ from: publicOf(thief.jwk) }), [thief, next]), 'SIGNER_UNKNOWN'],
    ['stripped of the ML-DSA signature that the trust file demands', () => issue(statement(), [gateway, next], null), 'SIGNATURE_INVALID'],
    ['with the ML-DSA signature of the new key', () => issue(statement(), [gateway, next], nextMlDsa), 'SIGNATURE_INVALID'],
    ['that names the old ML-DSA key of another gateway', () => forged(), 'SIGNATURE_INVALID'],
  ] as const)('%s is refused', async (_, bytes, code) => {
    expect(await codeOf(mlDsaTrust, bytes())).toBe(code)
  })

  async function forged(): Promise<Uint8Array> {
    const [mine, theirs] = [await issue(), await issue(statement({ to: publicOf(thief.jwk) }), [gateway, thief])]
    const parse = (bytes: Uint8Array): { payload: string; signatures: unknown } => JSON.parse(new TextDecoder().decode(bytes))
    return new TextEncoder().encode(JSON.stringify({ payload: parse(theirs).payload, signatures: parse(mine).signatures }))
  }

  it('of a compromised key is refused, whatever date it says', async () => {
    for (const retired of ['2020-01-01T00:00:00Z', AT, '2999-01-01T00:00:00Z']) {
      expect(await codeOf(gone(true), issue(statement({ retired })))).toBe('KEY_COMPROMISED')
    }
  })

  it('to a second key, by a key that is retired already, is refused', async () => {
    const trust = await taken(mlDsaTrust, await issue())
    expect(await codeOf(trust, issue(statement({ to: publicOf(thief.jwk) }), [gateway, thief]))).toBe('KEY_RETIRED')
    expect(await codeOf(gone(false), issue())).toBe('KEY_RETIRED')
  })

  it('that gives a known key another ML-DSA key is refused', async () => {
    const trust = { ...mlDsaTrust, gateways: [...mlDsaTrust.gateways, publicOf(next.jwk)] }
    expect(await codeOf(trust, issue())).toBe('DOCUMENT_INVALID')
  })

  it('of a key to itself is no succession', () => {
    expect(() => encodeSuccession(statement({ to: publicOf(gateway.jwk) }))).toThrow(AttestError)
  })

  it('is read only as it is written', () => {
    const bytes = encodeSuccession(statement())
    expect(encodeSuccession(parseSuccession(bytes))).toEqual(bytes)
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (index, flip) => {
        const changed = bytes.map((b, i) => (i === index ? b ^ flip : b))
        try {
          expect(encodeSuccession(parseSuccession(changed))).toEqual(changed)
        } catch (error) {
          expect(error).toBeInstanceOf(AttestError)
        }
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 512 }), (any) => {
        expect(() => parseSuccession(any)).toThrow(AttestError)
      }),
    )
  })
})

describe('a date', () => {
  const entry = (at: string, compromised = false): RetiredKey => ({ kind: 'owner', key: ownerThumbprint, at, compromised })
  const [early, late] = ['2026-01-01T00:00:00Z', '2026-07-01T00:00:00Z']

  it('only moves back, and a compromise stays one, in any order', () => {
    for (const list of [
      [entry(early, true), entry(late)],
      [entry(late), entry(early, true)],
      [entry(late, true), entry(early)],
      [entry(early), entry(late, true)],
    ]) {
      expect(mergeRetired(list)).toEqual([entry(early, true)])
      expect(list.reduce<TrustFile>(retire, sampleTrust).retired).toEqual([entry(early, true)])
    }
  })

  it.each([
    ['of a key that the file does not name', [{ ...entry(late), key: owner.jwk.x }]],
    ['of a key under another kind', [{ ...entry(late), kind: 'gateway' }]],
    ['given twice, one reversing the other', [entry(early), entry(late)]],
    ['that is none', [entry('2026-02-30T00:00:00Z')]],
    ['with an offset', [entry('2026-02-03T00:00:00+01:00')]],
    ['with a member that nobody knows', [{ ...entry(late), from: early }]],
    ['list that is empty', []],
  ])('%s is refused', (_, retired) => {
    const bytes = new TextEncoder().encode(
      new TextDecoder()
        .decode(encodeTrustFile(sampleTrust))
        .replace('"simulatedRoots"', `"retired":${JSON.stringify(retired, ['at', 'compromised', 'from', 'key', 'kind'])},"simulatedRoots"`),
    )
    expect(() => parseTrustFile(bytes)).toThrow(expect.objectContaining({ code: 'DOCUMENT_INVALID' }))
  })

  it('of a key that is not there cannot be set', () => {
    expect(() => retire(sampleTrust, { ...entry(late), key: owner.jwk.x })).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }))
  })
})
