import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  createSecretKey,
  hash,
  hkdfSync,
  type JsonWebKeyInput,
  type KeyObject,
  verify as nodeVerify,
  type PublicKeyInput,
} from 'node:crypto'
import { concat, equal } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'
import { DerReader, TAG } from '../formats/der.ts'
import { isCurveOf, isPointOn } from './ec-spki.ts'
import { ML_DSA_65_SIGNATURE_SIZE, mlDsaPublicKey, ScriptKey } from './ml-dsa.ts'
import { isRsaSize } from './rsa-size.ts'
import type { CryptoBackend, Digest, PublicKey, SignatureScheme } from './types.ts'

const HASH: Record<Digest, string> = { 'SHA-1': 'sha1', 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512' }

interface Scheme {
  readonly hash: string | null
  readonly keyType: string
  readonly signatureSize?: number
  /** RSASSA-PSS: length of the salt in bytes. */
  readonly saltSize?: number
}

const SCHEMES: Record<SignatureScheme, Scheme> = {
  'ecdsa-p256-sha256': { hash: 'sha256', keyType: 'ec', signatureSize: 64 },
  'ecdsa-p384-sha384': { hash: 'sha384', keyType: 'ec', signatureSize: 96 },
  'rsa-pss-sha256': { hash: 'sha256', keyType: 'rsa', saltSize: 32 },
  'rsa-pss-sha384': { hash: 'sha384', keyType: 'rsa', saltSize: 48 },
  'rsa-pss-sha512': { hash: 'sha512', keyType: 'rsa', saltSize: 64 },
  'rsa-pkcs1-sha256': { hash: 'sha256', keyType: 'rsa' },
  'rsa-pkcs1-sha384': { hash: 'sha384', keyType: 'rsa' },
  'rsa-pkcs1-sha512': { hash: 'sha512', keyType: 'rsa' },
  ed25519: { hash: null, keyType: 'ed25519', signatureSize: 64 },
  'ml-dsa-65': { hash: null, keyType: 'ml-dsa-65', signatureSize: ML_DSA_65_SIGNATURE_SIZE },
}

const TAG_SIZE = 16

/** Node's synchronous crypto: no await in the hot path costs more than the operation itself. */
export const crypto: CryptoBackend = {
  name: 'node',

  digest(algorithm, data) {
    return view(hash(HASH[algorithm], data, 'buffer'))
  },

  digestHex(algorithm, data) {
    return hash(HASH[algorithm], data, 'hex')
  },

  digestParts(algorithm, parts) {
    const state = createHash(HASH[algorithm])
    for (const part of parts) state.update(part)
    return new Uint8Array(state.digest())
  },

  hmacSha256(key, data) {
    return new Uint8Array(createHmac('sha256', key).update(data).digest())
  },

  hkdfSha256(key, salt, info, length) {
    return new Uint8Array(hkdfSync('sha256', key, salt, info, length))
  },

  importPublicKey(scheme, spki) {
    if (scheme === 'ml-dsa-65') return importMlDsa(spki)
    const { keyType } = SCHEMES[scheme]
    if (!isCurveOf(scheme, spki)) throw misfit(scheme)
    let key: KeyObject
    try {
      key = createPublicKey(rsaKeyOf(spki) ?? p256KeyOf(spki) ?? { key: Buffer.from(spki), format: 'der', type: 'spki' })
    } catch (cause) {
      throw new AttestError('CERTIFICATE_MALFORMED', 'public key does not parse', { cause })
    }
    // Asking OpenSSL for the details of a key on P-384 costs half of its import; the curve was read above.
    const isOfSize = keyType !== 'rsa' || isRsaSize(key.asymmetricKeyDetails?.modulusLength)
    if (key.asymmetricKeyType !== keyType || !isOfSize) throw misfit(scheme)
    return { scheme, handle: key }
  },

  verify(key, signature, data) {
    const scheme = SCHEMES[key.scheme]
    if (scheme.signatureSize !== undefined && signature.length !== scheme.signatureSize) return false
    if (key.handle instanceof ScriptKey) return key.handle.verify(signature, data)
    const handle = key.handle as KeyObject
    if (scheme.keyType === 'ec') {
      return nodeVerify(scheme.hash, data, { key: handle, dsaEncoding: 'ieee-p1363' }, signature)
    }
    if (scheme.saltSize !== undefined) {
      const padding = constants.RSA_PKCS1_PSS_PADDING
      return nodeVerify(scheme.hash, data, { key: handle, padding, saltLength: scheme.saltSize }, signature)
    }
    return nodeVerify(scheme.hash, data, handle, signature)
  },

  importAeadKey(key) {
    return { handle: createSecretKey(key) }
  },

  aeadSeal(key, nonce, plaintext) {
    const cipher = createCipheriv('aes-256-gcm', key.handle as KeyObject, nonce)
    const out = plaintext.map((part) => view(cipher.update(part)))
    cipher.final()
    out.push(view(cipher.getAuthTag()))
    return out
  },

  aeadOpen(key, nonce, sealed) {
    const [body, tag] = splitTag(sealed)
    if (tag === null) return null
    const decipher = createDecipheriv('aes-256-gcm', key.handle as KeyObject, nonce, { authTagLength: TAG_SIZE })
    decipher.setAuthTag(tag)
    const plaintext = body.map((part) => view(decipher.update(part)))
    try {
      decipher.final()
    } catch {
      for (const part of plaintext) part.fill(0)
      return null
    }
    return plaintext
  },
}

/** With the runtime's own ML-DSA (Node 24.6 and later), else in JavaScript. */
async function importMlDsa(spki: Uint8Array): Promise<PublicKey> {
  const publicKey = mlDsaPublicKey(spki)
  return { scheme: 'ml-dsa-65', handle: nativeMlDsaKey(spki) ?? (await ScriptKey.import(publicKey)) }
}

function nativeMlDsaKey(spki: Uint8Array): KeyObject | null {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
    return (key.asymmetricKeyType as string | undefined) === 'ml-dsa-65' ? key : null
  } catch {
    return null
  }
}

/** AlgorithmIdentifier rsaEncryption (RFC 3279 section 2.3.1). */
const RSA_ENCRYPTION = Uint8Array.from([0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00])

/** The RSAPublicKey inside of an SPKI. OpenSSL 3.0 reads it 25 times faster than the SPKI around it (4 against 100 us). */
function rsaKeyOf(spki: Uint8Array): PublicKeyInput | null {
  const reader = new DerReader(spki, 'spki').open(TAG.sequence)
  if (!equal(reader.whole(), RSA_ENCRYPTION)) return null
  return { key: Buffer.from(reader.only((r) => r.bitString())), format: 'der', type: 'pkcs1' }
}

function misfit(scheme: SignatureScheme): AttestError {
  return new AttestError('CERTIFICATE_MALFORMED', `public key does not fit ${scheme}`)
}

const COORDINATE_SIZE = 32

/** A P-256 point as JWK, which OpenSSL 3.0 reads twice as fast as the SPKI around it; that it lies on the curve is checked either way. */
function p256KeyOf(spki: Uint8Array): JsonWebKeyInput | null {
  if (!isPointOn('P-256', spki)) return null
  const start = spki.length - 2 * COORDINATE_SIZE
  const coordinate = (at: number): string => Buffer.from(spki.buffer, spki.byteOffset + at, COORDINATE_SIZE).toString('base64url')
  return { key: { kty: 'EC', crv: 'P-256', x: coordinate(start), y: coordinate(start + COORDINATE_SIZE) }, format: 'jwk' }
}

/** The same memory without Buffer's own meaning of `slice`. */
function view(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
}

/** Cuts the last 16 bytes off a row of parts; they may lie in several of them. */
function splitTag(parts: readonly Uint8Array[]): [body: readonly Uint8Array[], tag: Uint8Array | null] {
  let left = parts.reduce((n, p) => n + p.length, 0) - TAG_SIZE
  if (left < 0) return [[], null]
  const body: Uint8Array[] = []
  const tag: Uint8Array[] = []
  for (const part of parts) {
    if (left > 0) body.push(part.subarray(0, left))
    if (part.length > left) tag.push(part.subarray(left))
    left = Math.max(left - part.length, 0)
  }
  return [body, tag.length === 1 && tag[0] !== undefined ? tag[0] : concat(...tag)]
}
