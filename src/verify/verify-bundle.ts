import { crypto } from '#crypto'
import type { AppraisedClaims } from './appraise/policy.ts'
import { equal, fromBase64Url, toBase64Url } from './bytes/bytes.ts'
import { type Binding, type BindingRole, parseBinding } from './documents/binding.ts'
import { type EvidenceBundle, evidenceDigest } from './documents/evidence-bundle.ts'
import { MAX_DOCUMENT_SIZE } from './documents/fields.ts'
import { endorsementCheck } from './endorsements.ts'
import { AttestError } from './errors.ts'
import { createVerifyCache, type VerifyCache } from './evidence/cache.ts'
import { check } from './evidence/check.ts'
import { loadCollateral } from './evidence/collateral.ts'
import { conclude, isInputError, rejectMalformed } from './evidence/conclude.ts'
import type { Forecast } from './evidence/forecast.ts'
import { FORMATS, type Format, type VerifyOptions } from './evidence/types.ts'
import { type Json, parseCanonical } from './formats/canonical-json.ts'
import type { Check, Group, Verdict } from './verdict.ts'
import { type EvidenceClaims, type EvidenceParsed, verifyEvidence } from './verify-evidence.ts'

/** What a caller asks of {@link verifyBundle}. */
export interface BundleOptions extends Pick<VerifyOptions, 'sevSnp' | 'tdx' | 'sgx'> {
  /** Certificates and CRLs beside those that came with the bundle. They never add trust. */
  readonly collateral: readonly Uint8Array[]
  /** Root certificates of simulators. What verifies under one has `simulated: true`. */
  readonly trustAnchors: readonly Uint8Array[]
  readonly at: Date
  /** Which kind of key holder is wanted. */
  readonly role: BindingRole
  /** 32 bytes that the binding must hold. Not given: stands in `notChecked`. */
  readonly nonce?: Uint8Array
  /** Job digest that the binding must hold. Not given: stands in `notChecked`, unless the role has no job. */
  readonly job?: string
  readonly allowUnknown: readonly Group[]
  /** Asks for a forecast of the CPU evidence. */
  readonly forecast?: VerifyOptions['forecast']
  /** See {@link createVerifyCache}. */
  readonly cache?: VerifyCache
}

/** What was read, whether or not it verified. */
export interface BundleParsed {
  readonly binding: Binding
  readonly config: Json
  readonly cpu: EvidenceParsed | null
}

/** What an accepted bundle proves: the keys in `binding` are held by an enclave with these properties. */
export interface BundleClaims extends AppraisedClaims {
  readonly reportData: string
  readonly tcbStatus: string
  readonly binding: Binding
  /** base64url SHA-256 of the binding's bytes. */
  readonly bindingDigest: string
  /** See {@link evidenceDigest}. */
  readonly evidence: string
  /** The agent's own word about itself. A claim, bound to the evidence. */
  readonly config: Json
}

/** `forecast`: what expires when; null unless it was asked for. */
export type BundleVerdict = Verdict<BundleParsed, BundleClaims> & { readonly forecast: Forecast | null }

/**
 * Proves that an enclave made this evidence, and made it for the keys, job, configuration and nonce in its binding (the CPU
 * report carries SHA-512 of the binding's bytes). Says nothing of whether a policy wants such an enclave: see
 * {@link appraisePolicy}. Devices are refused, since nothing here verifies them yet.
 * @returns A verdict for whatever bytes; claims on acceptance alone.
 * @throws AttestError `USAGE` for options that make no sense. Never for the bundle.
 */
export async function verifyBundle(bundle: EvidenceBundle, options: BundleOptions): Promise<BundleVerdict> {
  if (options.nonce !== undefined && options.nonce.length !== 32) throw new AttestError('USAGE', 'the nonce of a binding has 32 bytes')
  const notChecked = notAsked(options)
  try {
    return await verifyParsed(bundle, parseBinding(bundle.binding), options, notChecked)
  } catch (error) {
    if (isInputError(error)) return { ...rejectMalformed<BundleParsed, BundleClaims>('bundle', error, notChecked), forecast: null }
    throw error
  }
}

function notAsked({ nonce, job, role }: BundleOptions): readonly string[] {
  return [...(nonce === undefined ? ['nonce'] : []), ...(job === undefined && role === 'job' ? ['job'] : []), 'measurement']
}

async function verifyParsed(
  bundle: EvidenceBundle,
  binding: Binding,
  options: BundleOptions,
  notChecked: readonly string[],
): Promise<BundleVerdict> {
  const cache = options.cache ?? createVerifyCache()
  const config = parseCanonical(bundle.config, MAX_DOCUMENT_SIZE, 'bundle.config')
  const collateral = [...bundle.endorsements, ...options.collateral]
  const { sevSnp = {}, tdx = {}, sgx = {} } = options
  const cpu = await verifyEvidence(bundle.cpu.report, {
    format: formatOf(bundle),
    collateral,
    trustAnchors: options.trustAnchors,
    at: options.at,
    nonce: await crypto.digest('SHA-512', bundle.binding),
    allowUnknown: options.allowUnknown,
    sevSnp,
    tdx,
    sgx,
    cache,
    ...(options.forecast === undefined ? {} : { forecast: options.forecast }),
  })
  const endorsements = await endorsementCheck(bundle.endorsements, [...options.collateral, ...options.trustAnchors], cache)
  const checks = [...(await bindingChecks(bundle, binding, options)), endorsements, ...cpu.checks.map(asReportData)]
  const parsed = { binding, config, cpu: cpu.parsed }
  const common = { format: 'bundle', parsed, checks, notChecked: [...notChecked, ...cpu.notChecked.filter((n) => n !== 'measurement')] }
  const { forecast } = cpu
  if (cpu.decision === 'reject') return { ...common, decision: 'reject', authentic: cpu.authentic, error: cpu.error, forecast }
  const claims: BundleClaims = {
    ...commonClaims(cpu.claims),
    bindingGrade: 'committed',
    placementGrade: 'none',
    tcbEvaluationDataNumber: evaluationNumberOf(cpu.claims),
    collateralTime: await oldestCollateral(collateral, cache),
    binding,
    bindingDigest: toBase64Url(await crypto.digest('SHA-256', bundle.binding)),
    evidence: await evidenceDigest(bundle),
    config,
    cpu: cpu.claims,
  }
  return Object.assign(conclude({ ...common, claims }, options.allowUnknown), { forecast })
}

function formatOf({ cpu }: EvidenceBundle): Format {
  const format = FORMATS.find((f) => f === cpu.format)
  if (format === undefined || format === 'bundle')
    throw new AttestError('EVIDENCE_UNSUPPORTED', `format ${cpu.format}`, { at: 'bundle.cpu' })
  return format
}

async function bindingChecks(bundle: EvidenceBundle, binding: Binding, { role, nonce, job }: BundleOptions): Promise<readonly Check[]> {
  const config = toBase64Url(await crypto.digest('SHA-256', bundle.config))
  const devices = bundle.devices.length + binding.devices.length
  return [
    check('binding.role', binding.role === role, role, binding.role),
    check('binding.job-role', (binding.job !== null) === (binding.role === 'job'), 'a job in the role job alone', binding.job ?? 'none'),
    ...(job === undefined ? [] : [check('binding.job', binding.job === job, job, binding.job ?? 'none')]),
    ...(nonce === undefined ? [] : [nonceCheck(nonce, binding)]),
    check('binding.config', binding.config === config, binding.config, config),
    check(
      'binding.devices',
      devices === 0,
      'no devices: none is supported yet',
      `${bundle.devices.length} reports for ${binding.devices.length}`,
    ),
  ]
}

function nonceCheck(nonce: Uint8Array, binding: Binding): Check {
  return check('freshness.binding-nonce', equal(nonce, fromBase64Url(binding.nonce)), toBase64Url(nonce), binding.nonce)
}

/** For bare evidence REPORT_DATA is a nonce; here it is what ties the report to the binding. */
function asReportData(found: Check): Check {
  return found.rule === 'freshness.nonce' ? { ...found, rule: 'binding.report-data' } : found
}

function commonClaims({
  tee,
  measurement,
  reportData,
  debug,
  tcbStatus,
  simulated,
}: EvidenceClaims): Pick<BundleClaims, 'tee' | 'measurement' | 'reportData' | 'debug' | 'tcbStatus' | 'simulated'> {
  return { tee, measurement, reportData, debug, tcbStatus, simulated }
}

/** The lower one of TCB info and QE identity. */
export function evaluationNumberOf(claims: EvidenceClaims): number | null {
  if (!('tcb' in claims) || claims.tcb === null) return null
  return Math.min(claims.tcb.tcbEvaluationDataNumber, claims.tcb.qeTcbEvaluationDataNumber)
}

/** The oldest, since nobody vouches for the date of what was not needed: adding something can only make it older. */
async function oldestCollateral(collateral: readonly Uint8Array[], cache: VerifyCache): Promise<number | null> {
  const items = collateral.map((bytes, i) => ({ name: `collateral[${i}]`, bytes }))
  const { crls, documents } = await loadCollateral(items, cache)
  const dates = [...crls.map((c) => c.thisUpdate), ...documents.map((d) => d.content.issueDate)]
  return dates.length === 0 ? null : Math.floor(Math.min(...dates) / 1000)
}
