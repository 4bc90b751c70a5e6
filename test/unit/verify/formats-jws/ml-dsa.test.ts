import { describe, expect, it } from 'vitest'
import { countersignGeneralJws, issueFlattenedJws, issueGeneralJws } from '../../../../src/seal/jws.ts'
import { fromBase64Url, fromUtf8, toBase64Url, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { thumbprint } from '../../../../src/verify/documents/keys.ts'
import { encodeCanonical, type Json } from '../../../../src/verify/formats/canonical-json.ts'
import { verifyFlattenedJws, verifyGeneralJws } from '../../../../src/verify/formats/jws.ts'
import { testBytes, testKey, testMlDsaKey } from '../../../support/keys.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const TYP = 'sealgate-test-v1+jws'
const payload = utf8('{"a":1}')
const [alice, bob, mlDsa, stranger] = [testKey('alice'), testKey('bob'), await testMlDsaKey('bob'), await testMlDsaKey('stranger')]
const bytes = await issueGeneralJws(payload, TYP, [alice.jwk, bob.jwk], mlDsa)

interface Parts {
  protected: string
  signature: string
}
interface General {
  payload: string
  signatures: Parts[]
}
const general = (): General => JSON.parse(fromUtf8(bytes)) as General
const [first, second, third] = general().signatures as [Parts, Parts, Parts]
const write = (value: unknown): Uint8Array => encodeCanonical(value as Json)
const verify = (jws: Uint8Array): Promise<string> => outcomeOf(() => verifyGeneralJws(jws, TYP, 'document'))
const withSignatures = (...signatures: readonly Parts[]): Uint8Array => write({ ...general(), signatures })
const header = (): Record<string, Json> => JSON.parse(fromUtf8(fromBase64Url(third.protected))) as Record<string, Json>

/** Any protected header, signed right by the ML-DSA key. */
async function forge(head: Json, signer = mlDsa): Promise<Parts> {
  const encoded = toBase64Url(encodeCanonical(head))
  return { protected: encoded, signature: toBase64Url(await signer.sign(utf8(`${encoded}.${general().payload}`))) }
}

describe('a general JWS with an ML-DSA-65 signature', () => {
  it('is verified, and says who signed by what', async () => {
    const verified = await verifyGeneralJws(bytes, TYP, 'document')
    expect(verified.payload).toEqual(payload)
    expect(verified.signers.map((s) => s.key.x)).toEqual([alice.jwk.x, bob.jwk.x])
    expect(verified.mlDsa).toEqual({ key: mlDsa.key, thumbprint: await thumbprint(mlDsa.key) })
    expect(await verify(withSignatures(first, second, await forge(header())))).toBe('accepted')
  })

  it('is the same when the second and the third signature are added later', async () => {
    expect(await countersignGeneralJws(await issueGeneralJws(payload, TYP, [alice.jwk]), TYP, bob.jwk, mlDsa)).toEqual(bytes)
  })

  it('may have it behind a single Ed25519 signature', async () => {
    const { signers, mlDsa: extra } = await verifyGeneralJws(withSignatures(second, third), TYP, 'document')
    expect([signers.length, extra?.key]).toEqual([1, mlDsa.key])
  })

  it('has none when it is stripped, which only a reader who expects it can notice', async () => {
    expect((await verifyGeneralJws(withSignatures(first, second), TYP, 'document')).mlDsa).toBe(null)
  })
})

describe('an ML-DSA-65 signature is rejected', () => {
  it('in any place but the last', async () => {
    for (const order of [
      [third, first, second],
      [first, third, second],
    ]) {
      expect(await verify(withSignatures(...order))).toBe('DOCUMENT_INVALID')
    }
  })

  it('alone, twice, and beside one of another ML-DSA key', async () => {
    const other = await forge({ ...header(), jwk: { ...stranger.key } }, stranger)
    expect(await verify(withSignatures(third))).toBe('JWS_MALFORMED')
    for (const list of [
      [third, third],
      [first, second, third, third],
      [first, second, other, third],
    ])
      expect(await verify(withSignatures(...list))).toBe('DOCUMENT_INVALID')
  })

  it('over another payload, by another key, and under the header of another', async () => {
    const elsewhere = (JSON.parse(fromUtf8(await issueGeneralJws(utf8('{"a":2}'), TYP, [alice.jwk], mlDsa))) as General).signatures
    expect(await verify(withSignatures(first, second, elsewhere[1] as Parts))).toBe('SIGNATURE_INVALID')
    expect(await verify(withSignatures(first, second, await forge(header(), stranger)))).toBe('SIGNATURE_INVALID')
    const renamed = toBase64Url(encodeCanonical({ ...header(), jwk: { ...stranger.key } }))
    expect(await verify(withSignatures(first, second, { ...third, protected: renamed }))).toBe('SIGNATURE_INVALID')
  })

  it.each<[string, () => Json, string]>([
    ['another parameter set', () => ({ ...header(), alg: 'ML-DSA-44' }), 'DOCUMENT_INVALID'],
    ['the algorithm of its key changed', () => ({ ...header(), jwk: { ...mlDsa.key, alg: 'ML-DSA-87' } }), 'DOCUMENT_INVALID'],
    ['the name Ed25519 on an ML-DSA key', () => ({ ...header(), alg: 'Ed25519' }), 'DOCUMENT_INVALID'],
    ['no algorithm', () => ({ ...header(), alg: 'none' }), 'DOCUMENT_INVALID'],
    ['an Ed25519 key', () => ({ ...header(), jwk: { crv: 'Ed25519', kty: 'OKP', x: bob.jwk.x } }), 'DOCUMENT_INVALID'],
    ['its seed in the key', () => ({ ...header(), jwk: { ...mlDsa.jwk } }), 'DOCUMENT_INVALID'],
    ['a key id beside the key', () => ({ ...header(), kid: 'bob' }), 'DOCUMENT_INVALID'],
    ['a critical extension', () => ({ ...header(), crit: ['b64'], b64: false }), 'DOCUMENT_INVALID'],
    ['a key of 1951 bytes', () => ({ ...header(), jwk: { ...mlDsa.key, pub: toBase64Url(testBytes('k', 1951)) } }), 'DOCUMENT_INVALID'],
    ['a key of 1312 bytes', () => ({ ...header(), jwk: { ...mlDsa.key, pub: toBase64Url(testBytes('k', 1312)) } }), 'DOCUMENT_INVALID'],
    ['another type of document', () => ({ ...header(), typ: 'sealgate-other-v1+jws' }), 'JWS_MALFORMED'],
  ])('with %s in its header, though its signature is right', async (_, head, code) => {
    expect(await verify(withSignatures(first, second, await forge(head())))).toBe(code)
  })

  it('of any size but 3309 bytes', async () => {
    const signature = fromBase64Url(third.signature)
    for (const bad of [signature.subarray(1), Uint8Array.from([...signature, 0]), signature.subarray(0, 2420), new Uint8Array(4627)]) {
      expect(await verify(withSignatures(first, second, { ...third, signature: toBase64Url(bad) }))).toBe('SIGNATURE_INVALID')
    }
  })

  it('that is an Ed25519 signature under its name, and the other way around', async () => {
    const ed = toBase64Url(bob.sign(utf8(`${third.protected}.${general().payload}`)))
    expect(await verify(withSignatures(first, second, { ...third, signature: ed }))).toBe('SIGNATURE_INVALID')
    const asEd25519 = toBase64Url(encodeCanonical({ alg: 'Ed25519', jwk: { crv: 'Ed25519', kty: 'OKP', x: testKey('c').jwk.x }, typ: TYP }))
    const signature = toBase64Url(await mlDsa.sign(utf8(`${asEd25519}.${general().payload}`)))
    expect(await verify(withSignatures(first, second, { protected: asEd25519, signature }))).toBe('SIGNATURE_INVALID')
  })

  it('in Flattened JSON Serialization: everything but receipts is signed by Ed25519 alone', async () => {
    const { payload: body } = JSON.parse(fromUtf8(await issueFlattenedJws(payload, TYP, alice.jwk))) as General
    const forged = write({ payload: body, ...third })
    expect(await outcomeOf(() => verifyFlattenedJws(forged, TYP, 'document'))).toBe('DOCUMENT_INVALID')
  })

  it('with a second spelling of its base64', async () => {
    // 3309 bytes have no bits to spare in base64url, so that only a padding or a longer text could be another spelling.
    for (const twin of [`${third.signature}=`, `${third.signature}A`]) {
      expect(await verify(withSignatures(first, second, { ...third, signature: twin }))).not.toBe('accepted')
    }
  })

  it('with any byte changed: header, key and signature, sampled', async () => {
    const start = fromUtf8(bytes).indexOf(third.protected)
    for (let i = start - 20; i < bytes.length; i += 41) {
      const changed = bytes.map((b, j) => (j === i ? b ^ 1 : b))
      expect(await verify(changed), `byte ${i}`).not.toBe('accepted')
    }
  })
})
