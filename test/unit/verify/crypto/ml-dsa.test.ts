import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromBase64Url, toBase64Url, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { mlDsaPublicKey, mlDsaSpki, ScriptKey } from '../../../../src/verify/crypto/ml-dsa.ts'
import { crypto as node } from '../../../../src/verify/crypto/node.ts'
import type { Awaitable } from '../../../../src/verify/crypto/types.ts'
import { crypto as web } from '../../../../src/verify/crypto/web.ts'
import { thumbprint } from '../../../../src/verify/documents/keys.ts'
import { testMlDsaKey } from '../../../support/keys.ts'
import { outcomeOf } from '../../../support/outcome.ts'

interface Vector {
  readonly jwk: { readonly kid: string; readonly pub: string; readonly priv: string }
  readonly jws: string
}
const rfc9964 = JSON.parse(readFileSync(new URL('../../../vectors/ml-dsa/rfc9964.json', import.meta.url), 'utf8')) as Vector
const [header = '', payload = '', signatureText = ''] = rfc9964.jws.split('.')
const message = utf8(`${header}.${payload}`)
const signature = fromBase64Url(signatureText)
const publicKey = fromBase64Url(rfc9964.jwk.pub)

type Verify = (publicKey: Uint8Array, signature: Uint8Array, data: Uint8Array) => Awaitable<boolean>

/** Where the runtime has ML-DSA the first two are its own, so that they and the script check each other. */
const ways: readonly { readonly name: string; readonly verify: Verify }[] = [
  ...[node, web].map((backend) => ({
    name: `the ${backend.name} backend`,
    verify: async (key: Uint8Array, sig: Uint8Array, data: Uint8Array) =>
      backend.verify(await backend.importPublicKey('ml-dsa-65', mlDsaSpki(key)), sig, data),
  })),
  { name: 'the script', verify: async (key, sig, data) => (await ScriptKey.import(key)).verify(sig, data) },
]

describe.each(ways)('ML-DSA-65 by $name', ({ verify }) => {
  it('accepts the example of RFC 9964, and no other key or message', async () => {
    expect(await verify(publicKey, signature, message)).toBe(true)
    expect(await verify(publicKey, signature, message.subarray(1))).toBe(false)
    expect(await verify(fromBase64Url((await testMlDsaKey('other')).key.pub), signature, message)).toBe(false)
  })

  it('rejects a signature of any other size, of zeros and of ones', async () => {
    const wrong = [new Uint8Array(), signature.subarray(1), signature.subarray(0, -1), concat(signature, new Uint8Array(1))]
    for (const sig of [...wrong, new Uint8Array(64), new Uint8Array(3309), new Uint8Array(3309).fill(0xff)]) {
      expect(await verify(publicKey, sig, message), `${sig.length} bytes`).toBe(false)
    }
  })

  it('rejects single changed bits in every part: commitment hash, response, hints and their padding', async () => {
    const places = [0, 47, 48, 49, 1700, 3247, 3248, 3250, 3300, 3303, 3308]
    for (const at of places) {
      for (const bit of [1, 0x80]) {
        const changed = signature.map((b, i) => (i === at ? b ^ bit : b))
        expect(await verify(publicKey, changed, message), `byte ${at}`).toBe(false)
      }
    }
  })

  it('rejects hints that are written in a second way', async () => {
    // HintBitUnpack (FIPS 204 algorithm 21): indices of one polynomial ascend, what is left over is zero, counts do not fall.
    const hints = 3309 - 61
    const first = signature[hints + 55] ?? 0
    expect(first).toBeGreaterThan(1)
    const swapped = signature.slice()
    ;[swapped[hints], swapped[hints + 1]] = [signature[hints + 1] ?? 0, signature[hints] ?? 0]
    const doubled = signature.slice()
    doubled[hints + 1] = signature[hints] ?? 0
    const padded = signature.slice()
    padded[hints + 54] = 1
    const falling = signature.slice()
    falling[hints + 56] = first - 1
    const tooMany = signature.slice()
    tooMany[hints + 60] = 56
    for (const bad of [swapped, doubled, padded, falling, tooMany]) expect(await verify(publicKey, bad, message)).toBe(false)
  })
})

describe('ML-DSA-65 public keys', () => {
  it('have the thumbprint that RFC 9964 shows', async () => {
    expect(await thumbprint({ alg: 'ML-DSA-65', kty: 'AKP', pub: rfc9964.jwk.pub })).toBe(rfc9964.jwk.kid)
  })

  it('are imported from one form alone', async () => {
    const spki = mlDsaSpki(publicKey)
    expect(mlDsaPublicKey(spki)).toEqual(publicKey)
    const dsa44 = Uint8Array.from(spki, (b, i) => (i === 16 ? 0x11 : b))
    for (const bad of [new Uint8Array(), publicKey, spki.subarray(1), concat(spki, new Uint8Array(1)), dsa44]) {
      for (const backend of [node, web]) {
        expect(await outcomeOf(() => backend.importPublicKey('ml-dsa-65', bad))).toBe('CERTIFICATE_MALFORMED')
      }
    }
  })

  it('do not fit any other scheme, nor other keys this one', async () => {
    for (const scheme of ['ed25519', 'ecdsa-p256-sha256', 'rsa-pss-sha256'] as const) {
      for (const backend of [node, web]) {
        expect(await outcomeOf(() => backend.importPublicKey(scheme, mlDsaSpki(publicKey)))).toBe('CERTIFICATE_MALFORMED')
      }
    }
  })
})

describe('runtime and script', () => {
  it('agree on signatures with any byte changed, and on any message', async () => {
    const key = await testMlDsaKey('agree')
    const pub = fromBase64Url(key.key.pub)
    const inputs = fc.record({ data: fc.uint8Array({ maxLength: 300 }), at: fc.nat(3308), by: fc.nat(255) })
    await fc.assert(
      fc.asyncProperty(inputs, async ({ data, at, by }) => {
        const signed = await key.sign(data)
        const changed = signed.map((b, i) => (i === at ? b ^ by : b))
        const answers = await Promise.all(ways.map(({ verify }) => verify(pub, changed, data)))
        expect(answers).toEqual(ways.map(() => by === 0))
      }),
      { numRuns: 10 },
    )
  })

  it('take any 1952 bytes for a key, so that a refusal means a runtime without ML-DSA', async () => {
    for (const fill of [0, 0xff]) {
      for (const { verify } of ways) expect(await verify(new Uint8Array(1952).fill(fill), signature, message)).toBe(false)
    }
  })

  it('know the example by the name of its key', () => {
    expect(JSON.parse(new TextDecoder().decode(fromBase64Url(header)))).toEqual({ alg: 'ML-DSA-65', kid: rfc9964.jwk.kid })
    expect(toBase64Url(signature)).toBe(signatureText)
  })
})
