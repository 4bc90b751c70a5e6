import { describe, expect, it } from 'vitest'
import { concat, toHex, utf8 } from '../../../../../src/verify/bytes/bytes.ts'
import type { VerifyOptions } from '../../../../../src/verify/evidence/types.ts'
import { exitCodeOf } from '../../../../../src/verify/verdict.ts'
import {
  AK_ATTRIBUTES,
  ALL_SHA256,
  type AttestFields,
  attest,
  be16,
  NONCE,
  pcrDigest,
  pcrsJson,
  pcrValue,
  sized,
  TestAk,
  troublesOf,
  verifyTpm,
} from '../../../../support/tpm-maker.ts'
import { TpmAuthority } from '../../../../support/tpm-pki.ts'

const ak = new TestAk('p256')

/** A quote with these fields, signed by the key that the caller named. */
async function withFields(fields: AttestFields, more: Partial<VerifyOptions> = {}, pcrs = pcrsJson()): Promise<readonly string[]> {
  const quote = attest(fields)
  return troublesOf(await verifyTpm(quote, [ak.sign(quote), pcrs, ak.publicArea()], { trustAnchors: [ak.publicArea()], ...more }))
}

describe('a TPM quote', () => {
  it.each([
    ['rsassa', 'sha256'],
    ['rsassa', 'sha384'],
    ['rsassa', 'sha512'],
    ['rsapss', 'sha256'],
    ['rsapss', 'sha384'],
    ['rsapss', 'sha512'],
    ['p256', 'sha256'],
    ['p384', 'sha384'],
  ] as const)('by %s with %s is accepted', async (kind, hash) => {
    const key = new TestAk(kind, hash)
    const selections = [{ bank: 'sha256', pcrs: [0, 4, 7] }] as const
    const quote = attest({ selections, pcrDigest: pcrDigest(hash, selections) })
    const verdict = await verifyTpm(quote, [key.sign(quote), pcrsJson(), key.publicArea()], { trustAnchors: [key.spki] })
    expect(troublesOf(verdict)).toEqual([])
    expect(verdict).toMatchObject({
      decision: 'accept',
      claims: { tee: 'tpm', simulated: true, debug: false, tcbStatus: 'not-applicable', reportData: toHex(NONCE) },
    })
  })

  it('is read with a TPM2B size in front, too', async () => {
    const quote = attest()
    expect(troublesOf(await verifyTpm(sized(quote), [ak.sign(quote), pcrsJson(), ak.publicArea()], { trustAnchors: [ak.spki] }))).toEqual(
      [],
    )
  })

  it('covers several banks, in the order of the selections', async () => {
    const selections = [
      { bank: 'sha384', pcrs: [0, 1] },
      { bank: 'sha256', pcrs: [7] },
    ] as const
    const quote = attest({ selections, pcrDigest: pcrDigest('sha256', selections) })
    const collateral = [ak.sign(quote), pcrsJson('sha384'), pcrsJson('sha256'), ak.publicArea()]
    expect(troublesOf(await verifyTpm(quote, collateral, { trustAnchors: [ak.spki] }))).toEqual([])
    const turned = attest({ selections, pcrDigest: pcrDigest('sha256', [...selections].reverse()) })
    const verdict = await verifyTpm(turned, [ak.sign(turned), ...collateral.slice(1)], { trustAnchors: [ak.spki] })
    expect(troublesOf(verdict)).toEqual(['binding.pcr-digest=fail'])
  })
})

describe('attacks on a TPM quote', () => {
  it.each([
    ['a forged structure without the magic', { magic: 0xff544348 }, ['format.well-formed=fail']],
    ['a certification (0x8017) in place of a quote', { type: 0x8017 }, ['format.well-formed=fail']],
    ['a creation (0x801a) in place of a quote', { type: 0x801a }, ['format.well-formed=fail']],
    ['a replay for another nonce', { extraData: NONCE.map((b) => b ^ 1) }, ['freshness.nonce=fail']],
    ['a nonce cut short', { extraData: NONCE.subarray(0, 31) }, ['freshness.nonce=fail']],
    ['a nonce with a zero byte more', { extraData: concat(NONCE, Uint8Array.of(0)) }, ['freshness.nonce=fail']],
    ['a quote without a nonce', { extraData: new Uint8Array(0) }, ['freshness.extra-data=fail', 'freshness.nonce=fail']],
    ['a quote over no PCR', { selections: [{ bank: 'sha256', pcrs: [] }] }, ['policy.pcr-selection=fail']],
    ['a quote over no bank', { selections: [] }, ['policy.pcr-selection=fail']],
    ['a digest over other values', { pcrDigest: pcrDigest('sha256', [{ bank: 'sha256', pcrs: [1] }]) }, ['binding.pcr-digest=fail']],
    ['a digest of the wrong hash', { pcrDigest: pcrDigest('sha384', [{ bank: 'sha256', pcrs: [0] }]) }, ['binding.pcr-digest=fail']],
    ['safe neither YES nor NO', { safe: 2 }, ['format.well-formed=fail']],
  ] as const)('%s', async (_, fields, expected) => {
    expect(await withFields(fields)).toEqual(expected)
  })

  it('a bank that the caller does not want, of SHA-1 or any other', async () => {
    const banks = (list: readonly ('sha1' | 'sha256' | 'sha384')[]): object => ({ tpm: { banks: list } })
    const sha1 = { selections: [{ bank: 'sha1', pcrs: [0, 7] }] } as const
    const fields = { ...sha1, pcrDigest: pcrDigest('sha256', sha1.selections) }
    expect(await withFields(fields, banks(['sha256', 'sha384']), pcrsJson('sha1'))).toEqual(['policy.pcr-bank=fail'])
    expect(await withFields(fields, banks([]), pcrsJson('sha1'))).toEqual(['policy.pcr-bank=fail'])
    expect(await withFields(fields, banks(['sha1']), pcrsJson('sha1'))).toEqual([])
    const both = [{ bank: 'sha1', pcrs: [0] }, ...ALL_SHA256] as const
    expect(await withFields({ selections: both, pcrDigest: pcrDigest('sha256', both) }, banks(['sha256']))).toContain(
      'policy.pcr-bank=fail',
    )
  })

  it('a digest over a bank of SHA-1 with the hash of the bank', async () => {
    const selections = [{ bank: 'sha1', pcrs: [0, 7] }] as const
    expect(await withFields({ selections, pcrDigest: pcrDigest('sha1', selections) }, {}, pcrsJson('sha1'))).toEqual([
      'binding.pcr-digest=fail',
    ])
  })

  it('a signature with SHA-1', async () => {
    const key = new TestAk('rsassa', 'sha1')
    const quote = attest({ pcrDigest: pcrDigest('sha1', [{ bank: 'sha256', pcrs: [0] }]) })
    const verdict = await verifyTpm(quote, [key.sign(quote), pcrsJson(), key.publicArea()], { trustAnchors: [key.spki] })
    expect(troublesOf(verdict)).toEqual(['signature.tpm-quote=fail', 'chain.ak=unknown', 'binding.pcr-digest=fail'])
    expect(exitCodeOf(verdict.checks)).toBe(4)
  })

  it('a key that signs anything', async () => {
    const quote = attest()
    for (const bit of [1, 4, 5, 16, 18]) {
      const publicArea = ak.publicArea(AK_ATTRIBUTES & ~(1 << bit))
      const verdict = await verifyTpm(quote, [ak.sign(quote), pcrsJson(), publicArea], { trustAnchors: [ak.spki] })
      expect([bit, troublesOf(verdict)]).toEqual([bit, ['chain.ak-attributes=fail']])
    }
    const decrypts = await verifyTpm(quote, [ak.sign(quote), pcrsJson(), ak.publicArea(AK_ATTRIBUTES | (1 << 17))], {
      trustAnchors: [ak.spki],
    })
    expect(troublesOf(decrypts)).toEqual(['chain.ak-attributes=fail'])
    expect(decrypts.authentic).toBe(false)
  })

  it('a key that nobody vouches for', async () => {
    const stranger = new TestAk('p256')
    const quote = attest()
    const verdict = await verifyTpm(quote, [stranger.sign(quote), pcrsJson(), stranger.publicArea()], { trustAnchors: [ak.spki] })
    expect(troublesOf(verdict)).toEqual(['chain.ak=unknown'])
    expect(exitCodeOf(verdict.checks)).toBe(6)
    const allowed = await verifyTpm(quote, [stranger.sign(quote), stranger.publicArea()], { allowUnknown: ['chain', 'signature'] })
    expect(allowed.decision).toBe('reject')
  })

  it('the signature of another key', async () => {
    const quote = attest()
    const verdict = await verifyTpm(quote, [new TestAk('p256').sign(quote), pcrsJson(), ak.publicArea()], { trustAnchors: [ak.spki] })
    expect(troublesOf(verdict)).toEqual(['signature.tpm-quote=fail', 'chain.ak=unknown'])
  })

  it('a scheme that is not the key’s own', async () => {
    const key = new TestAk('rsassa')
    const quote = attest()
    const pss = new TestAk('rsapss')
    Object.assign(pss, { privateKey: key.privateKey, publicKey: key.publicKey })
    const collateral = [pss.sign(quote), pcrsJson()]
    expect(troublesOf(await verifyTpm(quote, [...collateral, key.publicArea()], { trustAnchors: [key.spki] }))).toContain(
      'signature.tpm-quote=fail',
    )
    const free = key.publicArea(AK_ATTRIBUTES, 'any')
    expect(troublesOf(await verifyTpm(quote, [...collateral, free], { trustAnchors: [key.spki] }))).toEqual([])
  })

  it('a quote without signature, without key, with a damaged companion', async () => {
    const quote = attest()
    expect(troublesOf(await verifyTpm(quote, [pcrsJson(), ak.publicArea()], { trustAnchors: [ak.spki] }))).toContain(
      'signature.tpm-quote=unknown',
    )
    expect(troublesOf(await verifyTpm(quote, [ak.sign(quote), pcrsJson()], {}))).toContain('signature.tpm-quote=unknown')
    const cut = await verifyTpm(quote, [ak.sign(quote).subarray(0, 60), pcrsJson(), ak.publicArea()], { trustAnchors: [ak.spki] })
    expect(cut).toMatchObject({ decision: 'reject', error: { code: 'EVIDENCE_TRUNCATED', at: expect.stringContaining('tpm.signature') } })
  })

  it('more keys and signatures than anybody needs', async () => {
    const quote = attest()
    const keys = Array.from({ length: 9 }, () => new TestAk('p256').publicArea())
    expect(await verifyTpm(quote, keys)).toMatchObject({ decision: 'reject', error: { code: 'LIMIT_EXCEEDED' } })
  })

  it('more certificates of attestation keys than anybody needs', async () => {
    const quote = attest()
    const authority = await TpmAuthority.create()
    const certificates = await Promise.all(Array.from({ length: 33 }, () => authority.certify(new TestAk('p256'))))
    expect(await verifyTpm(quote, certificates)).toMatchObject({ decision: 'reject', error: { code: 'LIMIT_EXCEEDED' } })
  })

  it('PCR values that nobody quoted, too few of them to be held against the digest', async () => {
    const wanted = pcrValue('sha256', 9)
    const forged = utf8(JSON.stringify({ 0: toHex(wanted) }))
    const allowUnknown = ['binding'] as const
    expect(await withFields({}, { tpm: { pcrs: { 0: wanted } }, allowUnknown }, forged)).toEqual(['reference-values.pcr0=fail'])
    const quote = attest()
    const evidence = [ak.sign(quote), forged, ak.publicArea()]
    const verdict = await verifyTpm(quote, evidence, { trustAnchors: [ak.publicArea()], allowUnknown })
    expect(verdict).toMatchObject({
      decision: 'accept',
      parsed: { pcrs: { sha256: { 0: toHex(wanted) } } },
      claims: { pcrs: null },
    })
  })

  it('a trust anchor that is no key', async () => {
    const quote = attest()
    const verdict = await verifyTpm(quote, [ak.sign(quote)], { trustAnchors: [ak.sign(attest())] })
    expect(verdict).toMatchObject({ decision: 'reject', error: { code: 'CERTIFICATE_MALFORMED', at: 'trust anchor' } })
  })
})

describe('what a caller may ask of a quote', () => {
  it('reference values of PCRs that are quoted', async () => {
    const good = { tpm: { pcrs: { 0: pcrValue('sha256', 0), 7: pcrValue('sha256', 7) } } }
    expect(await withFields({}, good)).toEqual([])
    expect(await withFields({}, { tpm: { pcrs: { 0: pcrValue('sha256', 1) } } })).toEqual(['reference-values.pcr0=fail'])
    expect(await withFields({}, { tpm: { pcrs: { 0: pcrValue('sha384', 0) } } })).toEqual(['reference-values.pcr0=fail'])
    const selections = [{ bank: 'sha256', pcrs: [0] }] as const
    expect(await withFields({ selections }, good)).toEqual(['reference-values.pcr7=fail'])
    expect(await withFields({}, good, utf8('nothing'))).toEqual([
      'binding.pcr-digest=unknown',
      'reference-values.pcr0=fail',
      'reference-values.pcr7=fail',
    ])
  })

  it('the PCR digest, the boot, a safe clock', async () => {
    const all = pcrDigest('sha256', [{ bank: 'sha256', pcrs: Array.from({ length: 24 }, (_, i) => i) }])
    expect(await withFields({}, { measurement: all })).toEqual([])
    expect(await withFields({}, { measurement: all.subarray(0, 31) })).toEqual(['reference-values.measurement=fail'])
    const boot = { tpm: { boot: { resetCount: 7, restartCount: 1 }, safeClock: true } } as const
    expect(await withFields({}, boot)).toEqual([])
    expect(await withFields({ resetCount: 8 }, boot)).toEqual(['policy.boot=fail'])
    expect(await withFields({ restartCount: 0 }, boot)).toEqual(['policy.boot=fail'])
    expect(await withFields({ safe: 0 }, boot)).toEqual(['policy.safe-clock=fail'])
    expect(await withFields({ safe: 0 })).toEqual([])
  })

  it('stands in notChecked when it was not asked', async () => {
    const quote = attest()
    const { nonce: _, ...rest } = { nonce: NONCE, collateral: [ak.sign(quote), ak.spki], trustAnchors: [ak.spki] }
    const verdict = await verifyTpm(quote, rest.collateral, { trustAnchors: rest.trustAnchors })
    expect(verdict.notChecked).toEqual(['measurement', 'ak-attributes', 'pcr-values', 'event-log'])
  })

  it('says so where the bank is one of SHA-1 and nobody named banks', async () => {
    const selections = [{ bank: 'sha1', pcrs: [0] }] as const
    const quote = attest({ selections, pcrDigest: pcrDigest('sha256', selections) })
    const look = async (tpm: VerifyOptions['tpm'] = {}): Promise<readonly string[]> =>
      (await verifyTpm(quote, [ak.sign(quote), pcrsJson('sha1'), ak.publicArea()], { trustAnchors: [ak.spki], tpm })).notChecked
    expect(await look()).toContainEqual(expect.stringMatching(/^pcr-bank: sha1/))
    expect(await look({ banks: ['sha1'] })).toEqual(['measurement', 'event-log'])
  })
})

describe('ECDSA signatures', () => {
  it('with leading zeros left out are read as numbers, longer ones are refused', async () => {
    const quote = attest()
    const signature = ak.sign(quote)
    const [r, s] = [signature.subarray(6, 38), signature.subarray(40, 72)]
    const padded = concat(signature.subarray(0, 4), sized(concat(Uint8Array.of(0), r)), sized(s))
    expect(troublesOf(await verifyTpm(quote, [padded, pcrsJson(), ak.publicArea()], { trustAnchors: [ak.spki] }))).toContain(
      'signature.tpm-quote=fail',
    )
    const zero = concat(be16(0x18), be16(11), sized(new Uint8Array(32)), sized(new Uint8Array(32)))
    expect(troublesOf(await verifyTpm(quote, [zero, pcrsJson(), ak.publicArea()], { trustAnchors: [ak.spki] }))).toContain(
      'signature.tpm-quote=fail',
    )
  })
})
