import { crypto } from '#crypto'
import type { AppraisedClaims } from './appraise/policy.ts'
import { asBound, cpuFormatOf, wantedOfCpu, withOwnCompanions } from './bundle/cpu.ts'
import { gradeOf, namedDevices, verifyBundleDevices } from './bundle/devices.ts'
import { equal, fromBase64Url, toBase64Url } from './bytes/bytes.ts'
import { type Binding, type BindingRole, parseBinding } from './documents/binding.ts'
import { type EvidenceBundle, evidenceDigest } from './documents/evidence-bundle.ts'
import { MAX_DOCUMENT_SIZE } from './documents/fields.ts'
import { endorsementCheck } from './endorsements.ts'
import { AttestError } from './errors.ts'
import { createVerifyCache, type VerifyCache } from './evidence/cache.ts'
import { check } from './evidence/check.ts'
import { type CollateralItem, loadCollateral } from './evidence/collateral.ts'
import { oldestTime } from './evidence/collateral-time.ts'
import { conclude, isInputError, rejectMalformed } from './evidence/conclude.ts'
import { type Forecast, joinForecasts } from './evidence/forecast.ts'
import type { DeviceParsed } from './evidence/nvidia/claims.ts'
import type { DevicesClaims } from './evidence/nvidia/devices.ts'
import { nvidiaRoots } from './evidence/nvidia/roots.ts'
import { loadTrustAnchors } from './evidence/trust-anchors.ts'
import type { VerifyOptions } from './evidence/types.ts'
import { type Json, parseCanonical } from './formats/canonical-json.ts'
import { type Check, type Group, isAuthentic, type Verdict } from './verdict.ts'
import { verifyEvidence } from './verify-evidence.ts'
import { type CpuClaims, type EvidenceParsed, isCpuClaims } from './verify-format.ts'

/** What a caller asks of {@link verifyBundle}. */
export interface BundleOptions extends Pick<VerifyOptions, 'sevSnp' | 'tdx' | 'sgx' | 'nvidia'> {
  /** Certificates, CRLs, OCSP responses, documents and manifests beside those that came with the bundle. They never add trust. */
  readonly collateral: readonly Uint8Array[]
  /** Root certificates of simulators; keys of Arm platforms and of TPMs. What verifies under one has `simulated: true`. */
  readonly trustAnchors: readonly Uint8Array[]
  readonly at: Date
  /** Which kind of key holder is wanted. */
  readonly role: BindingRole
  /** 32 bytes that the binding must hold. Not given: stands in `notChecked`. */
  readonly nonce?: Uint8Array
  /** Job digest that the binding must hold. Not given: stands in `notChecked`, unless the role has no job. */
  readonly job?: string
  readonly allowUnknown: readonly Group[]
  /** Asks for a forecast. */
  readonly forecast?: VerifyOptions['forecast']
  /** See {@link createVerifyCache}. */
  readonly cache?: VerifyCache
}

/** What was read, whether or not it verified. */
export interface BundleParsed {
  readonly binding: Binding
  readonly config: Json
  readonly cpu: EvidenceParsed | null
  readonly devices: readonly DeviceParsed[]
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
}

/** `forecast`: what expires when; null unless it was asked for. */
export type BundleVerdict = Verdict<BundleParsed, BundleClaims> & { readonly forecast: Forecast | null }

/**
 * Proves that an enclave made this evidence, and made it for the keys, job, configuration and nonce in its binding (the CPU
 * report carries a digest of the binding's bytes); that each device is genuine, runs what its vendor published and answered for
 * this binding, and that the binding names exactly these devices. Says nothing of whether a policy wants such an enclave: see
 * {@link appraisePolicy}. What binding a device proves and what not is written in docs/formats/evidence-bundle.md.
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

/** Keys of a host or a broker serve many jobs. */
function hasJob(role: BindingRole): boolean {
  return role === 'job' || role === 'session'
}

function notAsked({ nonce, job, role }: BundleOptions): readonly string[] {
  return [...(nonce === undefined ? ['nonce'] : []), ...(job === undefined && hasJob(role) ? ['job'] : []), 'measurement']
}

async function verifyParsed(
  bundle: EvidenceBundle,
  binding: Binding,
  options: BundleOptions,
  notChecked: readonly string[],
): Promise<BundleVerdict> {
  const cache = options.cache ?? createVerifyCache()
  const config = parseCanonical(bundle.config, MAX_DOCUMENT_SIZE, 'bundle.config')
  const format = cpuFormatOf(bundle)
  const collateral = await loadCollateral(
    [...named('endorsements', bundle.endorsements), ...named('collateral', options.collateral)],
    cache,
  )
  const anchors = await loadTrustAnchors(named('trust anchor', options.trustAnchors), cache)
  const own = await withOwnCompanions(bundle, collateral, cache)
  const { sevSnp = {}, tdx = {}, sgx = {}, nvidia = {}, at, allowUnknown } = options
  const cpu = await verifyEvidence(bundle.cpu.report, {
    format,
    collateral: own.collateral,
    trustAnchors: anchors,
    at,
    ...(await wantedOfCpu(format, bundle, binding)),
    allowUnknown,
    sevSnp,
    tdx,
    sgx,
    cache,
    ...(options.forecast === undefined ? {} : { forecast: options.forecast }),
  })
  const { roots } = anchors
  const common = { collateral, roots: nvidiaRoots(roots), at: at.getTime(), requirements: nvidia, cache }
  const devices = await verifyBundleDevices(bundle, binding, common)
  const checks = [
    ...(await bindingChecks(bundle, binding, options)),
    ...own.checks,
    await endorsementCheck(bundle.endorsements, issuersOf(bundle, options), cache),
    ...asBound(format, cpu.checks, cpu.parsed),
    ...devices.checks,
  ]
  const findings = {
    format: 'bundle',
    parsed: { binding, config, cpu: cpu.parsed, devices: devices.parsed.devices },
    checks,
    notChecked: [...new Set([...notChecked, ...cpu.notChecked.filter((n) => n !== 'measurement'), ...devices.notChecked])],
  }
  const forecast = cpu.forecast === null ? null : joinForecasts([cpu.forecast, await devices.forecast()])
  if (cpu.decision === 'reject') return { ...findings, decision: 'reject', authentic: isAuthentic(checks), error: cpu.error, forecast }
  const { claims: proven } = cpu
  if (!isCpuClaims(cpu.format, proven)) throw new AttestError('EVIDENCE_UNSUPPORTED', `format ${cpu.format}`, { at: 'bundle.cpu' })
  const claims: BundleClaims = {
    ...commonClaims(proven, devices.claims),
    bindingGrade: gradeOf(bundle, binding),
    placementGrade: 'none',
    tcbEvaluationDataNumber: evaluationNumberOf(proven),
    collateralTime: oldestTime(collateral),
    binding,
    bindingDigest: toBase64Url(await crypto.digest('SHA-256', bundle.binding)),
    evidence: await evidenceDigest(bundle),
    config,
    cpu: proven,
    devices: devices.claims.devices,
  }
  return Object.assign(conclude({ ...findings, claims }, allowUnknown), { forecast })
}

/** Who may have signed endorsements: what the caller gave, and the authorities above the devices. */
function issuersOf({ devices }: EvidenceBundle, { collateral, trustAnchors }: BundleOptions): readonly Uint8Array[] {
  return [...collateral, ...trustAnchors, ...devices.map((d) => d.certificateChain)]
}

async function bindingChecks(bundle: EvidenceBundle, binding: Binding, { role, nonce, job }: BundleOptions): Promise<readonly Check[]> {
  const config = toBase64Url(await crypto.digest('SHA-256', bundle.config))
  return [
    check('binding.role', binding.role === role, role, binding.role),
    check(
      'binding.job-role',
      (binding.job !== null) === hasJob(binding.role),
      'a job in the roles job and session alone',
      binding.job ?? 'none',
    ),
    ...(job === undefined ? [] : [check('binding.job', binding.job === job, job, binding.job ?? 'none')]),
    ...(nonce === undefined ? [] : [nonceCheck(nonce, binding)]),
    check('binding.config', binding.config === config, binding.config, config),
    await namedDevices(bundle, binding),
  ]
}

function nonceCheck(nonce: Uint8Array, binding: Binding): Check {
  return check('freshness.binding-nonce', equal(nonce, fromBase64Url(binding.nonce)), toBase64Url(nonce), binding.nonce)
}

type Common = Pick<BundleClaims, 'tee' | 'measurement' | 'reportData' | 'debug' | 'tcbStatus' | 'simulated'>

/** Those of the CPU; one simulated part makes the whole simulated. */
function commonClaims({ tee, measurement, reportData, debug, tcbStatus, simulated }: CpuClaims, devices: DevicesClaims): Common {
  return { tee, measurement, reportData, debug, tcbStatus, simulated: simulated || devices.simulated }
}

/** The lower one of TCB info and QE identity. */
export function evaluationNumberOf(claims: CpuClaims): number | null {
  if (!('tcb' in claims) || claims.tcb === null) return null
  return Math.min(claims.tcb.tcbEvaluationDataNumber, claims.tcb.qeTcbEvaluationDataNumber)
}

function named(kind: string, items: readonly Uint8Array[]): CollateralItem[] {
  return items.map((bytes, i) => ({ name: `${kind}[${i}]`, bytes }))
}
