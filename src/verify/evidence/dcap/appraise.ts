import { concat, equal, toHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import { check, unknown } from '../check.ts'
import type { TcbFields } from './claims.ts'
import { explainTcb } from './explain.ts'
import type { QeIdentity } from './qe-identity.ts'
import type { TcbInfo } from './tcb-info.ts'
import { advisoriesOf, type PlatformSvns, type TcbEvaluation, type TcbStatus } from './tcb-status.ts'

/** Statuses that a caller may choose to accept. */
export const ACCEPTABLE_TCB_STATUSES = [
  'ConfigurationAndSWHardeningNeeded',
  'ConfigurationNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'SWHardeningNeeded',
  'TDRelaunchAdvised',
  'TDRelaunchAdvisedConfigurationNeeded',
  'UpToDate',
] as const

export type AcceptableTcbStatus = (typeof ACCEPTABLE_TCB_STATUSES)[number]

/** Rules that a caller may add or relax. */
export interface DcapRequirements {
  /**
   * TCB statuses that are accepted; `UpToDate` alone when not given. Any other one needs its advisories in
   * `acceptedAdvisories` as well.
   */
  readonly acceptedTcbStatuses?: readonly AcceptableTcbStatus[]
  /** Advisories that the caller has dealt with, such as `INTEL-SA-00615`. */
  readonly acceptedAdvisories?: readonly string[]
  /** Lowest tcbEvaluationDataNumber of TCB info and QE identity: shuts out an older evaluation that is still current. */
  readonly minimumTcbEvaluationDataNumber?: number
}

const TERMINAL: readonly TcbStatus[] = ['Revoked', 'NotSupported', 'Unrecognized']
export const STRICT_TCB_STATUSES: readonly AcceptableTcbStatus[] = ['UpToDate']
const NO_DOCUMENTS = 'no TCB info or no QE identity that is authentic'

export function checkStatus(
  evaluation: TcbEvaluation | null,
  svns: PlatformSvns,
  info: TcbInfo | null,
  identity: QeIdentity | null,
  requirements: DcapRequirements,
): Check {
  const rule = 'tcb.status'
  const want = wantedStatuses(requirements)
  if (evaluation === null || info === null || identity === null) return unknown(rule, want, NO_DOCUMENTS)
  const { status, current } = evaluation
  const isFine = status === 'UpToDate' && (current === null || current === status)
  const [advisoryIds, shortfalls] = isFine ? [[], []] : [advisoriesOf(evaluation), explainTcb(svns, info, identity)]
  return judgeStatus(status, current, advisoryIds, shortfalls, requirements)
}

/** The same question once more, of what a quote that verified was found to be: as many policies ask it as must hold. */
export function appraiseTcb(tcb: TcbFields | null, requirements: DcapRequirements): Check {
  if (tcb === null) return unknown('tcb.status', wantedStatuses(requirements), NO_DOCUMENTS)
  return judgeStatus(tcb.status, tcb.currentStatus, tcb.advisoryIds, [], requirements)
}

/** QVL reports what runs now (`current`) beside what launched the TD and leaves it to its caller. What is revoked now protects nothing. */
function judgeStatus(
  status: TcbStatus,
  current: TcbStatus | null,
  advisoryIds: readonly string[],
  shortfalls: readonly string[],
  requirements: DcapRequirements,
): Check {
  const { acceptedTcbStatuses: accepted = STRICT_TCB_STATUSES, acceptedAdvisories = [] } = requirements
  const isAmong = (word: TcbStatus): boolean => accepted.some((a) => a === word) && !TERMINAL.includes(word)
  const isCurrentFine = current === null || current === 'UpToDate' || isAmong(current)
  const open = status === 'UpToDate' ? [] : advisoryIds.filter((id) => !acceptedAdvisories.includes(id))
  const reasons = [
    ...shortfalls,
    ...(open.length === 0 ? [] : [`open advisories ${open.join(' ')}`]),
    ...(isCurrentFine || current === status ? [] : [`what runs now is ${current}`]),
  ]
  const got = reasons.length === 0 ? status : `${status}: ${reasons.join('; ')}`
  return check('tcb.status', isAmong(status) && isCurrentFine && open.length === 0, wantedStatuses(requirements), got)
}

function wantedStatuses({ acceptedTcbStatuses = STRICT_TCB_STATUSES }: DcapRequirements): string {
  return acceptedTcbStatuses.length === 0 ? 'no status is accepted' : acceptedTcbStatuses.join(' or ')
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
