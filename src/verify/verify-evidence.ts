import type { Awaitable } from './crypto/types.ts'
import { AttestError } from './errors.ts'
import { createVerifyCache, type VerifyCache } from './evidence/cache.ts'
import { type Collateral, type CollateralItem, joinCollateral, loadCollateral } from './evidence/collateral.ts'
import { conclude, type Findings, isInputError, rejectMalformed } from './evidence/conclude.ts'
import type { Forecast } from './evidence/forecast.ts'
import { loadTrustAnchors, type TrustAnchors } from './evidence/trust-anchors.ts'
import type { VerifyOptions } from './evidence/types.ts'
import { type Unwrapped, unwrapEvidence } from './evidence/unwrap.ts'
import type { Check, Verdict } from './verdict.ts'
import { type EvidenceClaims, type EvidenceParsed, type FormatResult, verifyFormat } from './verify-format.ts'

/** `forecast`: what expires when; null unless it was asked for. */
export type EvidenceVerdict = Verdict<EvidenceParsed, EvidenceClaims> & { readonly forecast: Forecast | null }

/**
 * Proves that a TEE made this evidence, that its keys lead to a trusted root at `at`, that nothing is revoked and debugging
 * is off. Says nothing about whether the measurement is wanted, unless it was asked for: `notChecked` lists what was not.
 * @param input - Evidence as found: raw bytes, hex, base64, configfs-tsm JSON, or the format's own wrappers; at most 8 MiB.
 * @returns A verdict for whatever bytes. Claims exist on acceptance alone.
 * @throws AttestError `USAGE` for options that make no sense. Never for the input or the collateral.
 */
export async function verifyEvidence(input: Uint8Array, options: VerifyOptions): Promise<EvidenceVerdict> {
  assertOptions(options)
  const cache = options.cache ?? createVerifyCache()
  const notChecked = [...(options.nonce === undefined ? ['nonce'] : []), ...(options.measurement === undefined ? ['measurement'] : [])]
  let format = options.format === undefined || options.format === 'auto' ? 'unknown' : options.format
  try {
    const unwrapped = unwrapEvidence(input, options.format ?? 'auto')
    format = unwrapped.format
    return await verifyUnwrapped(unwrapped, options, notChecked, cache)
  } catch (error) {
    if (isInputError(error)) return { ...rejectMalformed<EvidenceParsed, EvidenceClaims>(format, error, notChecked), forecast: null }
    throw error
  }
}

async function verifyUnwrapped(
  { format, evidence, endorsements }: Unwrapped,
  options: VerifyOptions,
  notChecked: readonly string[],
  cache: VerifyCache,
): Promise<EvidenceVerdict> {
  const collateral = await loadAll(options.collateral, endorsements, cache)
  const early = options.forecast === undefined ? null : await loadCollateral(named('early', options.forecast.early), cache)
  const anchors = await loadAnchors(options.trustAnchors, cache)
  const result = await verifyFormat(format, evidence, { collateral, anchors, early, cache }, options)
  const unread = notChecked.concat(collateral.unrecognized, early?.unrecognized ?? [], result.notChecked)
  const found = new Found('format' in result ? result.format : format, result, unread)
  const verdict = conclude<EvidenceParsed, EvidenceClaims>(found, options.allowUnknown)
  return Object.assign(verdict, { forecast: options.forecast === undefined ? null : await result.forecast() })
}

/** A verdict in the making. It is put into words when it is asked for: most callers of a gateway never look at all of it. */
class Found implements Findings<EvidenceParsed, EvidenceClaims> {
  readonly format: string
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  readonly #result: FormatResult

  constructor(format: string, result: FormatResult, notChecked: readonly string[]) {
    this.format = format
    this.checks = result.checks
    this.notChecked = notChecked
    this.#result = result
  }

  get parsed(): EvidenceParsed {
    return this.#result.parsed
  }

  get claims(): EvidenceClaims {
    return this.#result.claims
  }
}

/** What the caller gave and what came with the evidence. */
function loadAll(given: VerifyOptions['collateral'], endorsements: readonly Uint8Array[], cache: VerifyCache): Awaitable<Collateral> {
  if (!('documents' in given)) {
    return loadCollateral([...named('collateral', given), ...named('evidence.certificates', endorsements)], cache)
  }
  return endorsements.length === 0 ? given : joinOwn(given, endorsements, cache)
}

async function joinOwn(given: Collateral, endorsements: readonly Uint8Array[], cache: VerifyCache): Promise<Collateral> {
  return joinCollateral(given, await loadCollateral(named('evidence.certificates', endorsements), cache))
}

function loadAnchors(given: VerifyOptions['trustAnchors'], cache: VerifyCache): Awaitable<TrustAnchors> {
  return 'roots' in given ? given : loadTrustAnchors(named('trust anchor', given), cache)
}

function named(kind: string, items: readonly Uint8Array[]): CollateralItem[] {
  return items.map((bytes, i) => ({ name: `${kind}[${i}]`, bytes }))
}

function assertOptions({ at, nonce, measurement }: VerifyOptions): void {
  if (Number.isNaN(at.getTime())) throw new AttestError('USAGE', 'the time to verify at is not a time')
  if (nonce?.length === 0) throw new AttestError('USAGE', 'an empty nonce proves nothing')
  if (measurement?.length === 0) throw new AttestError('USAGE', 'an empty measurement proves nothing')
}
