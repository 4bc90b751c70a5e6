import { createCipheriv, createDecipheriv, createECDH, createHmac } from 'node:crypto'

/**
 * HPKE (RFC 9180) base mode, single shot, with a NIST-curve DHKEM, written straight from sections 4 and 5 over node:crypto.
 * Shares no code with the product; checked against the RFC's own vector for P-256, then used for P-384, which has none.
 */
export interface HpkeParameters {
  readonly kemId: number
  readonly kdfId: number
  readonly aeadId: number
  readonly curve: string
  readonly hash: string
  readonly hashSize: number
  readonly secretSize: number
  readonly cipher: 'aes-128-gcm' | 'aes-256-gcm'
}

export const P256_AES128: HpkeParameters = {
  kemId: 0x0010,
  kdfId: 0x0001,
  aeadId: 0x0001,
  curve: 'prime256v1',
  hash: 'sha256',
  hashSize: 32,
  secretSize: 32,
  cipher: 'aes-128-gcm',
}

export const P384_AES256: HpkeParameters = {
  kemId: 0x0011,
  kdfId: 0x0002,
  aeadId: 0x0002,
  curve: 'secp384r1',
  hash: 'sha384',
  hashSize: 48,
  secretSize: 48,
  cipher: 'aes-256-gcm',
}

export interface Sealed {
  readonly enc: Buffer
  readonly ciphertext: Buffer
}

export function publicKeyOf(p: HpkeParameters, privateKey: Uint8Array): Buffer {
  const ecdh = createECDH(p.curve)
  ecdh.setPrivateKey(privateKey)
  return ecdh.getPublicKey()
}

export function hpkeSeal(p: HpkeParameters, skE: Uint8Array, pkR: Uint8Array, info: Uint8Array, aad: Uint8Array, pt: Uint8Array): Sealed {
  const ecdh = createECDH(p.curve)
  ecdh.setPrivateKey(skE)
  const enc = ecdh.getPublicKey()
  const { key, nonce } = keySchedule(p, extractAndExpand(p, ecdh.computeSecret(pkR), Buffer.concat([enc, pkR])), info)
  const cipher = createCipheriv(p.cipher, key, nonce)
  cipher.setAAD(aad)
  return { enc, ciphertext: Buffer.concat([cipher.update(pt), cipher.final(), cipher.getAuthTag()]) }
}

export function hpkeOpen(p: HpkeParameters, skR: Uint8Array, enc: Uint8Array, info: Uint8Array, aad: Uint8Array, ct: Uint8Array): Buffer {
  const ecdh = createECDH(p.curve)
  ecdh.setPrivateKey(skR)
  const context = Buffer.concat([enc, ecdh.getPublicKey()])
  const { key, nonce } = keySchedule(p, extractAndExpand(p, ecdh.computeSecret(enc), context), info)
  const decipher = createDecipheriv(p.cipher, key, nonce)
  decipher.setAAD(aad)
  decipher.setAuthTag(ct.subarray(-16))
  return Buffer.concat([decipher.update(ct.subarray(0, -16)), decipher.final()])
}

function extractAndExpand(p: HpkeParameters, dh: Buffer, kemContext: Buffer): Buffer {
  const suite = Buffer.concat([Buffer.from('KEM'), i2osp(p.kemId)])
  const prk = labeledExtract(p, suite, Buffer.alloc(0), 'eae_prk', dh)
  return labeledExpand(p, suite, prk, 'shared_secret', kemContext, p.secretSize)
}

function keySchedule(p: HpkeParameters, sharedSecret: Buffer, info: Uint8Array): { key: Buffer; nonce: Buffer } {
  const suite = Buffer.concat([Buffer.from('HPKE'), i2osp(p.kemId), i2osp(p.kdfId), i2osp(p.aeadId)])
  const pskIdHash = labeledExtract(p, suite, Buffer.alloc(0), 'psk_id_hash', Buffer.alloc(0))
  const infoHash = labeledExtract(p, suite, Buffer.alloc(0), 'info_hash', info)
  const context = Buffer.concat([Buffer.from([0x00]), pskIdHash, infoHash])
  const secret = labeledExtract(p, suite, sharedSecret, 'secret', Buffer.alloc(0))
  const keySize = p.cipher === 'aes-128-gcm' ? 16 : 32
  return {
    key: labeledExpand(p, suite, secret, 'key', context, keySize),
    nonce: labeledExpand(p, suite, secret, 'base_nonce', context, 12),
  }
}

function labeledExtract(p: HpkeParameters, suite: Buffer, salt: Buffer, label: string, ikm: Uint8Array): Buffer {
  const key = salt.length > 0 ? salt : Buffer.alloc(p.hashSize)
  return createHmac(p.hash, key).update('HPKE-v1').update(suite).update(label).update(ikm).digest()
}

function labeledExpand(p: HpkeParameters, suite: Buffer, prk: Buffer, label: string, info: Buffer, size: number): Buffer {
  const labeled = Buffer.concat([i2osp(size), Buffer.from('HPKE-v1'), suite, Buffer.from(label), info])
  const out: Buffer[] = []
  for (let i = 1, block = Buffer.alloc(0); Buffer.concat(out).length < size; i++) {
    block = createHmac(p.hash, prk)
      .update(block)
      .update(labeled)
      .update(Buffer.from([i]))
      .digest()
    out.push(block)
  }
  return Buffer.concat(out).subarray(0, size)
}

function i2osp(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}
