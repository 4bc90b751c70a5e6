import { concat, equal, toHex } from '../../bytes/bytes.ts'
import type { AmdProduct } from '../../trust/amd.ts'
import type { Check } from '../../verdict.ts'
import { check } from '../check.ts'
import { policyBit, readTcb, tcbAtMost, tcbLayout, tcbText } from './layout.ts'
import type { SnpReport } from './parse.ts'

/** VMPL FFFFFFFFh marks a report that the host asked for (AMD 56860 section 8.26): not the guest's word. */
const MAX_VMPL = 3
const REPORT_DATA_SIZE = 64

/**
 * What is wanted of every report beyond its being genuine: order of TCB levels, debugging and migration off, asked for by the
 * guest; and the nonce and measurement that the caller named. Does not look at who signed.
 */
export function appraiseReport(
  report: SnpReport,
  product: AmdProduct | null,
  wanted: { readonly nonce: Uint8Array | null; readonly measurement: Uint8Array | null },
): readonly Check[] {
  const checks = [
    checkOrder(report, product),
    checkPolicyBit('debug.guest-policy', report, 'debug'),
    // A migration agent could move the guest to a machine that nobody asked about; nothing here verifies one.
    checkPolicyBit('policy.migrate-ma', report, 'migrateMa'),
    check('policy.vmpl', report.vmpl <= MAX_VMPL, 'asked for by the guest: 0 to 3', `${report.vmpl}`),
  ]
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

function checkPolicyBit(rule: Check['rule'], { policy }: SnpReport, name: 'debug' | 'migrateMa'): Check {
  const is = policyBit(policy, name)
  const word = name === 'debug' ? 'DEBUG' : 'MIGRATE_MA'
  return check(rule, !is, `${word} 0`, `${word} ${is ? 1 : 0}`)
}

function checkNonce(report: SnpReport, nonce: Uint8Array): Check {
  const fits = nonce.length > 0 && nonce.length <= REPORT_DATA_SIZE
  const want = fits ? concat(nonce, new Uint8Array(REPORT_DATA_SIZE - nonce.length)) : nonce
  return check('freshness.nonce', fits && equal(want, report.reportData), toHex(want), toHex(report.reportData))
}
