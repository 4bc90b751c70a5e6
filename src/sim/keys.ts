import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

/** A private key with its certificate. */
export interface SimulatedKey {
  /** PKCS #8 DER. */
  readonly key: Uint8Array
  /** DER. */
  readonly certificate: Uint8Array
}

export type Curve = 'P-256' | 'P-384'

/** A fresh key, PKCS #8 DER. */
export function generateEcKey(namedCurve: Curve): Uint8Array {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve })
  return new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' }))
}

/** DER SubjectPublicKeyInfo. @param pkcs8 - PKCS #8 DER. */
export function spkiOf(pkcs8: Uint8Array): Uint8Array {
  return new Uint8Array(createPublicKey(privateKey(pkcs8)).export({ format: 'der', type: 'spki' }))
}

/** The public point as it stands at the end of its SubjectPublicKeyInfo: 04 ‖ x ‖ y. */
export function pointOf(spki: Uint8Array, curve: Curve): Uint8Array {
  return spki.slice(spki.length - (curve === 'P-256' ? 65 : 97))
}

/** ECDSA with the curve's own hash. @returns r ‖ s, or the DER that certificates and OCSP answers carry. */
export function signEcdsa(data: Uint8Array, pkcs8: Uint8Array, curve: Curve, encoding: 'ieee-p1363' | 'der' = 'ieee-p1363'): Uint8Array {
  const hash = curve === 'P-256' ? 'sha256' : 'sha384'
  return new Uint8Array(sign(hash, data, { key: privateKey(pkcs8), dsaEncoding: encoding }))
}

export function digest(hash: 'sha1' | 'sha256' | 'sha384', data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(hash).update(data).digest())
}

function privateKey(pkcs8: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' })
}
