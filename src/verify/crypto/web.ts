import { concat, toHex } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'
import { isCurveOf } from './ec-spki.ts'
import { ML_DSA_65_SIGNATURE_SIZE, mlDsaPublicKey, ScriptKey } from './ml-dsa.ts'
import { isRsaSize } from './rsa-size.ts'
import type { CryptoBackend, PublicKey, SignatureScheme } from './types.ts'

interface Scheme {
  readonly importParams: RsaHashedImportParams | EcKeyImportParams | Algorithm
  readonly verifyParams: AlgorithmIdentifier | RsaPssParams | EcdsaParams
  readonly signatureSize?: number
}

const SCHEMES: Record<SignatureScheme, Scheme> = {
  'ecdsa-p256-sha256': ecdsa('P-256', 'SHA-256', 64),
  'ecdsa-p384-sha384': ecdsa('P-384', 'SHA-384', 96),
  'rsa-pss-sha256': pss('SHA-256', 32),
  'rsa-pss-sha384': pss('SHA-384', 48),
  'rsa-pss-sha512': pss('SHA-512', 64),
  'rsa-pkcs1-sha256': pkcs1('SHA-256'),
  'rsa-pkcs1-sha384': pkcs1('SHA-384'),
  'rsa-pkcs1-sha512': pkcs1('SHA-512'),
  ed25519: { importParams: { name: 'Ed25519' }, verifyParams: { name: 'Ed25519' }, signatureSize: 64 },
  'ml-dsa-65': { importParams: { name: 'ML-DSA-65' }, verifyParams: { name: 'ML-DSA-65' }, signatureSize: ML_DSA_65_SIGNATURE_SIZE },
}

function ecdsa(namedCurve: string, hash: string, signatureSize: number): Scheme {
  return { importParams: { name: 'ECDSA', namedCurve }, verifyParams: { name: 'ECDSA', hash }, signatureSize }
}

function pss(hash: string, saltLength: number): Scheme {
  return { importParams: { name: 'RSA-PSS', hash }, verifyParams: { name: 'RSA-PSS', saltLength } }
}

function pkcs1(hash: string): Scheme {
  return { importParams: { name: 'RSASSA-PKCS1-v1_5', hash }, verifyParams: { name: 'RSASSA-PKCS1-v1_5' } }
}

const subtle = globalThis.crypto.subtle

/** WebCrypto wants views on an ArrayBuffer, never on shared memory. */
function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes)
}

/** WebCrypto has one-shot calls only. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : concat(...parts)
}

/** With the browser's own ML-DSA where its WebCrypto has one, else in JavaScript. */
async function importMlDsa(spki: Uint8Array): Promise<PublicKey> {
  const publicKey = mlDsaPublicKey(spki)
  try {
    return { scheme: 'ml-dsa-65', handle: await subtle.importKey('spki', plain(spki), { name: 'ML-DSA-65' }, false, ['verify']) }
  } catch {
    return { scheme: 'ml-dsa-65', handle: await ScriptKey.import(publicKey) }
  }
}

/** WebCrypto: browsers, Deno, workers. */
export const crypto: CryptoBackend = {
  name: 'web',

  async digest(algorithm, data) {
    return new Uint8Array(await subtle.digest(algorithm, plain(data)))
  },

  async digestHex(algorithm, data) {
    return toHex(await this.digest(algorithm, data))
  },

  async digestParts(algorithm, parts) {
    return new Uint8Array(await subtle.digest(algorithm, plain(joined(parts))))
  },

  async hmacSha256(key, data) {
    const handle = await subtle.importKey('raw', plain(key), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
    return new Uint8Array(await subtle.sign('HMAC', handle, plain(data)))
  },

  async hkdfSha256(key, salt, info, length) {
    const handle = await subtle.importKey('raw', plain(key), 'HKDF', false, ['deriveBits'])
    const params = { name: 'HKDF', hash: 'SHA-256', salt: plain(salt), info: plain(info) }
    return new Uint8Array(await subtle.deriveBits(params, handle, length * 8))
  },

  async importPublicKey(scheme, spki) {
    if (scheme === 'ml-dsa-65') return importMlDsa(spki)
    if (!isCurveOf(scheme, spki)) throw new AttestError('CERTIFICATE_MALFORMED', `public key does not fit ${scheme}`)
    let handle: CryptoKey
    try {
      handle = await subtle.importKey('spki', plain(spki), SCHEMES[scheme].importParams, false, ['verify'])
    } catch (cause) {
      throw new AttestError('CERTIFICATE_MALFORMED', `public key does not fit ${scheme}`, { cause })
    }
    if (!isRsaSize((handle.algorithm as Partial<RsaKeyAlgorithm>).modulusLength))
      throw new AttestError('CERTIFICATE_MALFORMED', `public key does not fit ${scheme}`)
    return { scheme, handle }
  },

  async verify(key, signature, data) {
    const { verifyParams, signatureSize } = SCHEMES[key.scheme]
    if (signatureSize !== undefined && signature.length !== signatureSize) return false
    if (key.handle instanceof ScriptKey) return key.handle.verify(signature, data)
    return subtle.verify(verifyParams, key.handle as CryptoKey, plain(signature), plain(data))
  },

  async importAeadKey(key) {
    return { handle: await subtle.importKey('raw', plain(key), 'AES-GCM', false, ['encrypt', 'decrypt']) }
  },

  async aeadSeal(key, nonce, plaintext) {
    const params = { name: 'AES-GCM', iv: plain(nonce) }
    return [new Uint8Array(await subtle.encrypt(params, key.handle as CryptoKey, plain(joined(plaintext))))]
  },

  async aeadOpen(key, nonce, sealed) {
    try {
      const params = { name: 'AES-GCM', iv: plain(nonce) }
      return [new Uint8Array(await subtle.decrypt(params, key.handle as CryptoKey, plain(joined(sealed))))]
    } catch {
      return null
    }
  },
}
