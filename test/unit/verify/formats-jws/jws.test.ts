import { describe, expect, it } from 'vitest'
import { countersignGeneralJws, issueFlattenedJws, issueGeneralJws, publicOf } from '../../../../src/seal/jws.ts'
import { fromBase64Url, fromUtf8, toBase64Url, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { thumbprint } from '../../../../src/verify/documents/keys.ts'
import { encodeCanonical, type Json } from '../../../../src/verify/formats/canonical-json.ts'
import { verifyFlattenedJws, verifyGeneralJws } from '../../../../src/verify/formats/jws.ts'
import { testKey } from '../../../support/keys.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const TYP = 'sealgate-test-v1+jws'
const payload = utf8('{"a":1}')
const [alice, bob] = [testKey('alice'), testKey('bob')]
const flattened = await issueFlattenedJws(payload, TYP, alice.jwk)
const general = await issueGeneralJws(payload, TYP, [alice.jwk, bob.jwk])

interface Parts {
  payload: string
  protected: string
  signature: string
}

const parts = (): Parts => JSON.parse(fromUtf8(flattened)) as Parts
const header = (): Record<string, Json> => JSON.parse(fromUtf8(fromBase64Url(parts().protected))) as Record<string, Json>
const write = (value: unknown): Uint8Array => encodeCanonical(value as Json)
const verify = (bytes: Uint8Array, typ = TYP) => outcomeOf(() => verifyFlattenedJws(bytes, typ, 'document'))

/** Signs any protected header, however wrong, with a signature that is right for it. */
function forge(head: Json | string): Uint8Array {
  const encoded = toBase64Url(typeof head === 'string' ? utf8(head) : encodeCanonical(head))
  const signature = alice.sign(utf8(`${encoded}.${parts().payload}`))
  return write({ payload: parts().payload, protected: encoded, signature: toBase64Url(signature) })
}

describe('flattened JWS', () => {
  it('is verified, and says who signed what', async () => {
    const verified = await verifyFlattenedJws(flattened, TYP, 'document')
    expect(verified.payload).toEqual(payload)
    expect(verified.signers).toEqual([{ key: publicOf(alice.jwk), thumbprint: await thumbprint(publicOf(alice.jwk)) }])
    expect(await verify(forge(header() as Json))).toBe('accepted')
  })

  it('rejects every changed byte', async () => {
    for (let i = 0; i < flattened.length; i++) {
      const changed = flattened.map((b, j) => (j === i ? b ^ 1 : b))
      expect(await verify(changed), `byte ${i}`).not.toBe('accepted')
    }
  })

  it('rejects another type of document', async () => {
    expect(await verify(flattened, 'sealgate-other-v1+jws')).toBe('JWS_MALFORMED')
  })

  it("rejects another key's signature under this key", async () => {
    const signature = toBase64Url(bob.sign(utf8(`${parts().protected}.${parts().payload}`)))
    expect(await verify(write({ ...parts(), signature }))).toBe('SIGNATURE_INVALID')
  })

  it.each<[string, () => Json | string, string]>([
    ['no algorithm', () => ({ ...header(), alg: 'none' }), 'DOCUMENT_INVALID'],
    ['a symmetric algorithm', () => ({ ...header(), alg: 'HS256' }), 'DOCUMENT_INVALID'],
    ['the polymorphic name of the algorithm', () => ({ ...header(), alg: 'EdDSA' }), 'DOCUMENT_INVALID'],
    ['a critical extension', () => ({ ...header(), crit: ['b64'], b64: false }), 'DOCUMENT_INVALID'],
    ['a key id beside the key', () => ({ ...header(), kid: 'alice' }), 'DOCUMENT_INVALID'],
    ['a URL to fetch keys from', () => ({ ...header(), jku: 'https://example.com' }), 'DOCUMENT_INVALID'],
    ['a private key', () => ({ ...header(), jwk: { ...alice.jwk } }), 'DOCUMENT_INVALID'],
    ['a key of another curve', () => ({ ...header(), jwk: { ...publicOf(alice.jwk), crv: 'X25519' } }), 'DOCUMENT_INVALID'],
    ['a key of 31 bytes', () => ({ ...header(), jwk: { ...publicOf(alice.jwk), x: toBase64Url(new Uint8Array(31)) } }), 'DOCUMENT_INVALID'],
    ['no type', () => ({ alg: 'Ed25519', jwk: { ...publicOf(alice.jwk) } }), 'DOCUMENT_INVALID'],
    ['members out of order', () => `{"typ":"${TYP}","alg":"Ed25519","jwk":${JSON.stringify(publicOf(alice.jwk))}}`, 'JSON_NOT_CANONICAL'],
  ])('rejects a header with %s, though its signature is right', async (_, head, code) => {
    expect(await verify(forge(head()))).toBe(code)
  })

  it('rejects members that nobody signed, and a JWS of another form', async () => {
    expect(await verify(write({ ...parts(), header: { typ: 'x' } }))).toBe('DOCUMENT_INVALID')
    expect(await verify(general)).toBe('DOCUMENT_INVALID')
    expect(await verify(utf8(`${parts().protected}.${parts().payload}.${parts().signature}`))).toBe('JSON_MALFORMED')
    expect(await verify(utf8(JSON.stringify(parts(), null, 1)))).toBe('JSON_NOT_CANONICAL')
  })

  it('rejects a second spelling of its base64', async () => {
    const { signature } = parts()
    const last = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.indexOf(signature.at(-1) ?? '')
    const twin = `${signature.slice(0, -1)}${'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'[last ^ 1]}`
    expect(await verify(write({ ...parts(), signature: twin }))).toBe('JWS_MALFORMED')
    expect(await verify(write({ ...parts(), signature: `${signature}==` }))).toBe('DOCUMENT_INVALID')
  })
})

describe('general JWS', () => {
  const verifyAll = (bytes: Uint8Array) => outcomeOf(() => verifyGeneralJws(bytes, TYP, 'document'))
  const read = (): { payload: string; signatures: { protected: string; signature: string }[] } =>
    JSON.parse(fromUtf8(general)) as ReturnType<typeof read>

  it('names every signer, in order', async () => {
    const { signers } = await verifyGeneralJws(general, TYP, 'document')
    expect(signers.map((s) => s.key.x)).toEqual([alice.jwk.x, bob.jwk.x])
  })

  it('is the same when the second signature is added later', async () => {
    expect(await countersignGeneralJws(await issueGeneralJws(payload, TYP, [alice.jwk]), TYP, bob.jwk)).toEqual(general)
  })

  it('rejects one wrong signature among right ones', async () => {
    const { payload: body, signatures } = read()
    for (const broken of [0, 1]) {
      const swapped = signatures.map((s, i) => (i === broken ? { ...s, signature: signatures[1 - i]?.signature } : s))
      expect(await verifyAll(write({ payload: body, signatures: swapped }))).toBe('SIGNATURE_INVALID')
    }
  })

  it('rejects one key that signed twice', async () => {
    const { payload: body, signatures } = read()
    expect(await verifyAll(write({ payload: body, signatures: [signatures[0], signatures[0]] }))).toBe('JWS_MALFORMED')
  })

  it('rejects no signature and too many', async () => {
    const { payload: body, signatures } = read()
    expect(await verifyAll(write({ payload: body, signatures: [] }))).toBe('DOCUMENT_INVALID')
    const five = await issueGeneralJws(
      payload,
      TYP,
      ['a', 'b', 'c', 'd', 'e'].map((k) => testKey(k).jwk),
    )
    expect(await verifyAll(five)).toBe('DOCUMENT_INVALID')
    expect(signatures).toHaveLength(2)
  })

  it('rejects every changed byte', async () => {
    for (let i = 0; i < general.length; i++) {
      const changed = general.map((b, j) => (j === i ? b ^ 1 : b))
      expect(await verifyAll(changed), `byte ${i}`).not.toBe('accepted')
    }
  })
})
