import type { BindingGrade, PlacementGrade, Policy } from '../documents/policy.ts'
import { check, oneOf } from '../evidence/check.ts'
import type { DeviceClaims } from '../evidence/nvidia/claims.ts'
import type { Json } from '../formats/canonical-json.ts'
import { allowUnknown, type Check, type Verified } from '../verdict.ts'
import type { CpuClaims } from '../verify-format.ts'
import { atLeast } from './check.ts'
import { appraiseDevices } from './devices.ts'
import { appraiseRequirements } from './requirements.ts'
import { unixSeconds } from './time-rules.ts'

/** What a policy tests of verified evidence. */
export interface AppraisedClaims {
  readonly tee: string
  /** Hexadecimal; null for a TEE that has none. */
  readonly measurement: string | null
  readonly debug: boolean
  readonly simulated: boolean
  readonly bindingGrade: BindingGrade
  readonly placementGrade: PlacementGrade
  /** Intel's tcbEvaluationDataNumber; null for a TEE that has none. */
  readonly tcbEvaluationDataNumber: number | null
  /** When the oldest dated collateral (CRL, TCB info) was made, seconds since the epoch; null when none was needed or given. */
  readonly collateralTime: number | null
  /** Of the CPU's evidence, field by field. */
  readonly cpu: CpuClaims
  /** Of GPUs and switches, in the order of the binding. */
  readonly devices: readonly DeviceClaims[]
  /** The agent's own word about itself, bound to the evidence; null for evidence without an agent. */
  readonly config: Json
}

const BINDING_GRADES: readonly BindingGrade[] = ['none', 'nonce', 'committed', 'link']
const PLACEMENT_GRADES: readonly PlacementGrade[] = ['none', 'operator-stated', 'facility-signed']

/**
 * Appraises verified evidence by a policy. Only `Verified` claims fit: unverified ones have nothing to appraise.
 * @param at - The instant at which the policy must hold.
 * @returns one check per rule; accept when {@link accepts}. Unknowns of the groups that the policy names are allowed.
 */
export function appraisePolicy(claims: Verified<AppraisedClaims>, policy: Policy, at: Date): readonly Check[] {
  const { appraisal, minimumGrades } = policy
  const measurements = appraisal.measurements.filter((m) => m.tee === claims.tee).map((m) => m.value)
  const checks = [
    check('policy.tee', appraisal.tees.includes(claims.tee), oneOf(appraisal.tees), claims.tee),
    check(
      'policy.simulated',
      !claims.simulated || appraisal.allowSimulated,
      'genuine hardware',
      claims.simulated ? 'simulated' : 'genuine',
    ),
    check(
      'reference-values.measurement',
      claims.measurement !== null && measurements.includes(claims.measurement),
      oneOf(measurements),
      claims.measurement ?? 'none',
    ),
    check('debug.off', !claims.debug, 'debug off', claims.debug ? 'debug on' : 'debug off'),
    atLeast('policy.binding-grade', BINDING_GRADES, minimumGrades.binding, claims.bindingGrade),
    atLeast('policy.placement-grade', PLACEMENT_GRADES, minimumGrades.placement, claims.placementGrade),
    ...evaluationNumber(claims, policy),
    ...collateralAge(claims, policy, at),
    ...appraiseRequirements(claims.cpu, appraisal),
    ...appraiseDevices(claims.devices, appraisal.nvidia ?? {}, at),
  ]
  return allowUnknown(checks, new Set(appraisal.allowUnknown))
}

function evaluationNumber(claims: AppraisedClaims, policy: Policy): readonly Check[] {
  const want = policy.minimumTcbEvaluationDataNumber
  const got = claims.tcbEvaluationDataNumber
  if (want === null) return []
  const outcome = got === null ? 'unknown' : got >= want ? 'pass' : 'fail'
  return [{ rule: 'tcb.evaluation-data-number', outcome, want: `at least ${want}`, got: got === null ? 'none' : String(got) }]
}

/** Evidence without dated collateral has nothing to be too old; that it lacks a CRL is an unknown of its own. */
function collateralAge(claims: AppraisedClaims, policy: Policy, at: Date): readonly Check[] {
  if (claims.collateralTime === null) return []
  const age = unixSeconds(at) - claims.collateralTime
  const limit = policy.maximumAge.collateralSeconds
  return [check('freshness.collateral-age', age <= limit, `at most ${limit} s old`, `${age} s old`)]
}
