import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { gatewayMlDsaSigner } from '../../../src/gateway/index.ts'
import { type MlDsaPrivateKey, mlDsaKeyFromSeed, mlDsaPrivateKeySchema, mlDsaPublicOf, mlDsaSigner } from '../../../src/seal/ml-dsa.ts'
import { fromBase64Url, toBase64Url, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { mlDsaSpki } from '../../../src/verify/crypto/ml-dsa.ts'
import { crypto } from '../../../src/verify/crypto/node.ts'
import { testMlDsaKey } from '../../support/keys.ts'
import { outcomeOf } from '../../support/outcome.ts'

const rfc9964 = JSON.parse(readFileSync(new URL('../../vectors/ml-dsa/rfc9964.json', import.meta.url), 'utf8')) as {
  jwk: MlDsaPrivateKey & { kid: string }
  jws: string
}
const { kid: _, ...exampleKey } = rfc9964.jwk
const zeros = (size: number): Uint8Array => new Uint8Array(size)

describe('ML-DSA-65 keys and signatures', () => {
  it('are those of the example of RFC 9964: the all-zero seed, the deterministic variant', async () => {
    expect(await mlDsaKeyFromSeed(new Uint8Array(32))).toEqual(exampleKey)
    const [header, payload, signature] = rfc9964.jws.split('.')
    const signer = await mlDsaSigner(exampleKey, zeros)
    expect(toBase64Url(await signer.sign(utf8(`${header}.${payload}`)))).toBe(signature)
  })

  it.each([
    ['script', (key: MlDsaPrivateKey) => mlDsaSigner(key, (size) => crypto.digest('SHA-256', new Uint8Array(size)) as Uint8Array)],
    ['gateway', gatewayMlDsaSigner],
  ] as const)('of the %s verify, and show no seed', async (_name, signerOf) => {
    const { jwk } = await testMlDsaKey('signer')
    const signer = await signerOf(jwk)
    expect(signer.key).toEqual(mlDsaPublicOf(jwk))
    const key = await crypto.importPublicKey('ml-dsa-65', mlDsaSpki(fromBase64Url(jwk.pub)))
    const message = utf8('a message')
    const signature = await signer.sign(message)
    expect(signature).toHaveLength(3309)
    expect(await crypto.verify(key, signature, message)).toBe(true)
    expect(JSON.stringify(signer)).not.toContain(jwk.priv)
  })

  it('of a gateway differ each time: they are hedged', async () => {
    const signer = await gatewayMlDsaSigner((await testMlDsaKey('signer')).jwk)
    expect(await signer.sign(utf8('m'))).not.toEqual(await signer.sign(utf8('m')))
  })

  it('are refused where the two halves do not match', async () => {
    const [a, b] = [(await testMlDsaKey('a')).jwk, (await testMlDsaKey('b')).jwk]
    const mixed = { ...a, pub: b.pub }
    expect(await outcomeOf(() => mlDsaSigner(mixed, zeros))).toBe('DOCUMENT_INVALID')
    expect(await outcomeOf(() => gatewayMlDsaSigner(mixed))).toBe('DOCUMENT_INVALID')
  })

  it('are read in one form alone', () => {
    const fits = (value: unknown): boolean => mlDsaPrivateKeySchema.safeParse(value).success
    expect(fits(exampleKey)).toBe(true)
    const { priv: _priv, ...publicHalf } = exampleKey
    for (const bad of [
      publicHalf,
      rfc9964.jwk,
      { ...exampleKey, alg: 'ML-DSA-87' },
      { ...exampleKey, kty: 'OKP' },
      { ...exampleKey, priv: toBase64Url(new Uint8Array(31)) },
      { ...exampleKey, priv: toBase64Url(new Uint8Array(4032)) },
      { ...exampleKey, pub: toBase64Url(new Uint8Array(1951)) },
    ]) {
      expect(fits(bad)).toBe(false)
    }
  })
})
