import { equal, fromHex } from '../bytes/bytes.ts'
import type { SignatureScheme } from './types.ts'

export type Curve = 'P-256' | 'P-384'

/** SubjectPublicKeyInfo of an uncompressed point up to its coordinates (RFC 5480 section 2), and the size of the whole in bytes. */
export const EC_SPKI: Readonly<Record<Curve, { readonly prefix: Uint8Array; readonly size: number }>> = {
  'P-256': { prefix: fromHex('3059301306072a8648ce3d020106082a8648ce3d03010703420004'), size: 91 },
  'P-384': { prefix: fromHex('3076301006072a8648ce3d020106052b8104002203620004'), size: 120 },
}

const CURVE_OF: Partial<Record<SignatureScheme, Curve>> = { 'ecdsa-p256-sha256': 'P-256', 'ecdsa-p384-sha384': 'P-384' }

/** Whether a key is a point in the one encoding that both backends read alike. Whether it lies on the curve is for the import. */
export function isPointOn(curve: Curve, spki: Uint8Array): boolean {
  const { prefix, size } = EC_SPKI[curve]
  return spki.length === size && equal(spki.subarray(0, prefix.length), prefix)
}

/** The same for the curve of a scheme; true for schemes without one. */
export function isCurveOf(scheme: SignatureScheme, spki: Uint8Array): boolean {
  const curve = CURVE_OF[scheme]
  return curve === undefined || isPointOn(curve, spki)
}
