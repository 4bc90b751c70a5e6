import { crypto } from '#crypto'
import type { SignatureScheme } from '../../crypto/types.ts'
import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import { check, unknown } from '../check.ts'
import { importFitting } from '../signed-by.ts'
import type { KeyAnchor } from '../trust-anchors.ts'
import type { Jwt } from './jwt.ts'

/** Algorithms of the issuers that are known here (RFC 7518 section 3.1). HS256 and `none` are no signatures by anybody. */
const SCHEMES: Readonly<Record<TokenAlgorithm, SignatureScheme>> = {
  ES384: 'ecdsa-p384-sha384',
  RS256: 'rsa-pkcs1-sha256',
  PS384: 'rsa-pss-sha384',
}
export type TokenAlgorithm = 'ES384' | 'RS256' | 'PS384'

/** Those whom the caller trusts to sign, and what an issuer signs with. */
export interface Signers {
  readonly keys: readonly KeyAnchor[]
  readonly algorithms: readonly TokenAlgorithm[]
}

const NO_SIGNERS = 'no signers were named'

/**
 * Why none of the named keys signed: wanted is the one that the token names, with an algorithm that its issuer uses. Null when it
 * did.
 */
async function findFault(jwt: Jwt, { keys, algorithms }: Signers, cache: VerifyCache): Promise<string | null> {
  const algorithm = algorithms.find((name) => name === jwt.alg)
  if (algorithm === undefined) return `alg ${JSON.stringify(jwt.alg)}`
  if (keys.length === 0) return NO_SIGNERS
  const named = keys.filter((key) => key.kid !== null && key.kid === jwt.kid && (key.alg === null || key.alg === algorithm))
  if (named.length === 0) return `key ${JSON.stringify(jwt.kid)} is none of the ${keys.length} named`
  for (const key of named) {
    const handle = await importFitting(cache, SCHEMES[algorithm], key)
    if (handle !== null && (await crypto.verify(handle, jwt.signature, jwt.signed))) return null
  }
  return 'does not verify'
}

/** One rule over one token or several: the first that does not hold decides. */
export async function signatureCheck(
  rule: Check['rule'],
  tokens: readonly (readonly [name: string, jwt: Jwt])[],
  signers: Signers,
  cache: VerifyCache,
): Promise<Check> {
  const want = `${signers.algorithms.join(' or ')} by a key of a set that was named as trust anchor`
  for (const [name, jwt] of tokens) {
    const fault = await findFault(jwt, signers, cache)
    if (fault === NO_SIGNERS) return unknown(rule, want, fault)
    if (fault !== null) return check(rule, false, want, `${name}: ${fault}`)
  }
  return check(rule, true, want, tokens.length === 1 ? 'verifies' : `${tokens.length} verify`)
}
