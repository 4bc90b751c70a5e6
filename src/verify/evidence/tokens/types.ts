import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import type { Now } from '../check.ts'
import type { Forecast } from '../forecast.ts'
import type { KeyAnchor } from '../trust-anchors.ts'
import type { TokenClaims, TokenParsed } from './claims.ts'

/** Rules for tokens that a caller may add. */
export interface TokenRequirements {
  /** The `iss` that is wanted. Azure's tokens are accepted with it alone: anybody can have a service of Azure's with a policy of his own. */
  readonly issuer?: string
  /** How many devices NVIDIA's service must have seen. */
  readonly deviceCount?: number
}

/** Everything that {@link verifyToken} needs. */
export interface TokenInput {
  readonly token: Uint8Array
  /** Keys of the service, as its JWK set names them. */
  readonly keys: readonly KeyAnchor[]
  readonly now: Now
  readonly nonce: Uint8Array | null
  readonly measurement: Uint8Array | null
  readonly requirements: TokenRequirements
  readonly cache: VerifyCache
}

/** Every rule with its outcome. `claims` are not trusted until the checks are accepted. */
export interface TokenResult {
  readonly parsed: TokenParsed
  readonly claims: TokenClaims
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  readonly forecast: () => Forecast
}
