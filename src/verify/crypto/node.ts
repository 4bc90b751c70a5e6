import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  verify as nodeVerify,
} from 'node:crypto'
import { AttestError } from '../errors.ts'
import type { CryptoBackend, Digest, SignatureScheme } from './types.ts'

const HASH: Record<Digest, string> = { 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512' }

interface Scheme {
  readonly hash: string | null
  readonly keyType: string
  readonly curve?: string
  readonly signatureSize?: number
  readonly pss?: true
}

const SCHEMES: Record<SignatureScheme, Scheme> = {
  'ecdsa-p256-sha256': { hash: 'sha256', keyType: 'ec', curve: 'prime256v1', signatureSize: 64 },
  'ecdsa-p384-sha384': { hash: 'sha384', keyType: 'ec', curve: 'secp384r1', signatureSize: 96 },
  'rsa-pss-sha384': { hash: 'sha384', keyType: 'rsa', pss: true },
  'rsa-pkcs1-sha256': { hash: 'sha256', keyType: 'rsa' },
  'rsa-pkcs1-sha384': { hash: 'sha384', keyType: 'rsa' },
  ed25519: { hash: null, keyType: 'ed25519', signatureSize: 64 },
}

const TAG_SIZE = 16

/** Node's synchronous crypto: no await in the hot path costs more than the operation itself. */
export const crypto: CryptoBackend = {
  name: 'node',

  digest(algorithm, data) {
    return new Uint8Array(createHash(HASH[algorithm]).update(data).digest())
  },

  hmacSha256(key, data) {
    return new Uint8Array(createHmac('sha256', key).update(data).digest())
  },

  hkdfSha256(key, salt, info, length) {
    return new Uint8Array(hkdfSync('sha256', key, salt, info, length))
  },

  importPublicKey(scheme, spki) {
    const want = SCHEMES[scheme]
    let key: KeyObject
    try {
      key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    } catch (cause) {
      throw new AttestError('CERTIFICATE_MALFORMED', 'public key does not parse', { cause })
    }
    if (key.asymmetricKeyType !== want.keyType || key.asymmetricKeyDetails?.namedCurve !== want.curve) {
      throw new AttestError('CERTIFICATE_MALFORMED', `public key does not fit ${scheme}`)
    }
    return { scheme, handle: key }
  },

  verify(key, signature, data) {
    const scheme = SCHEMES[key.scheme]
    if (scheme.signatureSize !== undefined && signature.length !== scheme.signatureSize) return false
    const handle = key.handle as KeyObject
    if (scheme.keyType === 'ec') {
      return nodeVerify(scheme.hash, data, { key: handle, dsaEncoding: 'ieee-p1363' }, signature)
    }
    if (scheme.pss) {
      const padding = constants.RSA_PKCS1_PSS_PADDING
      return nodeVerify(scheme.hash, data, { key: handle, padding, saltLength: 48 }, signature)
    }
    return nodeVerify(scheme.hash, data, handle, signature)
  },

  importAeadKey(key) {
    return { handle: createSecretKey(key) }
  },

  aeadSeal(key, nonce, plaintext) {
    const cipher = createCipheriv('aes-256-gcm', key.handle as KeyObject, nonce)
    const out = new Uint8Array(plaintext.length + TAG_SIZE)
    out.set(cipher.update(plaintext))
    cipher.final()
    out.set(cipher.getAuthTag(), plaintext.length)
    return out
  },

  aeadOpen(key, nonce, sealed) {
    if (sealed.length < TAG_SIZE) return null
    const decipher = createDecipheriv('aes-256-gcm', key.handle as KeyObject, nonce, { authTagLength: TAG_SIZE })
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_SIZE))
    const plaintext = decipher.update(sealed.subarray(0, sealed.length - TAG_SIZE))
    try {
      decipher.final()
    } catch {
      plaintext.fill(0)
      return null
    }
    return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length)
  },
}
