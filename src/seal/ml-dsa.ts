import * as z from 'zod'
import { fromBase64Url, toBase64Url } from '../verify/bytes/bytes.ts'
import { ML_DSA_65_PUBLIC_KEY_SIZE, ML_DSA_65_SEED_SIZE } from '../verify/crypto/ml-dsa.ts'
import type { Awaitable } from '../verify/crypto/types.ts'
import { bytesField } from '../verify/documents/fields.ts'
import type { MlDsaKey } from '../verify/documents/keys.ts'
import { AttestError } from '../verify/errors.ts'
import type { RandomBytes } from './secret.ts'

/** ML-DSA-65 private key as a JWK (RFC 9964 section 4). Never logged, never serialised except by the key files of a gateway. */
export interface MlDsaPrivateKey extends MlDsaKey {
  /** The seed (FIPS 204: xi), 32 bytes, base64url. */
  readonly priv: string
}

export const mlDsaPrivateKeySchema: z.ZodType<MlDsaPrivateKey> = z.strictObject({
  alg: z.literal('ML-DSA-65'),
  kty: z.literal('AKP'),
  pub: bytesField(ML_DSA_65_PUBLIC_KEY_SIZE),
  priv: bytesField(ML_DSA_65_SEED_SIZE),
})

/** Signs with ML-DSA-65 (FIPS 204 algorithm 2, empty context). */
export interface MlDsaSigner {
  readonly key: MlDsaKey
  readonly sign: (message: Uint8Array) => Awaitable<Uint8Array>
}

export function mlDsaPublicOf({ alg, kty, pub }: MlDsaKey): MlDsaKey {
  return { alg, kty, pub }
}

/** ML-DSA.KeyGen_internal (FIPS 204 algorithm 6). @param seed - 32 bytes from a generator fit for keys. */
export async function mlDsaKeyFromSeed(seed: Uint8Array): Promise<MlDsaPrivateKey> {
  const { publicKey, secretKey } = await expand(seed)
  secretKey.fill(0)
  return { alg: 'ML-DSA-65', kty: 'AKP', priv: toBase64Url(seed), pub: toBase64Url(publicKey) }
}

/**
 * A signer in JavaScript, for any runtime. It is not of constant time: where the runtime has ML-DSA, let that sign.
 * @param random - makes FIPS 204's rnd, 32 bytes for each signature; zeros give the deterministic variant.
 * @throws AttestError `DOCUMENT_INVALID` when the public half does not belong to the seed (RFC 9964 section 7.4).
 */
export async function mlDsaSigner(key: MlDsaPrivateKey, random: RandomBytes): Promise<MlDsaSigner> {
  const { ml_dsa65 } = await import('@noble/post-quantum/ml-dsa.js')
  const { publicKey, secretKey } = await expand(fromBase64Url(key.priv))
  if (toBase64Url(publicKey) !== key.pub) throw new AttestError('DOCUMENT_INVALID', 'the two halves of a key do not match')
  return { key: mlDsaPublicOf(key), sign: (message) => ml_dsa65.sign(message, secretKey, { extraEntropy: random(32) }) }
}

async function expand(seed: Uint8Array): Promise<{ readonly publicKey: Uint8Array; readonly secretKey: Uint8Array }> {
  const { ml_dsa65 } = await import('@noble/post-quantum/ml-dsa.js')
  return ml_dsa65.keygen(seed)
}
