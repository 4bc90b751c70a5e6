import { type AppraisedClaims, appraisePolicy } from '../verify/appraise/index.ts'
import { equal, fromHex, toHex } from '../verify/bytes/bytes.ts'
import { parseBinding } from '../verify/documents/binding.ts'
import { parseEvidenceBundle } from '../verify/documents/evidence-bundle.ts'
import { type Policy, parsePolicy } from '../verify/documents/policy.ts'
import { AttestError } from '../verify/errors.ts'
import { check } from '../verify/evidence/check.ts'
import { MAX_COLLATERAL_SIZE } from '../verify/evidence/collateral.ts'
import { conclude, isInputError, rejectMalformed } from '../verify/evidence/conclude.ts'
import { MAX_EVENT_LOG_SIZE } from '../verify/evidence/tdx/event-log/tcg-log.ts'
import { isBundle, MAX_EVIDENCE_SIZE } from '../verify/evidence/unwrap.ts'
import { type Check, exitCodeOf, type Group, type Verdict, type Verified } from '../verify/verdict.ts'
import { verifyBundle } from '../verify/verify-bundle.ts'
import { verifyEvidence } from '../verify/verify-evidence.ts'
import type { VerifyCommand } from './commands/verify.ts'
import { type NamedFile, readPaths, readUpTo } from './evidence-files.ts'
import type { Output } from './output.ts'
import { verdictLines } from './verdict-lines.ts'

const MAX_POLICY_SIZE = 256 * 1024
/** Formats whose registers an event log accounts for. */
const REPLAYED: readonly string[] = ['tdx', 'tpm', 'azure-cvm']

/** What claims of bare evidence and of bundles have in common. */
type Claims = Pick<AppraisedClaims, 'tee' | 'measurement' | 'debug' | 'simulated'> & Partial<AppraisedClaims>
type AnyVerdict = Verdict<unknown, Claims>

interface Request extends Pick<VerifyCommand, 'format' | 'nonce' | 'measurement'> {
  readonly collateral: readonly Uint8Array[]
  readonly trustAnchors: readonly Uint8Array[]
  readonly at: Date
  readonly allowUnknown: readonly Group[]
  readonly eventLogs: readonly Uint8Array[]
}

/** Verifies a file and shows the verdict. Reads files, asks no network. @returns the exit code. */
export async function verifyFile(output: Output, file: string, options: VerifyCommand): Promise<number> {
  const collateral = await readPaths(options.collateral, MAX_COLLATERAL_SIZE)
  const anchors = await readPaths(options.trustAnchor, MAX_COLLATERAL_SIZE)
  const policy = options.policy === undefined ? null : parsePolicy(await readUpTo(options.policy, MAX_POLICY_SIZE))
  const request = {
    ...options,
    collateral: collateral.map((f) => f.bytes),
    trustAnchors: anchors.map((f) => f.bytes),
    at: options.at ?? new Date(),
    allowUnknown: [...options.allowUnknown, ...(policy?.appraisal.allowUnknown ?? [])],
    eventLogs: options.eventLog === undefined ? [] : [await readUpTo(options.eventLog, MAX_EVENT_LOG_SIZE)],
  }
  const found = await verifyAny(await readUpTo(file, MAX_EVIDENCE_SIZE), request)
  if (options.eventLog !== undefined && !REPLAYED.includes(found.format)) {
    throw new AttestError('EVIDENCE_UNSUPPORTED', `no event log is replayed for ${found.format} evidence`, { at: '--event-log' })
  }
  const verdict = withPaths(policy === null ? found : byPolicy(found, policy, request), collateral)
  output.answer(documentOf(verdict), verdictLines(verdict, request.at, output.paint))
  return exitCodeOf(verdict.checks)
}

function verifyAny(input: Uint8Array, request: Request): Promise<AnyVerdict> {
  const bundled = request.format === 'bundle' || (request.format === 'auto' && isBundle(input))
  return bundled ? verifyBundleFile(input, request) : verifyEvidence(input, defined(request))
}

/** A bundle says itself which role it was made for; here nobody asks for a certain one. */
async function verifyBundleFile(input: Uint8Array, request: Request): Promise<AnyVerdict> {
  try {
    const bundle = parseEvidenceBundle(input)
    const verdict = await verifyBundle(bundle, { ...defined(request), role: parseBinding(bundle.binding).role })
    return request.measurement === undefined ? verdict : byMeasurement(verdict, request.measurement, request.allowUnknown)
  } catch (error) {
    if (isInputError(error)) return rejectMalformed('bundle', error, ['nonce', 'measurement'])
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
function byPolicy(verdict: AnyVerdict, policy: Policy, { at, allowUnknown }: Request): AnyVerdict {
  if (verdict.decision === 'reject') return { ...verdict, notChecked: [...verdict.notChecked, 'policy'] }
  const bare = { bindingGrade: 'none', placementGrade: 'none', tcbEvaluationDataNumber: null, collateralTime: null }
  const claims = { ...bare, ...verdict.claims } as Verified<AppraisedClaims>
  return widen(verdict, appraisePolicy(claims, policy, at), allowUnknown)
}

/** Decides again with more checks. What they check no longer stands in `notChecked`. */
function widen(verdict: AnyVerdict & { readonly decision: 'accept' }, more: readonly Check[], allow: readonly Group[]): AnyVerdict {
  const asked = more.some((c) => c.rule === 'reference-values.measurement')
  const notChecked = verdict.notChecked.filter((name) => !(asked && name === 'measurement'))
  return conclude({ ...verdict, checks: [...verdict.checks, ...more], notChecked }, allow)
}

/** `collateral[3]` is the verifier's name of what came fourth; people know it by its path. */
function withPaths(verdict: AnyVerdict, collateral: readonly NamedFile[]): AnyVerdict {
  const notChecked = verdict.notChecked.map((name) => {
    const index = /^collateral\[(\d+)\]$/.exec(name)?.[1]
    return index === undefined ? name : `${collateral[Number(index)]?.path ?? name} (not recognised)`
  })
  return { ...verdict, notChecked }
}

/** The document of `--json`, its members in the order of the design. */
function documentOf(verdict: AnyVerdict): object {
  const { decision, authentic, format, parsed, checks, notChecked } = verdict
  const common = { decision, authentic, format, parsed }
  if (verdict.decision === 'accept') return { ...common, claims: verdict.claims, checks, notChecked }
  return { ...common, checks, notChecked, ...(verdict.error === null ? {} : { error: verdict.error }) }
}

/** The same request without members that are undefined. */
function defined({ nonce, measurement, ...rest }: Request): Request {
  return { ...rest, ...(nonce === undefined ? {} : { nonce }), ...(measurement === undefined ? {} : { measurement }) }
}
