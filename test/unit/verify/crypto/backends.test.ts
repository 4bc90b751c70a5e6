import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../../src/verify/bytes/bytes.ts'
import { crypto as node } from '../../../../src/verify/crypto/node.ts'
import type { SignatureScheme } from '../../../../src/verify/crypto/types.ts'
import { crypto as web } from '../../../../src/verify/crypto/web.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const backends = [node, web]
const message = new TextEncoder().encode('the signed bytes')

interface Signed {
  readonly scheme: SignatureScheme
  readonly spki: Uint8Array
  readonly signature: Uint8Array
}

function spkiOf(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ format: 'der', type: 'spki' }))
}

function signedBy(scheme: SignatureScheme): Signed {
  if (scheme.startsWith('ecdsa')) {
    const [namedCurve, hash] = scheme === 'ecdsa-p256-sha256' ? ['P-256', 'sha256'] : ['P-384', 'sha384']
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve })
    return { scheme, spki: spkiOf(publicKey), signature: sign(hash, message, { key: privateKey, dsaEncoding: 'ieee-p1363' }) }
  }
  if (scheme === 'ed25519') {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    return { scheme, spki: spkiOf(publicKey), signature: sign(null, message, privateKey) }
  }
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const hash = scheme.slice(-'sha256'.length)
  const pss = { key: privateKey, padding: 6, saltLength: Number(hash.slice('sha'.length)) / 8 }
  return { scheme, spki: spkiOf(publicKey), signature: sign(hash, message, scheme.startsWith('rsa-pss') ? pss : privateKey) }
}

const SCHEMES: readonly SignatureScheme[] = [
  'ecdsa-p256-sha256',
  'ecdsa-p384-sha384',
  'rsa-pss-sha256',
  'rsa-pss-sha384',
  'rsa-pss-sha512',
  'rsa-pkcs1-sha256',
  'rsa-pkcs1-sha384',
  'rsa-pkcs1-sha512',
  'ed25519',
]
const signatures = SCHEMES.map(signedBy)

/** RSA keys fit every RSA scheme; each curve is a kind of its own. */
function kindOf(scheme: SignatureScheme): string {
  return scheme.startsWith('rsa') ? 'rsa' : scheme
}

describe.each(backends)('the $name backend', (backend) => {
  it.each(signatures)('accepts a genuine $scheme signature, and no other bytes, key or length', async ({ scheme, spki, signature }) => {
    const key = await backend.importPublicKey(scheme, spki)
    const other = await backend.importPublicKey(scheme, signedBy(scheme).spki)
    const flipped = signature.map((b, i) => (i === 3 ? b ^ 1 : b))
    expect(await backend.verify(key, signature, message)).toBe(true)
    expect(await backend.verify(key, flipped, message)).toBe(false)
    expect(await backend.verify(key, signature, message.subarray(1))).toBe(false)
    expect(await backend.verify(other, signature, message)).toBe(false)
    for (const wrong of [
      new Uint8Array(),
      signature.subarray(1),
      new Uint8Array(signature.length),
      new Uint8Array(signature.length).fill(0xff),
    ]) {
      expect(await backend.verify(key, wrong, message)).toBe(false)
    }
  })

  it.each(signatures)('rejects a key of another kind for $scheme', async ({ scheme }) => {
    const others = signatures.filter((s) => kindOf(s.scheme) !== kindOf(scheme))
    for (const { spki } of others) expect(await outcomeOf(() => backend.importPublicKey(scheme, spki))).toBe('CERTIFICATE_MALFORMED')
  })

  it('rejects keys that are no keys', async () => {
    const [p256] = signatures
    const offCurve = (p256?.spki ?? new Uint8Array()).map((b, i, all) => (i === all.length - 1 ? b ^ 1 : b))
    for (const spki of [new Uint8Array(), new Uint8Array(10), Uint8Array.of(0x30, 0x82), offCurve]) {
      expect(await outcomeOf(() => backend.importPublicKey('ecdsa-p256-sha256', spki))).toBe('CERTIFICATE_MALFORMED')
      expect(await outcomeOf(() => backend.importPublicKey('rsa-pss-sha384', spki))).toBe('CERTIFICATE_MALFORMED')
    }
  })

  it.each([512, 1024, 2040])('rejects an RSA key of %i bits: weak, and too short for some signatures', async (modulusLength) => {
    const spki = spkiOf(generateKeyPairSync('rsa', { modulusLength }).publicKey)
    for (const scheme of SCHEMES.filter((s) => kindOf(s) === 'rsa'))
      expect(await outcomeOf(() => backend.importPublicKey(scheme, spki))).toBe('CERTIFICATE_MALFORMED')
  })
})

describe('the two backends', () => {
  it('agree on digests, HMAC and HKDF', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ minLength: 32, maxLength: 32 }), async (data, key) => {
        for (const algorithm of ['SHA-256', 'SHA-384', 'SHA-512'] as const) {
          expect(toHex(await node.digest(algorithm, data))).toBe(toHex(await web.digest(algorithm, data)))
        }
        expect(toHex(await node.hmacSha256(key, data))).toBe(toHex(await web.hmacSha256(key, data)))
        expect(toHex(await node.hkdfSha256(key, data, message, 44))).toBe(toHex(await web.hkdfSha256(key, data, message, 44)))
      }),
      { numRuns: 30 },
    )
  })
})
