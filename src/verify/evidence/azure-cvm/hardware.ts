import { equal, toHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import { check, type Now, unknown } from '../check.ts'
import type { Collateral } from '../collateral.ts'
import { parseQuote } from '../dcap/quote.ts'
import type { DcapRoot } from '../dcap/roots.ts'
import type { SnpRoot } from '../sev-snp/chain.ts'
import type { SnpRequirements } from '../sev-snp/requirements.ts'
import { type SnpResult, verifyReport } from '../sev-snp/verify.ts'
import type { TdxRequirements } from '../tdx/requirements.ts'
import { TdReport } from '../tdx/td-report.ts'
import { type TdxResult, verifyTdxQuote } from '../tdx/verify.ts'
import { companionsOf } from '../tpm/companions.ts'
import { expectedReportData, type HclReport, reportDataOf } from './hcl-report.ts'

/** What the hardware's own evidence is verified with. */
export interface HardwareInput {
  readonly collateral: Collateral
  readonly snpRoots: readonly SnpRoot[]
  readonly dcapRoots: readonly DcapRoot[]
  readonly now: Now
  readonly measurement: Uint8Array | null
  readonly early: Collateral | null
  readonly sevSnp: SnpRequirements
  readonly tdx: TdxRequirements
  readonly cache: VerifyCache
}

/** `result` is null where a TDREPORT has no quote beside it. */
export interface HardwareFindings {
  readonly checks: readonly Check[]
  readonly result: SnpResult | TdxResult | null
}

/**
 * The paravisor runs at VMPL 0 and the guest above it. A report that a guest asked for itself, around a key of its own, looks the
 * same but for this number.
 */
const PARAVISOR_VMPL = 0

/** Verifies the hardware report in an HCL report and holds the runtime data against it. */
export async function verifyHardware(hcl: HclReport, input: HardwareInput): Promise<HardwareFindings> {
  const want = await expectedReportData(hcl)
  if (hcl.hardware.tee === 'tdx') return verifyTd(hcl.hardware.tdReport, want, input)
  const { snpRoots: roots, sevSnp } = input
  const { vmpl: asked = PARAVISOR_VMPL } = sevSnp
  const requirements = { ...sevSnp, vmpl: PARAVISOR_VMPL }
  const result = await verifyReport({ ...input, report: hcl.hardware.report, roots, nonce: null, requirements })
  // A caller's rule for guests in general must not let one through that took the paravisor's place.
  const other = asked === PARAVISOR_VMPL ? [] : [check('policy.vmpl', false, `${asked}`, `${PARAVISOR_VMPL}: where a paravisor runs`)]
  return { result, checks: [...result.checks, ...other, checkRuntimeData(want, result.parsed.reportData)] }
}

/** The TDREPORT's MAC can be checked on that machine alone: a quote with the same REPORTDATA stands for it. */
async function verifyTd(tdReport: Uint8Array, want: Uint8Array, input: HardwareInput): Promise<HardwareFindings> {
  const reportData = reportDataOf(tdReport)
  const quotes = companionsOf(input.collateral, 'td-quote').map((c) => c.bytes)
  const quote = quotes.find((q) => equal(reportDataOfQuote(q), reportData)) ?? quotes[0]
  const bound = checkRuntimeData(want, toHex(reportData))
  if (quote === undefined) {
    const missing = unknown('signature.quote', 'TD quote over the REPORTDATA of the TDREPORT', 'none given')
    return { result: null, checks: [missing, bound] }
  }
  const { dcapRoots: roots, now, tdx: requirements } = input
  const result = await verifyTdxQuote({ ...input, quote, roots, at: now.ms, nonce: null, eventLogs: [], requirements })
  const [expected, got] = [toHex(reportData), toHex(reportDataOfQuote(quote))]
  return { result, checks: [...result.checks, check('binding.td-quote', expected === got, expected, got), bound] }
}

function reportDataOfQuote(quote: Uint8Array): Uint8Array {
  const { body } = parseQuote(quote)
  return new TdReport(body).field('reportData')
}

function checkRuntimeData(want: Uint8Array, reportData: string): Check {
  return check('binding.runtime-data', toHex(want) === reportData, `hash of the runtime data: ${toHex(want)}`, reportData)
}
