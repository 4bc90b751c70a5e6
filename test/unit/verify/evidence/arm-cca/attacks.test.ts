import { describe, expect, it } from 'vitest'
import { concat, toHex } from '../../../../../src/verify/bytes/bytes.ts'
import type { CcaRequirements } from '../../../../../src/verify/evidence/arm-cca/appraise.ts'
import { createVerifyCache } from '../../../../../src/verify/evidence/cache.ts'
import { exitCodeOf } from '../../../../../src/verify/verdict.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../../../src/verify/verify-evidence.ts'
import {
  type CcaWorld,
  CHALLENGE,
  ccaToken,
  firmware,
  IMPLEMENTATION_ID,
  INSTANCE_ID,
  PERSONALIZATION,
  psaToken,
  RIM,
  rem,
} from '../../../../support/arm-cca.ts'
import { cbor } from '../../../../support/cbor-writer.ts'
import { coseKey, ecKey, sign1 } from '../../../../support/cose.ts'
import { TestAk } from '../../../../support/tpm-maker.ts'

const AT = new Date('2026-06-15T12:00:00Z')
const CPAK = ecKey('P-384')
const RAK = ecKey('P-384')

interface Asked {
  readonly nonce?: Uint8Array
  readonly measurement?: Uint8Array
  readonly armCca?: CcaRequirements
  readonly trustAnchors?: readonly Uint8Array[]
}

const cache = createVerifyCache()

function look(token: Uint8Array, asked: Asked = {}): Promise<EvidenceVerdict> {
  return verifyEvidence(token, { collateral: [], trustAnchors: [CPAK.pem], at: AT, allowUnknown: [], cache, ...asked })
}

function troubles(verdict: EvidenceVerdict): readonly string[] {
  return verdict.checks.filter((c) => c.outcome !== 'pass').map((c) => `${c.rule}=${c.outcome}`)
}

/** The rules that object; of a token that cannot be read, its error code. */
async function attack(world: CcaWorld, asked: Asked = {}): Promise<readonly string[]> {
  const verdict = await look(ccaToken({ cpak: CPAK, rak: RAK, ...world }).token, asked)
  if (verdict.decision === 'reject' && verdict.parsed === null) return [verdict.error?.code ?? '']
  return troubles(verdict)
}

describe('a realm', () => {
  it.each<[string, CcaWorld]>([
    ['with profiles', {}],
    ['of the first tokens, without a realm profile', { legacy: true }],
    ['whose platform signs with ES256', { cpak: ecKey('P-256') }],
    ['whose key is on P-256', { rak: ecKey('P-256') }],
  ])('%s is accepted', async (_, world) => {
    const { token, cpak } = ccaToken({ cpak: CPAK, ...world })
    const verdict = await look(token, { trustAnchors: [cpak.pem], nonce: CHALLENGE, measurement: RIM })
    expect(troubles(verdict)).toEqual([])
    expect(verdict).toMatchObject({
      decision: 'accept',
      format: 'arm-cca',
      claims: {
        tee: 'arm-cca',
        measurement: toHex(RIM),
        reportData: toHex(CHALLENGE),
        debug: false,
        simulated: false,
        tcbStatus: 'not-applicable',
      },
    })
  })

  it.each([
    ['PEM', CPAK.pem],
    ['JWK', new TextEncoder().encode(JSON.stringify(CPAK.jwk))],
    ['JWK set', new TextEncoder().encode(JSON.stringify({ keys: [{ kty: 'oct', k: 'AA' }, CPAK.jwk] }))],
    ['COSE_Key', coseKey(CPAK)],
  ])('is accepted under a key given as %s', async (_, anchor) => {
    expect(await attack({}, { trustAnchors: [anchor] })).toEqual([])
  })

  it('is accepted when one of several named keys signed', async () => {
    expect(await attack({}, { trustAnchors: [ecKey('P-256').pem, ecKey('P-384').pem, CPAK.pem] })).toEqual([])
  })

  it('that nobody vouches for is refused', async () => {
    const verdict = await look(ccaToken({ cpak: CPAK }).token, { trustAnchors: [] })
    expect(verdict).toMatchObject({ decision: 'reject', authentic: false })
    expect(troubles(verdict)).toEqual(['chain.endorsement=unknown', 'signature.platform=unknown'])
    expect(exitCodeOf(verdict.checks)).toBe(6)
  })

  it('is not vouched for by a key that was named as a TPM’s: its owner can have it sign a token', async () => {
    const ak = new TestAk('p384')
    const cpak = { ...CPAK, privateKey: ak.privateKey, spki: ak.spki }
    expect(await attack({ cpak }, { trustAnchors: [ak.publicArea()] })).toEqual(['chain.endorsement=unknown', 'signature.platform=unknown'])
    expect(await attack({ cpak }, { trustAnchors: [ak.spki] })).toEqual([])
  })

  it('is not vouched for by collateral', async () => {
    const options = { trustAnchors: [], at: AT, allowUnknown: [] }
    const verdict = await verifyEvidence(ccaToken({ cpak: CPAK }).token, { ...options, collateral: [CPAK.pem, coseKey(CPAK)] })
    expect(verdict.decision).toBe('reject')
  })
})

describe('a token', () => {
  const other = ccaToken({ cpak: CPAK })
  const partOf = (token: Uint8Array, key: number): Uint8Array => {
    // The map's first value follows 3 bytes of tag, the map's head, 3 of key and 3 of length.
    const first = ((token[8] ?? 0) << 8) | (token[9] ?? 0)
    return key === 44234 ? token.slice(10, 10 + first) : token.slice(10 + first + 6)
  }
  it.each<[string, CcaWorld, readonly string[]]>([
    ['with the platform of another realm', { parts: (p) => p.set(44234, partOf(other.token, 44234)) }, ['chain.realm-key=fail']],
    ['with the realm of another platform', { parts: (p) => p.set(44241, partOf(other.token, 44241)) }, ['chain.realm-key=fail']],
    [
      'with its parts exchanged',
      {
        parts: (p) =>
          new Map([
            [44234, p.get(44241) ?? null],
            [44241, p.get(44234) ?? null],
          ]),
      },
      ['EVIDENCE_UNSUPPORTED'],
    ],
    ['whose challenge is no hash of the key', { platform: { 10: new Uint8Array(32) } }, ['chain.realm-key=fail']],
    ['whose hash algorithm is not the one that was used', { realm: { 44240: 'sha-512' } }, ['chain.realm-key=fail']],
    ['with a hash algorithm that does not exist', { realm: { 44240: 'md5' } }, ['EVIDENCE_UNSUPPORTED']],
    ['with a hash algorithm of JavaScript', { realm: { 44240: 'constructor' } }, ['EVIDENCE_UNSUPPORTED']],
    ['signed for another platform', { platformCose: { signed: new Uint8Array(4) } }, ['signature.platform=fail']],
    ['signed for another realm', { realmCose: { signed: new Uint8Array(4) } }, ['signature.realm=fail']],
    [
      'that names ES256 with a key on P-384',
      { platformCose: { protectedBytes: cbor(new Map([[1, -7]])), signature: new Uint8Array(64) } },
      ['signature.platform=fail'],
    ],
    [
      'whose realm names ES256 with a key on P-384',
      { realmCose: { protectedBytes: cbor(new Map([[1, -7]])), signature: new Uint8Array(64) } },
      ['signature.realm=fail'],
    ],
    ['in debug mode', { platform: { 2395: 0x4000 } }, ['debug.lifecycle=fail']],
    ['of a platform in provisioning', { platform: { 2395: 0x2fff } }, ['debug.lifecycle=fail']],
    ['of a decommissioned platform', { platform: { 2395: 0x6000 } }, ['debug.lifecycle=fail']],
    ['with a lifecycle between the states', { platform: { 2395: 0x3100 } }, ['debug.lifecycle=fail']],
    ['with tag 907', { tag: Uint8Array.of(0xd9, 0x03, 0x8b) }, ['EVIDENCE_UNRECOGNIZED']],
    ['with a third part', { parts: (p) => p.set(44242, new Uint8Array(4)) }, ['DOCUMENT_INVALID']],
    ['without a realm', { parts: (p) => new Map([...p].slice(0, 1)) }, ['DOCUMENT_INVALID']],
    ['with a part that has no tag', { platformCose: { tag: null } }, ['DOCUMENT_INVALID']],
    ['of another platform profile', { platform: { 265: 'tag:arm.com,2023:cca_platform#2.0.0' } }, ['EVIDENCE_UNSUPPORTED']],
    ['of another realm profile', { realm: { 265: 'tag:arm.com,2023:realm#2.0.0' } }, ['EVIDENCE_UNSUPPORTED']],
    ['with a bare key where a COSE_Key is due', { realm: { 44237: concat(Uint8Array.of(4), RAK.point) } }, ['EVIDENCE_TRAILING']],
    ['with a compressed key', { legacy: true, realm: { 44237: concat(Uint8Array.of(2), RAK.point) } }, ['DOCUMENT_INVALID']],
    [
      'with a key that is no point of its curve',
      { legacy: true, realm: { 44237: concat(Uint8Array.of(4), new Uint8Array(96).fill(1)) } },
      ['signature.realm=fail', 'chain.realm-key=fail'],
    ],
    ['with a challenge of 32 bytes', { realm: { 10: new Uint8Array(32) } }, ['DOCUMENT_INVALID']],
    ['without a challenge', { realm: { 10: undefined } }, ['DOCUMENT_INVALID']],
    ['with three extensible measurements', { realm: { 44239: [rem(0), rem(1), rem(2)] } }, ['DOCUMENT_INVALID']],
    ['with a measurement of 33 bytes', { realm: { 44238: new Uint8Array(33) } }, ['DOCUMENT_INVALID']],
    ['with an instance ID of another type', { platform: { 256: new Uint8Array(33) } }, ['DOCUMENT_INVALID']],
    ['without firmware', { platform: { 2399: [] } }, ['DOCUMENT_INVALID']],
    ['without a lifecycle', { platform: { 2395: undefined } }, ['DOCUMENT_INVALID']],
  ])('%s is refused', async (_, world, rules) => {
    expect(await attack(world)).toEqual(rules)
  })

  it('with tag 907 is refused by name too', async () => {
    const { token } = ccaToken({ tag: Uint8Array.of(0xd9, 0x03, 0x8b) })
    const verdict = await verifyEvidence(token, { format: 'arm-cca', collateral: [], trustAnchors: [CPAK.pem], at: AT, allowUnknown: [] })
    expect(verdict).toMatchObject({ decision: 'reject', error: { code: 'EVIDENCE_UNSUPPORTED' } })
  })

  it('with claims that are not known is accepted, and they are named', async () => {
    const verdict = await look(ccaToken({ cpak: CPAK, realm: { 99: 1 }, platform: { 2500: 'x' } }).token)
    expect(verdict).toMatchObject({
      decision: 'accept',
      notChecked: ['nonce', 'measurement', 'revocation', 'platform claim 2500', 'realm claim 99'],
    })
  })

  it('under another key than the one named is refused', async () => {
    expect(await attack({}, { trustAnchors: [ecKey('P-384').pem] })).toEqual(['signature.platform=fail'])
    expect(await attack({}, { trustAnchors: [RAK.pem] })).toEqual(['signature.platform=fail'])
  })

  it('with a byte after it, or cut off anywhere, is refused', async () => {
    const { token } = ccaToken({ cpak: CPAK })
    expect(await look(concat(token, Uint8Array.of(0)))).toMatchObject({ decision: 'reject', error: { code: 'EVIDENCE_TRAILING' } })
    for (let size = 1; size < token.length; size++)
      expect(await look(token.slice(0, size))).toMatchObject({ decision: 'reject', authentic: false, parsed: null })
  })

  it('with any bit changed is refused', async () => {
    const { token } = ccaToken({ cpak: CPAK })
    for (let bit = 0; bit < 8 * token.length; bit += 37) {
      const changed = token.slice()
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect((await look(changed)).decision).toBe('reject')
    }
  })
})

describe('what is asked of a token', () => {
  const both = [firmware(1), firmware(0)]
  it.each<[string, Asked, readonly string[]]>([
    ['a challenge that is shorter', { nonce: CHALLENGE.slice(0, 32) }, ['freshness.nonce=fail']],
    ['a challenge that is longer', { nonce: new Uint8Array(65) }, ['freshness.nonce=fail']],
    ['another measurement', { measurement: rem(0) }, ['reference-values.measurement=fail']],
    ['its platform', { armCca: { implementationId: IMPLEMENTATION_ID, instanceId: INSTANCE_ID } }, []],
    ['another implementation', { armCca: { implementationId: RIM } }, ['policy.implementation-id=fail']],
    ['another instance', { armCca: { instanceId: RIM } }, ['policy.instance-id=fail']],
    ['its firmware, in any order', { armCca: { softwareComponents: both } }, []],
    ['less firmware', { armCca: { softwareComponents: [firmware(0)] } }, ['reference-values.software-components=fail']],
    ['more firmware', { armCca: { softwareComponents: [...both, firmware(2)] } }, ['reference-values.software-components=fail']],
    [
      'firmware of another signer',
      { armCca: { softwareComponents: [firmware(0), { ...firmware(1), signerId: RIM }] } },
      ['reference-values.software-components=fail'],
    ],
    ['its personalization', { armCca: { personalizationValue: PERSONALIZATION } }, []],
    ['another personalization', { armCca: { personalizationValue: CHALLENGE } }, ['policy.personalization-value=fail']],
    ['some of its extensible measurements', { armCca: { extensibleMeasurements: [rem(0), null, null, rem(3)] } }, []],
    [
      'another extensible measurement',
      { armCca: { extensibleMeasurements: [null, rem(0), null, null] } },
      ['reference-values.extensible-measurements=fail'],
    ],
    [
      'too few extensible measurements',
      { armCca: { extensibleMeasurements: [rem(0)] } },
      ['reference-values.extensible-measurements=fail'],
    ],
  ])('%s', async (_, asked, rules) => {
    expect(await attack({}, asked)).toEqual(rules)
  })

  it('a short challenge is zero-padded on the right', async () => {
    const challenge = concat(CHALLENGE.slice(0, 32), new Uint8Array(32))
    expect(await attack({ realm: { 10: challenge } }, { nonce: CHALLENGE.slice(0, 32) })).toEqual([])
  })
})

describe('a PSA token', () => {
  const iak = ecKey('P-256')
  const trusted = { trustAnchors: [iak.pem] }

  it('is accepted, as what it is', async () => {
    const verdict = await look(psaToken(iak), { ...trusted, nonce: CHALLENGE })
    expect(troubles(verdict)).toEqual([])
    expect(verdict).toMatchObject({ decision: 'accept', claims: { tee: 'arm-psa', measurement: null, clientId: -1, debug: false } })
  })

  it('is no realm: what asks for one is refused', async () => {
    const armCca = { personalizationValue: PERSONALIZATION }
    expect(troubles(await look(psaToken(iak), { ...trusted, measurement: RIM, armCca }))).toEqual([
      'reference-values.measurement=fail',
      'policy.realm=fail',
    ])
  })

  it.each<[string, Parameters<typeof psaToken>[1], readonly string[]]>([
    ['in debug mode', { 2395: 0x4001 }, ['debug.lifecycle=fail']],
    ['of an unknown profile', { 265: 'tag:psacertified.org,2023:psa#other' }, ['EVIDENCE_UNSUPPORTED']],
    ['with the profile of another label', { 265: 'PSA_IOT_PROFILE_1' }, ['EVIDENCE_UNSUPPORTED']],
    ['without firmware', { 2399: undefined }, ['DOCUMENT_INVALID']],
    ['with a short boot seed', { 2397: new Uint8Array(7) }, ['DOCUMENT_INVALID']],
  ])('%s is refused', async (_, change, rules) => {
    const verdict = await look(psaToken(iak, change), trusted)
    expect(verdict.parsed === null && verdict.decision === 'reject' ? [verdict.error?.code] : troubles(verdict)).toEqual(rules)
  })

  it('signed by somebody else is refused', async () => {
    expect(troubles(await look(psaToken(ecKey('P-256')), trusted))).toEqual(['signature.psa=fail'])
  })

  it('cannot stand in a CCA token for the platform', async () => {
    const psa = sign1(cbor(new Map([[265, 'tag:psacertified.org,2023:psa#tfm']])), CPAK)
    expect(await attack({ parts: (p) => p.set(44234, psa) })).toEqual(['EVIDENCE_UNSUPPORTED'])
  })
})
