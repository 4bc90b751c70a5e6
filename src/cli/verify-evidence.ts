import { type AppraisedClaims, appraisePolicy, type Leniency, leniencyOf } from '../verify/appraise/index.ts'
import { equal, fromHex, toHex } from '../verify/bytes/bytes.ts'
import { parseBinding } from '../verify/documents/binding.ts'
import { parseEvidenceBundle } from '../verify/documents/evidence-bundle.ts'
import { type Policy, parsePolicy } from '../verify/documents/policy.ts'
import { AttestError } from '../verify/errors.ts'
import { createVerifyCache } from '../verify/evidence/cache.ts'
import { check } from '../verify/evidence/check.ts'
import { loadCollateral, MAX_COLLATERAL_SIZE } from '../verify/evidence/collateral.ts'
import { oldestTime } from '../verify/evidence/collateral-time.ts'
import { conclude, isInputError, rejectMalformed } from '../verify/evidence/conclude.ts'
import type { Forecast } from '../verify/evidence/forecast.ts'
import { MAX_EVENT_LOG_SIZE } from '../verify/evidence/tdx/event-log/tcg-log.ts'
import { isBundle } from '../verify/evidence/unwrap.ts'
import { type Check, exitCodeOf, type Group, type Verdict, type Verified } from '../verify/verdict.ts'
import { type BundleClaims, evaluationNumberOf, verifyBundle } from '../verify/verify-bundle.ts'
import { verifyEvidence } from '../verify/verify-evidence.ts'
import { type CpuClaims, type EvidenceClaims, isCpuClaims } from '../verify/verify-format.ts'
import type { VerifyCommand } from './commands/verify.ts'
import { type NamedFile, readEvidence, readPaths, readUpTo } from './evidence-files.ts'
import type { Output } from './output.ts'
import { type Outlook, verdictLines } from './verdict-lines.ts'

const MAX_POLICY_SIZE = 256 * 1024
/** Formats whose registers an event log accounts for. */
const REPLAYED: readonly string[] = ['tdx', 'tpm', 'azure-cvm']

/** Of bare evidence or of a bundle. */
type AnyVerdict = Verdict<unknown, EvidenceClaims | BundleClaims>

/** A verdict and how long it can stand. */
type Found = AnyVerdict & { readonly forecast: Forecast | null }

interface Request extends Pick<VerifyCommand, 'format' | 'nonce' | 'measurement'>, Leniency {
  readonly collateral: readonly Uint8Array[]
  readonly trustAnchors: readonly Uint8Array[]
  readonly at: Date
  readonly eventLogs: readonly Uint8Array[]
  readonly forecast: { readonly early: readonly Uint8Array[] }
}

/** Verifies a file and shows the verdict. Reads files, asks no network. @returns the exit code. */
export async function verifyFile(output: Output, file: string, options: VerifyCommand): Promise<number> {
  const collateral = await readPaths(options.collateral, MAX_COLLATERAL_SIZE)
  const anchors = await readPaths(options.trustAnchor, MAX_COLLATERAL_SIZE)
  const early = await readPaths(options.early, MAX_COLLATERAL_SIZE)
  const policy = options.policy === undefined ? null : parsePolicy(await readUpTo(options.policy, MAX_POLICY_SIZE))
  const leniency = leniencyOf(policy === null ? [] : [policy])
  const request = {
    ...options,
    ...leniency,
    collateral: collateral.map((f) => f.bytes),
    trustAnchors: anchors.map((f) => f.bytes),
    at: options.at ?? new Date(),
    allowUnknown: [...options.allowUnknown, ...leniency.allowUnknown],
    eventLogs: options.eventLog === undefined ? [] : [await readUpTo(options.eventLog, MAX_EVENT_LOG_SIZE)],
    forecast: { early: early.map((f) => f.bytes) },
  }
  const found = await verifyAny(await readEvidence(file), request)
  if (options.eventLog !== undefined && !REPLAYED.includes(found.format)) {
    throw new AttestError('EVIDENCE_UNSUPPORTED', `no event log is replayed for ${found.format} evidence`, { at: '--event-log' })
  }
  const verdict = withPaths(policy === null ? found : await byPolicy(found, policy, request), { collateral, early })
  const outlook: Outlook = { at: request.at, forecast: found.forecast, isEarlyGiven: early.length > 0 }
  output.answer(documentOf(verdict, found.forecast), verdictLines(verdict, outlook, output.paint))
  return exitCodeOf(verdict.checks)
}

function verifyAny(input: Uint8Array, request: Request): Promise<Found> {
  const bundled = request.format === 'bundle' || (request.format === 'auto' && isBundle(input))
  return bundled ? verifyBundleFile(input, request) : verifyEvidence(input, defined(request))
}

/** A bundle says itself which role it was made for; here nobody asks for a certain one. */
async function verifyBundleFile(input: Uint8Array, request: Request): Promise<Found> {
  try {
    const bundle = parseEvidenceBundle(input)
    const verdict = await verifyBundle(bundle, { ...defined(request), role: parseBinding(bundle.binding).role })
    if (request.measurement === undefined) return verdict
    return { ...byMeasurement(verdict, request.measurement, request.allowUnknown), forecast: verdict.forecast }
  } catch (error) {
    if (isInputError(error)) return { ...rejectMalformed<unknown, BundleClaims>('bundle', error, ['nonce', 'measurement']), forecast: null }
    throw error
  }
}

function byMeasurement(verdict: AnyVerdict, measurement: Uint8Array, allow: readonly Group[]): AnyVerdict {
  if (verdict.decision === 'reject') return verdict
  const got = verdict.claims.measurement
  const matches = got !== null && equal(measurement, fromHex(got))
  return widen(verdict, [check('reference-values.measurement', matches, toHex(measurement), got ?? 'none')], allow)
}

/** A policy is asked about verified claims alone. Bare evidence is bound to nothing and says nothing of a place. */
async function byPolicy(verdict: AnyVerdict, policy: Policy, { at, allowUnknown, collateral }: Request): Promise<AnyVerdict> {
  if (verdict.decision === 'reject') return { ...verdict, notChecked: [...verdict.notChecked, 'policy'] }
  const { format, claims } = verdict
  if ('cpu' in claims) return widen(verdict, appraisePolicy(claims, policy, at), allowUnknown)
  if (isCpuClaims(format, claims)) return widen(verdict, appraisePolicy(await appraisedOf(claims, collateral), policy, at), allowUnknown)
  return widen(verdict, [check('policy.evidence', false, 'evidence of a machine, or a bundle with it', format)], allowUnknown)
}

/** This is only asked of evidence that verified. */
async function appraisedOf(claims: Verified<CpuClaims>, collateral: readonly Uint8Array[]): Promise<Verified<AppraisedClaims>> {
  const items = collateral.map((bytes, i) => ({ name: `collateral[${i}]`, bytes }))
  const collateralTime = oldestTime(await loadCollateral(items, createVerifyCache()))
  const bare = { bindingGrade: 'none', placementGrade: 'none', tcbEvaluationDataNumber: evaluationNumberOf(claims), collateralTime }
  return { ...bare, ...claims, cpu: claims, devices: [], config: null } as unknown as Verified<AppraisedClaims>
}

/** Decides again with more checks. What they check no longer stands in `notChecked`. */
function widen(verdict: AnyVerdict & { readonly decision: 'accept' }, more: readonly Check[], allow: readonly Group[]): AnyVerdict {
  const asked = more.some((c) => c.rule === 'reference-values.measurement')
  const notChecked = verdict.notChecked.filter((name) => !(asked && name === 'measurement'))
  return conclude({ ...verdict, checks: [...verdict.checks, ...more], notChecked }, allow)
}

/** `collateral[3]` is the verifier's name of what came fourth; people know it by its path. */
function withPaths(verdict: AnyVerdict, files: { readonly [K in 'collateral' | 'early']: readonly NamedFile[] }): AnyVerdict {
  const notChecked = verdict.notChecked.map((name) => {
    const [, kind, index] = /^(collateral|early)\[(\d+)\]$/.exec(name) ?? []
    return kind === undefined ? name : `${files[kind as keyof typeof files][Number(index)]?.path ?? name} (not recognised)`
  })
  return { ...verdict, notChecked }
}

/** The document of `--json`, its members in the order of the design. */
function documentOf(verdict: AnyVerdict, forecast: Forecast | null): object {
  const { decision, authentic, format, parsed, checks, notChecked } = verdict
  const common = { decision, authentic, format, parsed }
  if (verdict.decision === 'accept') return { ...common, claims: verdict.claims, checks, notChecked, forecast }
  return { ...common, checks, notChecked, forecast, ...(verdict.error === null ? {} : { error: verdict.error }) }
}

/** The same request without members that are undefined. */
function defined({ nonce, measurement, ...rest }: Request): Request {
  return { ...rest, ...(nonce === undefined ? {} : { nonce }), ...(measurement === undefined ? {} : { measurement }) }
}
