import { AttestError } from './errors.ts'
import { rootAnchor } from './evidence/authority.ts'
import { createVerifyCache, remember, type VerifyCache } from './evidence/cache.ts'
import { nowAt } from './evidence/check.ts'
import { type CollateralItem, loadCollateral } from './evidence/collateral.ts'
import { conclude, isInputError, rejectMalformed } from './evidence/conclude.ts'
import { dcapRoots } from './evidence/dcap/roots.ts'
import { snpRoots } from './evidence/sev-snp/chain.ts'
import type { SnpClaims, SnpParsed } from './evidence/sev-snp/claims.ts'
import { verifyReport } from './evidence/sev-snp/verify.ts'
import type { SgxClaims, SgxParsed } from './evidence/sgx/claims.ts'
import { type SgxResult, verifySgxQuote } from './evidence/sgx/verify.ts'
import type { TdxClaims, TdxParsed } from './evidence/tdx/claims.ts'
import { type TdxResult, verifyTdxQuote } from './evidence/tdx/verify.ts'
import type { Format, VerifyOptions } from './evidence/types.ts'
import { type Unwrapped, unwrapEvidence } from './evidence/unwrap.ts'
import type { Anchor } from './trust/anchor.ts'
import type { Group, Verdict } from './verdict.ts'

/** What was read and what is proven, by format. */
export type EvidenceParsed = SnpParsed | TdxParsed | SgxParsed
export type EvidenceClaims = SnpClaims | TdxClaims | SgxClaims
export type EvidenceVerdict = Verdict<EvidenceParsed, EvidenceClaims>

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
    if (isInputError(error)) return rejectMalformed(format, error, notChecked)
    throw error
  }
}

async function verifyUnwrapped(
  { format, evidence, endorsements }: Unwrapped,
  options: VerifyOptions,
  notChecked: readonly string[],
  cache: VerifyCache,
): Promise<EvidenceVerdict> {
  const items = [...named('collateral', options.collateral), ...named('evidence.certificates', endorsements)]
  const collateral = await loadCollateral(items, cache)
  const anchors = await loadAnchors(options.trustAnchors, cache)
  const at = options.at.getTime()
  const common = { collateral, nonce: options.nonce ?? null, measurement: options.measurement ?? null, cache }
  const unread = [...notChecked, ...collateral.unrecognized]
  if (format === 'tdx') {
    const { tdx: requirements = {}, eventLogs = [] } = options
    const result = await verifyTdxQuote({ ...common, quote: evidence, roots: dcapRoots(anchors), at, early: null, requirements, eventLogs })
    return concludeQuote(format, result, unread, options.allowUnknown)
  }
  if (format === 'sgx') {
    const { sgx: requirements = {} } = options
    const result = await verifySgxQuote({ ...common, quote: evidence, roots: dcapRoots(anchors), at, early: null, requirements })
    return concludeQuote(format, result, unread, options.allowUnknown)
  }
  const requirements = options.sevSnp ?? {}
  const result = await verifyReport({ ...common, report: evidence, roots: snpRoots(anchors), now: nowAt(at), requirements })
  return conclude({ format, ...result, notChecked: unread }, options.allowUnknown)
}

function concludeQuote(
  format: Format,
  { parsed, claims, checks, notChecked }: TdxResult | SgxResult,
  unread: readonly string[],
  allow: readonly Group[],
): EvidenceVerdict {
  return conclude({ format, parsed, claims, checks, notChecked: [...unread, ...notChecked] }, allow)
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
