import { crypto } from '#crypto'
import { toHex } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import { check, type Now, nowAt, unknown } from '../check.ts'
import type { Collateral, KnownCertificate } from '../collateral.ts'
import { type Dated, earliestFirst, type Forecast } from '../forecast.ts'
import { importKey } from '../signed-by.ts'
import { checkFirmwareId, checkNonce, checkRequirements, type NvidiaRequirements } from './appraise.ts'
import { isDeviceCertificate } from './architecture.ts'
import { CHAIN_LENGTH, checkChain, type DeviceChain, establishChain } from './chain.ts'
import { type DeviceClaims, type DeviceParsed, describeDevice, deviceClaims } from './claims.ts'
import { type Comparison, checkComparison, compareMeasurements } from './compare.ts'
import { type DeviceKind, OPAQUE_DATA_VERSION } from './layout.ts'
import { type Answer, checkOcsp, type Questioned } from './ocsp.ts'
import { type DeviceReport, parseDeviceReport } from './parse.ts'
import { roomOf } from './path.ts'
import { checkRim, chooseRim, isUsable, type RimFacts, type RimSource } from './rim/verify.ts'
import type { NvidiaRoots } from './roots.ts'

/** Everything that {@link verifyDevice} needs. Nothing is fetched, no clock is read. */
export interface DeviceInput {
  /** What the caller takes the device for; a report of the other kind is refused. */
  readonly kind: DeviceKind
  /** GET_MEASUREMENTS ‖ MEASUREMENTS, as NVML hands it out. */
  readonly report: Uint8Array
  /** Chain of the device, leaf first, root last. Null: one of the chains among the collateral. */
  readonly certificates: readonly KnownCertificate[] | null
  /** Manifests and OCSP responses. */
  readonly collateral: Collateral
  readonly roots: NvidiaRoots
  /** Milliseconds since 1970. */
  readonly at: number
  /** 32 bytes that the request must hold. Null: not asked. */
  readonly nonce: Uint8Array | null
  readonly measurement: Uint8Array | null
  readonly requirements: NvidiaRequirements
  readonly cache: VerifyCache
}

/** What a verification found out. */
export interface DeviceFindings {
  readonly chain: DeviceChain | null
  readonly rims: readonly { readonly source: RimSource; readonly facts: RimFacts }[]
  readonly comparison: Comparison
  /** Current OCSP answers, each with its certificate. */
  readonly answers: readonly (Answer & { readonly certificate: KnownCertificate })[]
}

/** Every rule with its outcome. What was read is put into words when it is asked for. */
export class DeviceResult {
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  readonly report: DeviceReport
  readonly findings: DeviceFindings
  #parsed: DeviceParsed | null = null

  constructor(report: DeviceReport, findings: DeviceFindings, checks: readonly Check[]) {
    this.report = report
    this.findings = findings
    this.checks = checks
    this.notChecked = ['devtools-mode', ...report.opaque.unknownTypes.map((type) => `opaque field ${type}`)]
  }

  /** Device id from the BROM certificate; null without one. */
  get pdi(): string | null {
    return this.findings.chain?.pdi ?? null
  }

  get parsed(): DeviceParsed {
    this.#parsed ??= describeDevice(this.report, this.findings)
    return this.#parsed
  }

  /** Not trusted until the checks are accepted. */
  get claims(): DeviceClaims {
    const { chain, rims } = this.findings
    const roots = [chain?.path.root, ...rims.map(({ facts }) => facts.path.root)]
    return deviceClaims(
      this.parsed,
      roots.some((root) => root?.simulated === true),
    )
  }

  /** What expires when. */
  forecast(): Promise<Forecast> {
    const { chain, rims, answers } = this.findings
    const dated: Dated[] = []
    if (chain !== null)
      dated.push({ what: 'device-chain', name: chain.certificates[0]?.subject.text ?? '', at: chain.path.window.notAfter })
    for (const { facts } of rims)
      dated.push({ what: 'rim-signer', name: `${facts.rim.product} ${facts.rim.colloquialVersion}`, at: facts.path.window.notAfter })
    for (const { certificate, response, notAfter } of answers)
      dated.push({ what: 'ocsp', name: certificate.subject.text, at: Math.min(response.nextUpdate ?? notAfter, notAfter) })
    return Promise.resolve({ expiries: earliestFirst(dated), early: null })
  }
}

/**
 * Checks the report of one NVIDIA GPU or NVSwitch in the order of docs/formats/nvidia-gpu.md: form, chain, firmware id,
 * signature, what is wanted of it, manifests, measurements, revocation. Says nothing about the VM that the device works for,
 * nor about the other devices there: see `verifyDeviceSet`.
 * @throws AttestError `EVIDENCE_*` for bytes that are no report.
 * @see DMTF DSP0274 1.1.0 (SPDM), NVIDIA/nvtrust and NVIDIA/attestation-sdk (everything that is NVIDIA's own).
 */
export async function verifyDevice(input: DeviceInput): Promise<DeviceResult> {
  const { collateral, roots, requirements, cache } = input
  const now = nowAt(input.at)
  const report = parseDeviceReport(input.report)
  const { chain, signed } = await findChain(report, input)
  const checks: Check[] = [
    check('format.report', true, 'SPDM 1.1 GET_MEASUREMENTS and MEASUREMENTS', `${report.measurements.length} measurements`),
    check('format.kind', report.device.kind === input.kind, `report of a ${input.kind}`, `report of a ${report.device.kind}`),
    checkOpaqueVersion(report),
    ...checkChain(chain, report.device.kind, now),
    ...(chain === null ? [] : checkFirmwareId(report, chain, requirements.firmwareId)),
    ...(chain === null ? [] : checkOwnPdi(report, chain)),
    checkSignature(chain, signed),
    ...checkAsked(report, input),
    ...checkRequirements(report.device, requirements),
  ]
  const product = chain?.class?.product ?? null
  const rims: { source: RimSource; facts: RimFacts }[] = []
  for (const [source, version] of versionsOf(report)) {
    const facts = await chooseRim(collateral.rims, version, product, roots.rim, now, cache)
    checks.push(...checkRim(facts, source, version, product, now))
    if (facts !== null) rims.push({ source, facts })
  }
  const golden = rims
    .filter(({ facts }) => isUsable(facts, product))
    .map(({ source, facts }) => ({ source, measurements: facts.rim.measurements }))
  const nvdec0Disabled = report.device.kind === 'gpu' && report.device.nvdec0Status === 'disabled'
  const comparison = compareMeasurements(report.measurements, golden, nvdec0Disabled)
  checks.push(...checkComparison(comparison, requirements.allowedMismatches ?? []))
  const answers = await checkRevocations(checks, chain, rims, input, now)
  return new DeviceResult(report, { chain, rims, comparison, answers }, checks)
}

function checkOpaqueVersion({ opaque }: DeviceReport): Check {
  const version = opaque.u16('opaqueDataVersion') ?? 0
  return check('format.opaque-version', version <= OPAQUE_DATA_VERSION, `OPAQUE_DATA_VERSION at most ${OPAQUE_DATA_VERSION}`, `${version}`)
}

/** Chains of other devices may lie among the collateral: the one whose leaf signed is this device's. */
const MAX_CHAINS = 32

async function findChain(
  report: DeviceReport,
  { certificates, collateral, roots, cache }: DeviceInput,
): Promise<{ readonly chain: DeviceChain | null; readonly signed: boolean }> {
  const candidates = certificates === null ? chainsIn(collateral, cache) : [certificates]
  for (const candidate of candidates) {
    if (await isReportSigned(report, candidate[0], cache))
      return { chain: await establishChain(candidate, roots.device, cache), signed: true }
  }
  const [first] = candidates
  return { chain: first === undefined ? null : await establishChain(first, roots.device, cache), signed: false }
}

/** Names are looked at once per collateral: a warm verifier would spend more on them than on anything but the signature. */
function chainsIn({ id, chains }: Collateral, cache: VerifyCache): readonly (readonly KnownCertificate[])[] {
  const key = `nvidia-chains:${id}`
  const known = cache.get(key)
  if (known !== undefined) return known as readonly (readonly KnownCertificate[])[]
  const ofDevices = chains.map((c) => c.certificates).filter((c) => c.some(isDeviceCertificate))
  const found = ofDevices.slice(0, MAX_CHAINS)
  cache.set(key, found, roomOf(found.flat()))
  return found
}

async function isReportSigned(report: DeviceReport, leaf: KnownCertificate | undefined, cache: VerifyCache): Promise<boolean> {
  if (leaf === undefined) return false
  try {
    const key = await importKey(cache, 'ecdsa-p384-sha384', leaf)
    return await crypto.verify(key, report.signature, report.signed)
  } catch (error) {
    // A key of another kind, or a point that is not on the curve.
    if (error instanceof AttestError && error.code === 'CERTIFICATE_MALFORMED') return false
    throw error
  }
}

function checkSignature(chain: DeviceChain | null, signed: boolean): Check {
  const rule = 'signature.report'
  const want = 'ECDSA P-384 with SHA-384 over request and response'
  if (chain === null) return unknown(rule, want, 'no key to check it with')
  return check(rule, signed, want, signed ? 'verifies under the leaf' : 'does not verify under the leaf')
}

/** A switch names itself in its report; its BROM certificate names it too. */
function checkOwnPdi({ device }: DeviceReport, { pdi }: DeviceChain): readonly Check[] {
  if (device.kind !== 'switch') return []
  return [check('chain.device-pdi', device.devicePdi === pdi, `device id of the certificate: ${pdi ?? 'none'}`, device.devicePdi)]
}

function checkAsked(report: DeviceReport, { nonce, measurement }: DeviceInput): readonly Check[] {
  const checks = nonce === null ? [] : [checkNonce(report, nonce)]
  if (measurement !== null)
    checks.push(check('reference-values.measurement', false, toHex(measurement), 'none: manifests say what is due of a device'))
  return checks
}

function versionsOf({ device }: DeviceReport): readonly (readonly [RimSource, string])[] {
  if (device.kind === 'switch') return [['bios', device.biosVersion]]
  return [
    ['driver', device.driverVersion],
    ['vbios', device.vbiosVersion],
  ]
}

const DEVICE_RULES = ['device-leaf', 'device-brom', 'device-provisioner', 'device-identity']

/**
 * Asks the OCSP responses about every certificate for which NVIDIA's responder answers: those of the device but its leaf,
 * which is derived anew with each firmware, and those of the manifests' signers. Roots are trusted as written down.
 */
async function checkRevocations(
  checks: Check[],
  chain: DeviceChain | null,
  rims: DeviceFindings['rims'],
  { collateral, requirements, cache }: DeviceInput,
  now: Now,
): Promise<DeviceFindings['answers']> {
  const asked = new Set<string>()
  const answers: (Answer & { certificate: KnownCertificate })[] = []
  const ask = async (rule: string, questioned: Questioned, allowHold: boolean): Promise<void> => {
    if (asked.has(questioned.certificate.sha256)) return
    asked.add(questioned.certificate.sha256)
    const found = await checkOcsp(rule, questioned, collateral, requirements.ocsp ?? {}, allowHold, now, cache)
    checks.push(...found.checks)
    if (found.current !== null) answers.push({ ...found.current, certificate: questioned.certificate })
  }
  if (chain !== null && chain.certificates.length === CHAIN_LENGTH) {
    for (const [i, questioned] of chain.path.questions.entries()) if (i > 0) await ask(DEVICE_RULES[i] ?? '', questioned, false)
  }
  for (const { source, facts } of rims) {
    for (const [i, questioned] of facts.path.questions.entries())
      await ask(`${source}-rim-${i}`, questioned, requirements.allowCertificateHold === true)
  }
  return answers
}
