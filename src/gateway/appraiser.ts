import { z } from 'zod'
import { appraisePolicy } from '../verify/appraise/index.ts'
import type { EvidenceBundle } from '../verify/documents/evidence-bundle.ts'
import { countField, parseDocument, textField } from '../verify/documents/fields.ts'
import type { Policy } from '../verify/documents/policy.ts'
import type { AttestationResult } from '../verify/documents/statement.ts'
import { createVerifyCache, type VerifyCache } from '../verify/evidence/cache.ts'
import { encodeCanonical, type Json } from '../verify/formats/canonical-json.ts'
import { accepts, type Check, type Verified } from '../verify/verdict.ts'
import { type BundleClaims, type BundleOptions, verifyBundle } from '../verify/verify-bundle.ts'
import type { Clock } from './clock.ts'

/** What the gateway made of evidence, as it is kept and told. */
export interface Appraisal {
  readonly accepted: boolean
  readonly authentic: boolean
  readonly format: string
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  /** Null unless accepted. */
  readonly claims: Json | null
  /** What verified evidence says, accepted by policy or not; the format alone when it did not verify. */
  readonly tee: string
  readonly measurement: string | null
  readonly bindingGrade: string
  readonly simulated: boolean
  /** Seconds since the epoch, the gateway's clock. */
  readonly at: number
}

export interface Appraised {
  readonly appraisal: Appraisal
  /** Certificates, CRLs, OCSP responses and vendors' documents that were used beside those of the evidence. */
  readonly collateral: readonly Uint8Array[]
  /** Null unless accepted. */
  readonly claims: Verified<BundleClaims> | null
}

/** What is asked of the evidence beside its being genuine. */
export interface Demand extends Pick<BundleOptions, 'role' | 'nonce' | 'job' | 'allowUnknown' | 'sevSnp' | 'tdx' | 'sgx' | 'nvidia'> {
  /** Every one must hold. */
  readonly policies: readonly Policy[]
  /** Rules of the gateway's own, about claims that verified. */
  readonly also?: (claims: BundleClaims) => readonly Check[]
}

/** Where an appraiser gets certificates, CRLs and documents beside those of the evidence. */
export type CollateralSource = (bundle: EvidenceBundle) => Promise<readonly Uint8Array[]>

/** Verifies and appraises evidence with the collateral and simulated roots of this gateway. */
export class Appraiser {
  readonly #clock: Clock
  readonly #trustAnchors: readonly Uint8Array[]
  readonly #cache: VerifyCache = createVerifyCache()
  readonly #source: CollateralSource

  constructor(clock: Clock, source: CollateralSource, trustAnchors: readonly Uint8Array[]) {
    this.#clock = clock
    this.#source = source
    this.#trustAnchors = trustAnchors
  }

  async appraise(bundle: EvidenceBundle, { policies, also, ...wanted }: Demand): Promise<Appraised> {
    const collateral = await this.#source(bundle)
    const at = new Date(this.#clock.now())
    const verdict = await verifyBundle(bundle, {
      ...wanted,
      at,
      collateral,
      trustAnchors: this.#trustAnchors,
      cache: this.#cache,
    })
    const verified = verdict.decision === 'accept' ? verdict.claims : null
    const more =
      verified === null ? [] : [...(also?.(verified) ?? []), ...policies.flatMap((policy) => appraisePolicy(verified, policy, at))]
    const checks = [...verdict.checks, ...more]
    const claims = accepts(checks) ? verified : null
    const appraisal: Appraisal = {
      accepted: claims !== null,
      authentic: verdict.authentic,
      format: bundle.cpu.format.slice(0, 32) || 'unknown',
      checks,
      notChecked: verdict.notChecked,
      claims: claims as Json | null,
      tee: verified?.tee ?? (bundle.cpu.format.slice(0, 32) || 'unknown'),
      measurement: verified?.measurement ?? null,
      bindingGrade: verified?.bindingGrade ?? 'none',
      simulated: verified?.simulated ?? false,
      at: Math.floor(at.getTime() / 1000),
    }
    return { appraisal, collateral, claims }
  }
}

/** An appraisal in the words of EAR. @param verifier - Name and version of this gateway. */
export function attestationResult(
  { accepted, simulated, tee, measurement, bindingGrade, at }: Appraisal,
  verifier: string,
): AttestationResult {
  const status = accepted ? 'affirming' : 'contraindicated'
  return { profile: 'tag:ietf.org,2026:rats/ear#01', verifier, iat: at, status, tee, measurement, bindingGrade, simulated }
}

const checkSchema = z.strictObject({
  rule: z.string() as unknown as z.ZodType<Check['rule']>,
  outcome: z.enum(['pass', 'fail', 'unknown']),
  allowed: z.literal(true).optional(),
  want: z.string(),
  got: z.string(),
})

const schema = z.strictObject({
  accepted: z.boolean(),
  authentic: z.boolean(),
  format: textField(32),
  checks: z.array(checkSchema),
  notChecked: z.array(z.string()),
  claims: z.json().nullable(),
  tee: textField(32),
  measurement: z.string().nullable(),
  bindingGrade: textField(32),
  simulated: z.boolean(),
  at: countField(),
}) as unknown as z.ZodType<Appraisal>

/** Largest kept appraisal, in bytes. */
const MAX_SIZE = 1024 * 1024

export function encodeAppraisal(appraisal: Appraisal): Uint8Array {
  return encodeCanonical(appraisal as unknown as Json)
}

export function parseAppraisal(bytes: Uint8Array): Appraisal {
  return parseDocument('appraisal', schema, bytes, MAX_SIZE)
}
