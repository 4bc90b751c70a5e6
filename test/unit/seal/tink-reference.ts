import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'

/**
 * AES-GCM-HKDF streaming as Tink's specification states it, line by line and for every parameter, over whole buffers.
 * Shares no code with the product; checked against Tink's own vectors.
 */
export interface TinkParameters {
  readonly hkdfHash: string
  readonly derivedKeySize: number
  readonly ciphertextSegmentSize: number
}

export const TINK_AES256_GCM_HKDF_1MB: TinkParameters = { hkdfHash: 'sha256', derivedKeySize: 32, ciphertextSegmentSize: 1024 * 1024 }

const NONCE_PREFIX = 7
const TAG = 16

export function tinkEncrypt(
  p: TinkParameters,
  ikm: Uint8Array,
  aad: Uint8Array,
  salt: Uint8Array,
  noncePrefix: Uint8Array,
  plaintext: Uint8Array,
): Buffer {
  const headerLength = 1 + p.derivedKeySize + NONCE_PREFIX
  const key = Buffer.from(hkdfSync(p.hkdfHash, ikm, salt, aad, p.derivedKeySize))
  const segments: Uint8Array[] = []
  const first = p.ciphertextSegmentSize - headerLength - TAG
  segments.push(plaintext.subarray(0, first))
  for (let at = first; at < plaintext.length; at += p.ciphertextSegmentSize - TAG) {
    segments.push(plaintext.subarray(at, at + p.ciphertextSegmentSize - TAG))
  }
  const out: Uint8Array[] = [Buffer.from([headerLength]), salt, noncePrefix]
  for (const [i, segment] of segments.entries()) {
    const cipher = createCipheriv(aes(key), key, nonce(noncePrefix, i, i === segments.length - 1))
    out.push(cipher.update(segment), cipher.final(), cipher.getAuthTag())
  }
  return Buffer.concat(out)
}

export function tinkDecrypt(p: TinkParameters, ikm: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Buffer {
  const headerLength = 1 + p.derivedKeySize + NONCE_PREFIX
  if (ciphertext[0] !== headerLength) throw new Error('header length')
  const salt = ciphertext.subarray(1, 1 + p.derivedKeySize)
  const noncePrefix = ciphertext.subarray(1 + p.derivedKeySize, headerLength)
  const key = Buffer.from(hkdfSync(p.hkdfHash, ikm, salt, aad, p.derivedKeySize))
  const out: Buffer[] = []
  for (let i = 0, at = headerLength; at < ciphertext.length; i++) {
    const end = Math.min((i + 1) * p.ciphertextSegmentSize, ciphertext.length)
    const decipher = createDecipheriv(aes(key), key, nonce(noncePrefix, i, end === ciphertext.length))
    decipher.setAuthTag(ciphertext.subarray(end - TAG, end))
    out.push(decipher.update(ciphertext.subarray(at, end - TAG)), decipher.final())
    at = end
  }
  return Buffer.concat(out)
}

function aes(key: Uint8Array): 'aes-128-gcm' | 'aes-256-gcm' {
  return key.length === 16 ? 'aes-128-gcm' : 'aes-256-gcm'
}

function nonce(prefix: Uint8Array, segment: number, last: boolean): Buffer {
  const counter = Buffer.alloc(4)
  counter.writeUInt32BE(segment)
  return Buffer.concat([prefix, counter, Buffer.from([last ? 1 : 0])])
}
