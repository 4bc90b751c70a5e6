import { concat, equal, toHex } from '../../bytes/bytes.ts'
import type { AmdProduct } from '../../trust/amd.ts'
import type { Check } from '../../verdict.ts'
import { check } from '../check.ts'
import { policyBit, readTcb, type TcbVersion, tcbAtMost, tcbLayout, tcbText } from './layout.ts'
import type { SnpReport } from './parse.ts'

/** Rules that a caller may add. A product without a floor has none. */
export interface SnpRequirements {
  /** Lowest REPORTED_TCB, per product and component. */
  readonly minimumTcb?: Readonly<Partial<Record<AmdProduct, Partial<TcbVersion>>>>
  /** VMPL that must have asked for the report. */
  readonly vmpl?: number
}

const MAX_VMPL = 3
const REPORT_DATA_SIZE = 64

/**
 * What is wanted of a report beyond its being genuine: order and floor of TCB levels, debugging off, asked for by the guest,
 * and what the caller named. Does not look at who signed.
 */
export function appraiseReport(
  report: SnpReport,
  product: AmdProduct | null,
  wanted: { readonly nonce: Uint8Array | null; readonly measurement: Uint8Array | null; readonly requirements: SnpRequirements },
): readonly Check[] {
  const checks = [checkOrder(report, product), ...checkFloor(report, product, wanted.requirements)]
  checks.push(
    check('debug.guest-policy', !policyBit(report.policy, 'debug'), 'DEBUG 0', `DEBUG ${policyBit(report.policy, 'debug') ? 1 : 0}`),
  )
  checks.push(checkVmpl(report, wanted.requirements.vmpl))
  if (wanted.nonce !== null) checks.push(checkNonce(report, wanted.nonce))
  if (wanted.measurement !== null) {
    const [want, got] = [toHex(wanted.measurement), toHex(report.measurement)]
    checks.push(check('reference-values.measurement', equal(wanted.measurement, report.measurement), want, got))
  }
  return checks
}

/** AMD 56860 section 3.3: firmware reports at most what it has committed, and has committed at most what runs. */
function checkOrder(report: SnpReport, product: AmdProduct | null): Check {
  const ordered = tcbAtMost(report.reportedTcb, report.committedTcb) && tcbAtMost(report.committedTcb, report.currentTcb)
  const layout = tcbLayout(product ?? 'Milan')
  const levels = [report.reportedTcb, report.committedTcb, report.currentTcb].map((raw) => tcbText(readTcb(raw, layout)))
  return check('tcb.order', ordered, 'REPORTED_TCB <= COMMITTED_TCB <= CURRENT_TCB', levels.join('; '))
}

function checkFloor(report: SnpReport, product: AmdProduct | null, { minimumTcb }: SnpRequirements): readonly Check[] {
  if (minimumTcb === undefined) return []
  const floor = product === null ? undefined : minimumTcb[product]
  if (product === null || floor === undefined) return [check('tcb.minimum', false, 'a product with a floor', product ?? 'unknown product')]
  const reported = readTcb(report.reportedTcb, tcbLayout(product))
  const names = Object.keys(floor) as (keyof TcbVersion)[]
  const enough = names.every((name) => (reported[name] ?? -1) >= (floor[name] ?? 0))
  return [check('tcb.minimum', enough, names.map((n) => `${n} >= ${floor[n]}`).join(', '), tcbText(reported))]
}

/** VMPL 0xffffffff marks a report that the host asked for (AMD 56860 section 8.26): not the guest's word. */
function checkVmpl(report: SnpReport, vmpl: number | undefined): Check {
  if (vmpl !== undefined) return check('policy.vmpl', report.vmpl === vmpl, `${vmpl}`, `${report.vmpl}`)
  return check('policy.vmpl', report.vmpl <= MAX_VMPL, 'asked for by the guest: 0 to 3', `${report.vmpl}`)
}

function checkNonce(report: SnpReport, nonce: Uint8Array): Check {
  const fits = nonce.length > 0 && nonce.length <= REPORT_DATA_SIZE
  const want = fits ? concat(nonce, new Uint8Array(REPORT_DATA_SIZE - nonce.length)) : nonce
  return check('freshness.nonce', fits && equal(want, report.reportData), toHex(want), toHex(report.reportData))
}
