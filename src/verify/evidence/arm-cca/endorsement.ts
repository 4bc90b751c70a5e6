import { type CoseSign1, verifySign1 } from '../../formats/cose.ts'
import { ecdsaSchemeOf } from '../../formats/ec-key.ts'
import { PUBLISHED_TEST_KEYS } from '../../trust/arm.ts'
import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import { check, unknown } from '../check.ts'
import { importFitting, type KeyBytes } from '../signed-by.ts'
import type { KeyAnchor } from '../trust-anchors.ts'

/** Who signed a token in the name of the platform. */
export interface Endorsement {
  /** Null when none of the named keys did. */
  readonly key: KeyAnchor | null
  /** The key is a published sample, or there is none. */
  readonly simulated: boolean
  readonly checks: readonly Check[]
}

/**
 * Finds the platform's attestation key among those that the caller named: Arm has no root, so an endorsement is a key that its
 * maker handed over. The token's own names of its platform choose nothing.
 * @param what - Name of the token in the rules.
 */
export async function findEndorsement(
  message: CoseSign1,
  named: readonly KeyAnchor[],
  what: 'platform' | 'psa',
  cache: VerifyCache,
): Promise<Endorsement> {
  const want = `${message.algorithm} by an attestation key that was named as trust anchor`
  const signature = `signature.${what}` as const
  const keys = named.filter((key) => !key.isTpm)
  if (keys.length === 0) {
    const none = 'no key was named: nobody vouches for this platform'
    return { key: null, simulated: true, checks: [unknown('chain.endorsement', want, none), unknown(signature, want, none)] }
  }
  for (const key of keys) {
    if (!(await isSignedWith(message, key, cache))) continue
    const simulated = PUBLISHED_TEST_KEYS.has(key.spkiSha256)
    const got = `${key.spkiSha256}${simulated ? ' (published sample)' : ''}`
    return { key, simulated, checks: [check('chain.endorsement', true, want, got), check(signature, true, want, 'verifies')] }
  }
  return { key: null, simulated: true, checks: [check(signature, false, want, `by none of ${keys.length} named`)] }
}

/** Whether a key made this signature; false for one of another kind than the message names. */
export async function isSignedWith(message: CoseSign1, key: KeyBytes, cache: VerifyCache): Promise<boolean> {
  if (ecdsaSchemeOf(key.spki) !== message.scheme) return false
  const handle = await importFitting(cache, message.scheme, key)
  return handle !== null && verifySign1(message, handle)
}
