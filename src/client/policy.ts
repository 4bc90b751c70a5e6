import { HPKE_SUITES } from '../verify/documents/keys.ts'
import { encodePolicy, type Policy } from '../verify/documents/policy.ts'

export interface PolicyChoices {
  /** The log whose entries open data; from the gateway's trust file. */
  readonly log: Policy['log']
  readonly measurements: Policy['appraisal']['measurements']
  /** True lets simulated evidence pass: for demonstrations only. */
  readonly allowSimulated: boolean
  readonly allowUnknown: Policy['appraisal']['allowUnknown']
  readonly runners: Policy['runners']
}

const DAY_SECONDS = 24 * 3600
/** Vendors sign revocation lists for a year (AMD's nextUpdate); the lists' own dates hold beside this. */
const COLLATERAL_DAYS = 366

/** Canonical bytes of a policy that is strict wherever its owner did not choose. */
export function createPolicy(choices: PolicyChoices): Uint8Array {
  const tees = [...new Set(choices.measurements.map((m) => m.tee))].sort()
  return encodePolicy({
    v: 1,
    appraisal: {
      tees,
      allowSimulated: choices.allowSimulated,
      measurements: choices.measurements,
      allowUnknown: [...new Set(choices.allowUnknown)].sort(),
    },
    log: choices.log,
    witnessing: { mode: 'none' },
    maximumAge: { checkpointSeconds: 300, collateralSeconds: COLLATERAL_DAYS * DAY_SECONDS },
    minimumTcbEvaluationDataNumber: null,
    minimumGrades: { binding: 'committed', placement: 'none' },
    runners: [...new Set(choices.runners)].sort(),
    suites: HPKE_SUITES,
    cedar: '',
  })
}
