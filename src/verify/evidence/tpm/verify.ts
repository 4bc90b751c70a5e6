import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import { check, type Now, unknown } from '../check.ts'
import type { Collateral } from '../collateral.ts'
import { checkMeasurement } from '../dcap/appraise.ts'
import { earliestFirst, type Forecast } from '../forecast.ts'
import { candidateKeys, checkAttributes, checkSignature } from './ak.ts'
import { appraiseQuote, type Wanted } from './appraise.ts'
import { parseAttest, type TpmQuote } from './attest.ts'
import { type AkTrust, checkAk, type TpmTrust } from './chain.ts'
import { describeAk, describeTpmQuote, type TpmClaims, type TpmParsed, tpmClaims, tpmParsed } from './claims.ts'
import { readCompanions } from './companions.ts'

/** Everything that {@link verifyTpmQuote} needs. Nothing is fetched, no clock is read. */
export interface TpmInput extends Wanted {
  /** TPMS_ATTEST or TPM2B_ATTEST. */
  readonly quote: Uint8Array
  /** Signature, PCR values, the key and its certificates. */
  readonly collateral: Collateral
  readonly trust: TpmTrust
  readonly now: Now
  /** The PCR digest that is wanted. */
  readonly measurement: Uint8Array | null
  readonly cache: VerifyCache
}

/** Every rule with its outcome. `claims` are not trusted until the checks are accepted. */
export interface TpmResult {
  readonly parsed: TpmParsed
  readonly claims: TpmClaims
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  /** What expires when. */
  readonly forecast: () => Forecast
}

const NOBODY: AkTrust = {
  checks: [unknown('chain.ak', 'attestation key that somebody vouches for', 'no key verifies the signature')],
  notChecked: [],
  certificate: null,
  simulated: false,
  dated: [],
}

/**
 * Checks a TPM 2.0 quote in the order of docs/formats/tpm.md: form, signature, the key that signed and who vouches for it, then
 * what the quote says.
 * @throws AttestError `EVIDENCE_*` for bytes that are no quote, and those of companions and event logs that cannot be read.
 * @see TPM 2.0 Library part 1 section 31, part 2 section 10.12, part 3 TPM2_Quote.
 */
export async function verifyTpmQuote(input: TpmInput): Promise<TpmResult> {
  const { collateral, trust, now, cache, measurement } = input
  const quote = parseAttest(input.quote)
  const companions = readCompanions(collateral)
  const keys = await candidateKeys(companions, collateral.certificates)
  const signed = await checkSignature(quote, companions.signatures, keys, cache)
  const { ak, signature } = signed
  const vouched = ak === null ? NOBODY : await checkAk(ak, collateral, trust, now, cache)
  const appraisal = await appraiseQuote(quote, signature, companions, input)
  const tpmPublic = ak?.tpmPublic ?? null
  const checks = [
    formatCheck(quote),
    signed.check,
    ...(tpmPublic === null ? [] : [checkAttributes(tpmPublic)]),
    ...vouched.checks,
    ...appraisal.checks,
    ...(measurement === null ? [] : [checkMeasurement(measurement, quote.pcrDigest)]),
  ]
  const fields = describeTpmQuote(quote, signature, companions.banks)
  const akFields = ak === null ? null : await describeAk(ak, vouched.certificate)
  return {
    parsed: tpmParsed(fields, akFields, appraisal),
    claims: tpmClaims(describeTpmQuote(quote, signature, appraisal.banks), akFields, appraisal, vouched.simulated),
    checks,
    notChecked: [...(tpmPublic === null ? ['ak-attributes'] : []), ...vouched.notChecked, ...appraisal.notChecked],
    forecast: () => ({ expiries: earliestFirst(vouched.dated), early: null }),
  }
}

export function formatCheck({ signed }: TpmQuote): Check {
  return check('format.tpm-quote', true, 'TPMS_ATTEST of a quote, made by a TPM', `${signed.length} bytes`)
}
