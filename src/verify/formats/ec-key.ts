import { concat } from '../bytes/bytes.ts'
import { EC_SPKI, isPointOn } from '../crypto/ec-spki.ts'
import type { SignatureScheme } from '../crypto/types.ts'
import { AttestError } from '../errors.ts'
import { decodeCbor } from './cbor.ts'
import { CborFields } from './cbor-fields.ts'

const UNCOMPRESSED = 0x04

/** SubjectPublicKeyInfo of a point x‖y by the length of its coordinates: P-256 or P-384. Whether it is on the curve is for the import. */
export function spkiOfPoint(coordinates: Uint8Array, at: string): Uint8Array {
  if (coordinates.length === 64) return concat(EC_SPKI['P-256'].prefix, coordinates)
  if (coordinates.length === 96) return concat(EC_SPKI['P-384'].prefix, coordinates)
  throw new AttestError('DOCUMENT_INVALID', 'want a point of P-256 or P-384', { at })
}

/** SubjectPublicKeyInfo of an uncompressed point (SEC 1 section 2.3.3). */
export function spkiOfUncompressedPoint(point: Uint8Array, at: string): Uint8Array {
  if (point[0] !== UNCOMPRESSED) throw new AttestError('DOCUMENT_INVALID', 'want an uncompressed point', { at })
  return spkiOfPoint(point.subarray(1), at)
}

/** ECDSA over the key's own curve; null for a key of any other kind. */
export function ecdsaSchemeOf(spki: Uint8Array): SignatureScheme | null {
  if (isPointOn('P-384', spki)) return 'ecdsa-p384-sha384'
  return isPointOn('P-256', spki) ? 'ecdsa-p256-sha256' : null
}

/** RFC 9052 section 7.1, RFC 9053 section 7.1.1. */
const COSE_KEY = { kty: 1, kid: 2, alg: 3, keyOps: 4, crv: -1, x: -2, y: -3 } as const
const KTY_EC2 = 2
/** Curve and length of its coordinates. */
const COSE_CURVES: Readonly<Record<number, number>> = { 1: 32, 2: 48 }
const MAX_COSE_KEY_SIZE = 1024

/**
 * SubjectPublicKeyInfo of a COSE_Key with an elliptic curve point, both coordinates written out.
 * @throws AttestError those of `decodeCbor`, `DOCUMENT_INVALID`, `EVIDENCE_UNSUPPORTED` (kind of key).
 */
export function spkiOfCoseKey(input: Uint8Array, at: string): Uint8Array {
  const key = new CborFields(decodeCbor(input, at, { maxSize: MAX_COSE_KEY_SIZE }), at)
  const size = COSE_CURVES[key.has(COSE_KEY.crv) ? key.integer(COSE_KEY.crv, 0, 0xffff) : 0]
  const isKnown = key.strangers(Object.values(COSE_KEY)).length === 0
  if (key.integer(COSE_KEY.kty, 0, 0xffff) !== KTY_EC2 || size === undefined || !isKnown)
    throw new AttestError('EVIDENCE_UNSUPPORTED', 'want a COSE_Key of kind EC2 on P-256 or P-384', { at })
  return spkiOfPoint(concat(key.bytes(COSE_KEY.x, [size]), key.bytes(COSE_KEY.y, [size])), at)
}
