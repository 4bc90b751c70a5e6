import type { Awaitable } from './crypto/types.ts'
import { AttestError } from './errors.ts'
import { rootAnchor } from './evidence/authority.ts'
import { createVerifyCache, remember, type VerifyCache } from './evidence/cache.ts'
import { nowAt } from './evidence/check.ts'
import { type Collateral, type CollateralItem, joinCollateral, loadCollateral } from './evidence/collateral.ts'
import { conclude, type Findings, isInputError, rejectMalformed } from './evidence/conclude.ts'
import { dcapRoots } from './evidence/dcap/roots.ts'
import type { Forecast } from './evidence/forecast.ts'
import type { DeviceClaims, DeviceParsed } from './evidence/nvidia/claims.ts'
import { type DevicesClaims, type DevicesParsed, type DevicesResult, verifyDevices } from './evidence/nvidia/devices.ts'
import { nvidiaRoots } from './evidence/nvidia/roots.ts'
import { snpRoots } from './evidence/sev-snp/chain.ts'
import type { SnpClaims, SnpParsed } from './evidence/sev-snp/claims.ts'
import { type SnpResult, verifyReport } from './evidence/sev-snp/verify.ts'
import type { SgxClaims, SgxParsed } from './evidence/sgx/claims.ts'
import { type SgxResult, verifySgxQuote } from './evidence/sgx/verify.ts'
import type { TdxClaims, TdxParsed } from './evidence/tdx/claims.ts'
import { type TdxInput, type TdxResult, verifyTdxQuote } from './evidence/tdx/verify.ts'
import type { Format, VerifyOptions } from './evidence/types.ts'
import { type Unwrapped, unwrapEvidence } from './evidence/unwrap.ts'
import type { Anchor } from './trust/anchor.ts'
import type { Check, Verdict } from './verdict.ts'

/** What was read and what is proven, by format. */
export type EvidenceParsed = SnpParsed | TdxParsed | SgxParsed | DeviceParsed | DevicesParsed
export type EvidenceClaims = SnpClaims | TdxClaims | SgxClaims | DeviceClaims | DevicesClaims
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
  const verdict = conclude<EvidenceParsed, EvidenceClaims>(new Found(format, result, unread), options.allowUnknown)
  return Object.assign(verdict, { forecast: options.forecast === undefined ? null : await result.forecast() })
}

/** What a format's verifier came to. It is put into words when it is asked for: most callers of a gateway never look at all of it. */
type FormatResult = SnpResult | TdxResult | SgxResult | DevicesResult

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

/** What every format is verified with, beside what was asked for. */
interface Loaded extends Pick<TdxInput, 'collateral' | 'early' | 'cache'> {
  readonly anchors: readonly Anchor[]
}

function verifyFormat(format: Format, evidence: Uint8Array, loaded: Loaded, options: VerifyOptions): Promise<FormatResult> {
  const { collateral, anchors, early, cache } = loaded
  const { nonce = null, measurement = null } = options
  const at = options.at.getTime()
  if (format === 'tdx') {
    const { tdx: requirements = NONE, eventLogs = NO_LOGS } = options
    const roots = dcapRoots(anchors)
    return verifyTdxQuote({ quote: evidence, collateral, roots, at, nonce, measurement, eventLogs, early, requirements, cache })
  }
  if (format === 'sgx') {
    const { sgx: requirements = NONE } = options
    return verifySgxQuote({ quote: evidence, collateral, roots: dcapRoots(anchors), at, nonce, measurement, early, requirements, cache })
  }
  if (format === 'nvidia-gpu' || format === 'nvidia-switch') {
    const { nvidia: requirements = NONE } = options
    const kind = format === 'nvidia-gpu' ? 'gpu' : 'switch'
    return verifyDevices({ kind, evidence, collateral, roots: nvidiaRoots(anchors), at, nonce, measurement, requirements, cache })
  }
  const { sevSnp: requirements = NONE } = options
  return verifyReport({ report: evidence, collateral, roots: snpRoots(anchors), now: nowAt(at), nonce, measurement, requirements, cache })
}

const NONE = {}
const NO_LOGS: readonly Uint8Array[] = []
const NO_ANCHORS: readonly Anchor[] = []

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

async function loadAnchors(given: VerifyOptions['trustAnchors'], cache: VerifyCache): Promise<readonly Anchor[]> {
  if ('length' in given && given.length === 0) return NO_ANCHORS
  const anchors = 'certificates' in given ? given : await loadCollateral(named('trust anchor', given), cache)
  const [stranger] = anchors.unrecognized
  if (stranger !== undefined) throw new AttestError('CERTIFICATE_MALFORMED', 'not a certificate', { at: stranger })
  return remember(cache, `anchors:${anchors.id}`, 0, () => anchors.certificates.map(rootAnchor))
}

function named(kind: string, items: readonly Uint8Array[]): CollateralItem[] {
  return items.map((bytes, i) => ({ name: `${kind}[${i}]`, bytes }))
}

function assertOptions({ at, nonce, measurement }: VerifyOptions): void {
  if (Number.isNaN(at.getTime())) throw new AttestError('USAGE', 'the time to verify at is not a time')
  if (nonce?.length === 0) throw new AttestError('USAGE', 'an empty nonce proves nothing')
  if (measurement?.length === 0) throw new AttestError('USAGE', 'an empty measurement proves nothing')
}
