import { concat, equal, fromHex } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'

/** Sizes of ML-DSA-65 in bytes (FIPS 204 table 2; the seed: RFC 9964 section 4). */
export const ML_DSA_65_SEED_SIZE = 32
export const ML_DSA_65_PUBLIC_KEY_SIZE = 1952
export const ML_DSA_65_SIGNATURE_SIZE = 3309

/** SubjectPublicKeyInfo of id-ml-dsa-65, without parameters, up to the key (RFC 9881 section 4). */
const SPKI_PREFIX = fromHex('308207b2300b0609608648016503040312038207a100')

/** An ML-DSA-65 public key as both backends import it. */
export function mlDsaSpki(publicKey: Uint8Array): Uint8Array {
  return concat(SPKI_PREFIX, publicKey)
}

/**
 * The key inside of an SPKI. Every string of 1952 bytes is a key (FIPS 204 algorithm 23), so that a runtime which does not take
 * one of this form has no ML-DSA.
 * @throws AttestError `CERTIFICATE_MALFORMED` for any other form.
 */
export function mlDsaPublicKey(spki: Uint8Array): Uint8Array {
  if (spki.length !== SPKI_PREFIX.length + ML_DSA_65_PUBLIC_KEY_SIZE || !equal(spki.subarray(0, SPKI_PREFIX.length), SPKI_PREFIX)) {
    throw new AttestError('CERTIFICATE_MALFORMED', 'public key does not fit ml-dsa-65')
  }
  return spki.slice(SPKI_PREFIX.length)
}

/** ML-DSA-65 in JavaScript, for runtimes without it. Loaded only where a key is there to check with. */
export class ScriptKey {
  readonly verify: (signature: Uint8Array, data: Uint8Array) => boolean

  private constructor(verify: ScriptKey['verify']) {
    this.verify = verify
  }

  static async import(publicKey: Uint8Array): Promise<ScriptKey> {
    const { ml_dsa65 } = await import('@noble/post-quantum/ml-dsa.js')
    return new ScriptKey((signature, data) => ml_dsa65.verify(signature, data, publicKey))
  }
}
