import { equal, toHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import { check, unknown } from '../check.ts'
import type { Forecast } from '../forecast.ts'
import { type AttestationKey, attestationKey, checkAttributes, checkSignature, type QuoteSignature } from '../tpm/ak.ts'
import { appraiseQuote, type QuoteAppraisal, type TpmRequirements, type Wanted } from '../tpm/appraise.ts'
import { parseAttest } from '../tpm/attest.ts'
import { describeAk, describeTpmQuote, type TpmFields } from '../tpm/claims.ts'
import { readCompanions } from '../tpm/companions.ts'
import { formatCheck } from '../tpm/verify.ts'
import { type AzureClaims, type AzureParsed, describeHcl } from './claims.ts'
import { type HardwareFindings, type HardwareInput, verifyHardware } from './hardware.ts'
import { parseHclReport } from './hcl-report.ts'
import type { AzureParts } from './parts.ts'
import { parseRuntimeData, type RuntimeData } from './runtime-data.ts'

/** Rules that a caller may add to those for the hardware (`sevSnp`, `tdx`) and for the quote of the virtual TPM (`tpm`). */
export interface AzureRequirements {
  /** Secure boot is on, by the paravisor's word. */
  readonly secureBoot?: true
  /** What the guest wrote to NV index 0x01400002, 64 bytes: a second freshness, of the hardware report itself. */
  readonly userData?: Uint8Array
}

/** Everything that {@link verifyAzureCvm} needs. Nothing is fetched, no clock is read. */
export interface AzureInput extends HardwareInput, AzureParts, Omit<Wanted, 'requirements'> {
  readonly tpm: TpmRequirements
  readonly requirements: AzureRequirements
}

/** Every rule with its outcome. `claims` are not trusted until the checks are accepted. */
export interface AzureResult {
  /** A quote of the virtual TPM with its HCL report beside it is such evidence, whatever it was called. */
  readonly format: 'azure-cvm'
  readonly parsed: AzureParsed
  readonly claims: AzureClaims
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  /** What expires when. */
  readonly forecast: () => Forecast | Promise<Forecast>
}

/** The quote of the virtual TPM, and what was found. */
interface VtpmFindings {
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  /** As read, and as far as the quote confirms it. */
  readonly fields: TpmFields | null
  readonly proven: TpmFields | null
  readonly appraisal: QuoteAppraisal | null
}

/**
 * Checks the evidence of an Azure confidential VM in the order of docs/formats/azure-cvm.md: form, hardware report, runtime data
 * against it, quote of the virtual TPM by the key in that data, what is wanted of both.
 * @throws AttestError `EVIDENCE_*` and others for an HCL report, a companion or an event log that cannot be read.
 */
export async function verifyAzureCvm(input: AzureInput): Promise<AzureResult> {
  const report = parseHclReport(input.hclReport)
  const runtime = parseRuntimeData(report.runtimeData)
  const companions = readCompanions(input.collateral)
  const tpmPublic = companions.publics.find((p) => equal(p.spki, runtime.akSpki)) ?? null
  const ak = await attestationKey(runtime.akSpki, tpmPublic)
  const hardware = await verifyHardware(report, input)
  const vtpm = await checkVtpm(ak, input)
  const hcl = describeHcl(report, runtime, ak.spkiSha256)
  const { result } = hardware
  const checks = [
    check('format.hcl-report', true, 'HCL report around an SNP report or a TDREPORT', `version ${report.version}, ${report.hardware.tee}`),
    ...hardware.checks,
    ...vtpm.checks,
    ...(tpmPublic === null ? [] : [checkAttributes(tpmPublic)]),
    ...requiredChecks(runtime, input.requirements),
  ]
  const akFields = await describeAk(ak, null)
  return {
    format: 'azure-cvm',
    get parsed(): AzureParsed {
      return { ...hcl, hardware: result?.parsed ?? null, tpm: vtpm.fields }
    },
    get claims(): AzureClaims {
      const { proven, appraisal } = vtpm
      return {
        ...hcl,
        ...commonClaims(hardware),
        tee: 'azure-cvm',
        reportData: proven?.extraData ?? '',
        pcrDigest: proven?.pcrDigest ?? '',
        hardware: result?.claims ?? null,
        tpm: proven,
        ak: akFields,
        events: appraisal?.eventLog?.events ?? null,
      }
    },
    checks,
    // An event log goes with the PCRs here, whatever the hardware's own registers hold.
    notChecked: [...(result?.notChecked ?? []).filter((n) => n !== 'event-log'), ...vtpm.notChecked],
    forecast: () => result?.forecast() ?? { expiries: [], early: null },
  }
}

async function checkVtpm(ak: AttestationKey, input: AzureInput): Promise<VtpmFindings> {
  if (input.vtpmQuote === null) return withoutQuote(input)
  const quote = parseAttest(input.vtpmQuote)
  const companions = readCompanions(input.collateral)
  const signed: QuoteSignature = await checkSignature(quote, companions.signatures, [ak], input.cache)
  const wanted = { ...input, requirements: input.tpm }
  const appraisal = await appraiseQuote(quote, signed.signature, companions, wanted)
  return {
    checks: [formatCheck(quote), signed.check, ...appraisal.checks],
    notChecked: appraisal.notChecked,
    fields: describeTpmQuote(quote, signed.signature, companions.banks),
    proven: describeTpmQuote(quote, signed.signature, appraisal.banks),
    appraisal,
  }
}

/** The HCL report alone is made at boot and can be played back for ever. */
function withoutQuote({ nonce }: AzureInput): VtpmFindings {
  const missing = unknown('signature.tpm-quote', 'quote of the virtual TPM, signed by HCLAkPub', 'none given')
  const stale = unknown('freshness.nonce', toHex(nonce ?? new Uint8Array(0)), 'no quote of the virtual TPM')
  return { checks: nonce === null ? [missing] : [missing, stale], notChecked: [], fields: null, proven: null, appraisal: null }
}

function requiredChecks({ vmConfiguration, userData }: RuntimeData, wanted: AzureRequirements): readonly Check[] {
  const checks: Check[] = []
  if (wanted.secureBoot) {
    const { secureBoot } = vmConfiguration
    checks.push(check('policy.secure-boot', secureBoot === true, 'secure-boot true', `secure-boot ${secureBoot ?? 'not said'}`))
  }
  if (wanted.userData !== undefined) {
    const want = toHex(wanted.userData)
    checks.push(check('freshness.user-data', want !== '' && userData === want, want, userData ?? 'none'))
  }
  return checks
}

function commonClaims({ result }: HardwareFindings): Pick<AzureClaims, 'measurement' | 'debug' | 'tcbStatus' | 'simulated'> {
  if (result === null) return { measurement: null, debug: false, tcbStatus: 'not-applicable', simulated: false }
  const { measurement, debug, tcbStatus, simulated } = result.claims
  return { measurement, debug, tcbStatus, simulated }
}
