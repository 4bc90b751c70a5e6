import { concat, equal, toHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import { check, unknown } from '../check.ts'
import { explainTcb } from './explain.ts'
import type { QeIdentity } from './qe-identity.ts'
import type { TcbInfo } from './tcb-info.ts'
import { advisoriesOf, type PlatformSvns, type TcbEvaluation, type TcbStatus } from './tcb-status.ts'

/** Rules that a caller may add or relax. */
export interface DcapRequirements {
  /**
   * TCB statuses that are accepted; `UpToDate` alone when not given. Any other one needs its advisories in
   * `acceptedAdvisories` as well.
   */
  readonly acceptedTcbStatuses?: readonly Exclude<TcbStatus, 'Revoked' | 'NotSupported' | 'Unrecognized'>[]
  /** Advisories that the caller has dealt with, such as `INTEL-SA-00615`. */
  readonly acceptedAdvisories?: readonly string[]
  /** Lowest tcbEvaluationDataNumber of TCB info and QE identity: shuts out an older evaluation that is still current. */
  readonly minimumTcbEvaluationDataNumber?: number
}

const TERMINAL: readonly TcbStatus[] = ['Revoked', 'NotSupported', 'Unrecognized']
const STRICT: readonly TcbStatus[] = ['UpToDate']
const NO_DOCUMENTS = 'no TCB info or no QE identity that is authentic'

export function checkStatus(
  evaluation: TcbEvaluation | null,
  svns: PlatformSvns,
  info: TcbInfo | null,
  identity: QeIdentity | null,
  { acceptedTcbStatuses, acceptedAdvisories }: DcapRequirements,
): Check {
  const rule = 'tcb.status'
  const accepted = acceptedTcbStatuses ?? STRICT
  const want = accepted.join(' or ')
  if (evaluation === null || info === null || identity === null) return unknown(rule, want, NO_DOCUMENTS)
  const { status, current } = evaluation
  // QVL reports what runs now beside what launched the TD and leaves it to its caller. What is revoked now protects nothing.
  const isCurrentFine = current === null || current === 'UpToDate' || isOneOf(accepted, current)
  if (status === 'UpToDate' && accepted.includes(status) && isCurrentFine) return check(rule, true, want, status)
  const open = advisoriesOf(evaluation).filter((id) => acceptedAdvisories?.includes(id) !== true)
  const isAccepted = isOneOf(accepted, status) && isCurrentFine && open.length === 0
  const reasons = [
    ...explainTcb(svns, info, identity),
    ...(open.length === 0 ? [] : [`open advisories ${open.join(' ')}`]),
    ...(isCurrentFine || current === status ? [] : [`what runs now is ${current}`]),
  ]
  return check(rule, isAccepted, want, reasons.length === 0 ? status : `${status}: ${reasons.join('; ')}`)
}

function isOneOf(accepted: readonly TcbStatus[], status: TcbStatus): boolean {
  return accepted.includes(status) && !TERMINAL.includes(status)
}

export function checkEvaluationNumber(minimum: number, info: TcbInfo | null, identity: QeIdentity | null): Check {
  const rule = 'tcb.evaluation-data-number'
  const want = `TCB info and QE identity of evaluation ${minimum} or newer`
  if (info === null || identity === null) return unknown(rule, want, NO_DOCUMENTS)
  const [tcb, qe] = [info.tcbEvaluationDataNumber, identity.tcbEvaluationDataNumber]
  return check(rule, tcb >= minimum && qe >= minimum, want, `TCB info ${tcb}, QE identity ${qe}`)
}

/** REPORTDATA of enclaves and TDs, in bytes. */
const REPORT_DATA_SIZE = 64

/** The challenge that the caller named, zero-padded on the right. */
export function checkNonce(nonce: Uint8Array, reportData: Uint8Array): Check {
  const fits = nonce.length > 0 && nonce.length <= REPORT_DATA_SIZE
  const want = fits ? concat(nonce, new Uint8Array(REPORT_DATA_SIZE - nonce.length)) : nonce
  return check('freshness.nonce', fits && equal(want, reportData), toHex(want), toHex(reportData))
}

export function checkMeasurement(wanted: Uint8Array, measurement: Uint8Array): Check {
  return check('reference-values.measurement', equal(wanted, measurement), toHex(wanted), toHex(measurement))
}
