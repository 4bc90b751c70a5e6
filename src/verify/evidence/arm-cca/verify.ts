import { crypto } from '#crypto'
import { equal, toHex } from '../../bytes/bytes.ts'
import { spkiOfCoseKey, spkiOfUncompressedPoint } from '../../formats/ec-key.ts'
import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import { check } from '../check.ts'
import type { Forecast } from '../forecast.ts'
import type { KeyAnchor } from '../trust-anchors.ts'
import { appraiseCca, appraisePsa, type CcaRequirements } from './appraise.ts'
import { type CcaClaims, type CcaParsed, ccaClaims, describeCca, describePsa, type PsaClaims, type PsaParsed, psaClaims } from './claims.ts'
import { findEndorsement, isSignedWith } from './endorsement.ts'
import { HASHES } from './layout.ts'
import { type CcaToken, parseCcaToken } from './parse.ts'
import { looksLikePsa, parsePsaToken } from './psa.ts'

/** Everything that {@link verifyCca} needs. Nothing is fetched; no certificates and no clock are involved. */
export interface CcaInput {
  /** CCA attestation token (tag 399) or PSA attestation token (COSE_Sign1), at most 64 KiB. */
  readonly token: Uint8Array
  /** Attestation keys of platforms that the caller trusts. */
  readonly keys: readonly KeyAnchor[]
  /** Wanted as the realm's challenge (PSA: the nonce), zero-padded on the right. */
  readonly nonce: Uint8Array | null
  /** Wanted as the realm initial measurement. */
  readonly measurement: Uint8Array | null
  readonly requirements: CcaRequirements
  readonly cache: VerifyCache
}

/** Every rule with its outcome. `claims` are not trusted until the checks are accepted. */
export interface CcaResult {
  readonly parsed: CcaParsed | PsaParsed
  readonly claims: CcaClaims | PsaClaims
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  readonly forecast: () => Forecast
}

/**
 * Checks a token of Arm CCA in the order of docs/formats/arm-cca.md: form, platform signature, realm signature, binding of the
 * two, lifecycle, then what is wanted of it. A PSA token, which has no realm, is told apart by content.
 * @throws AttestError for bytes that are no token.
 * @see Arm DEN0137 section A7.2, RFC 9783 (PSA).
 */
export async function verifyCca(input: CcaInput): Promise<CcaResult> {
  if (looksLikePsa(input.token)) return verifyPsa(input)
  const token = parseCcaToken(input.token)
  const { platform, realm } = token
  const endorsement = await findEndorsement(platform.message, input.keys, 'platform', input.cache)
  const parsed = describeCca(token)
  const checks = [
    check('format.token', true, 'CCA token: platform and realm', platform.claims.profile),
    ...endorsement.checks,
    await realmSignatureCheck(token, input.cache),
    await realmKeyCheck(token),
    ...appraiseCca(token, input),
  ]
  const strangers = [...named('platform', platform.claims.strangers), ...named('realm', realm.claims.strangers)]
  const notChecked = ['revocation', ...strangers]
  return { parsed, claims: ccaClaims(parsed, endorsement.simulated), checks, notChecked, forecast }
}

async function verifyPsa(input: CcaInput): Promise<CcaResult> {
  const token = parsePsaToken(input.token)
  const endorsement = await findEndorsement(token.message, input.keys, 'psa', input.cache)
  const parsed = describePsa(token)
  const checks = [check('format.token', true, 'PSA token', token.profile), ...endorsement.checks, ...appraisePsa(token, input)]
  const notChecked = ['revocation', ...named('psa', token.strangers)]
  return { parsed, claims: psaClaims(parsed, endorsement.simulated), checks, notChecked, forecast }
}

/** The realm's key is in the very token that it signs: this alone proves nothing, see {@link realmKeyCheck}. */
async function realmSignatureCheck({ realm }: CcaToken, cache: VerifyCache): Promise<Check> {
  const { message, claims } = realm
  const spki = claims.profile === null ? spkiOfUncompressedPoint(claims.publicKey, KEY) : spkiOfCoseKey(claims.publicKey, KEY)
  const spkiSha256 = await crypto.digestHex('SHA-256', spki)
  const holds = await isSignedWith(message, { spki, spkiSha256 }, cache)
  return check('signature.realm', holds, `${message.algorithm} by the realm attestation key`, holds ? 'verifies' : 'does not verify')
}

const KEY = 'cca.realm.claims.44237'

/** The platform vouches for the realm's key by its challenge: the hash of the claim exactly as it was carried. */
async function realmKeyCheck({ platform, realm }: CcaToken): Promise<Check> {
  const { publicKey, publicKeyHashAlgorithm } = realm.claims
  const want = await crypto.digest(HASHES[publicKeyHashAlgorithm], publicKey)
  const { challenge } = platform.claims
  const text = `${publicKeyHashAlgorithm} of the realm key: ${toHex(want)}`
  return check('chain.realm-key', equal(want, challenge), text, toHex(challenge))
}

function named(part: string, strangers: readonly (number | string)[]): readonly string[] {
  return strangers.map((key) => `${part} claim ${key}`)
}

function forecast(): Forecast {
  return { expiries: [], early: null }
}
