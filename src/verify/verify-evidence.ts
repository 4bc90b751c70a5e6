import { AttestError } from './errors.ts'
import { rootAnchor } from './evidence/authority.ts'
import { createVerifyCache, remember, type VerifyCache } from './evidence/cache.ts'
import { nowAt } from './evidence/check.ts'
import { type Collateral, type CollateralItem, joinCollateral, loadCollateral } from './evidence/collateral.ts'
import { conclude, isInputError, rejectMalformed } from './evidence/conclude.ts'
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
import type { Verdict } from './verdict.ts'

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
  const at = options.at.getTime()
  const common = { collateral, nonce: options.nonce ?? null, measurement: options.measurement ?? null, cache }
  const result = await verifyFormat(format, evidence, { ...common, anchors, at, early }, options)
  const unread = [...notChecked, ...collateral.unrecognized, ...(early?.unrecognized ?? [])]
  // Getters, since most callers of a gateway never look at all that was read.
  const findings = {
    format,
    checks: result.checks,
    notChecked: [...unread, ...result.notChecked],
    get parsed(): EvidenceParsed {
      return result.parsed
    },
    get claims(): EvidenceClaims {
      return result.claims
    },
  }
  const forecast = options.forecast === undefined ? null : await result.forecast()
  return Object.assign(conclude(findings, options.allowUnknown), { forecast })
}

/** What every format is verified with. */
interface Common extends Pick<TdxInput, 'collateral' | 'nonce' | 'measurement' | 'cache' | 'at' | 'early'> {
  readonly anchors: readonly Anchor[]
}

function verifyFormat(
  format: Format,
  evidence: Uint8Array,
  common: Common,
  { sevSnp = {}, tdx = {}, sgx = {}, nvidia = {}, eventLogs = [] }: VerifyOptions,
): Promise<SnpResult | TdxResult | SgxResult | DevicesResult> {
  const { anchors, at } = common
  if (format === 'tdx') return verifyTdxQuote({ ...common, quote: evidence, roots: dcapRoots(anchors), requirements: tdx, eventLogs })
  if (format === 'sgx') return verifySgxQuote({ ...common, quote: evidence, roots: dcapRoots(anchors), requirements: sgx })
  if (format === 'nvidia-gpu' || format === 'nvidia-switch') {
    const kind = format === 'nvidia-gpu' ? 'gpu' : 'switch'
    return verifyDevices({ ...common, kind, evidence, roots: nvidiaRoots(anchors), requirements: nvidia })
  }
  return verifyReport({ ...common, report: evidence, roots: snpRoots(anchors), now: nowAt(at), requirements: sevSnp })
}

/** What the caller gave and what came with the evidence. */
async function loadAll(given: VerifyOptions['collateral'], endorsements: readonly Uint8Array[], cache: VerifyCache): Promise<Collateral> {
  const own = named('evidence.certificates', endorsements)
  if (!('documents' in given)) return loadCollateral([...named('collateral', given), ...own], cache)
  return own.length === 0 ? given : joinCollateral(given, await loadCollateral(own, cache))
}

async function loadAnchors(trustAnchors: readonly Uint8Array[], cache: VerifyCache): Promise<readonly Anchor[]> {
  if (trustAnchors.length === 0) return []
  const anchors = await loadCollateral(named('trust anchor', trustAnchors), cache)
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
