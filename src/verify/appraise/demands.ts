import type { Contract } from '../documents/contract.ts'
import { ISOLATION_GRADES, ISOLATION_PROFILES, type IsolationGrade } from '../documents/isolation.ts'
import type { HpkePublicKey } from '../documents/keys.ts'
import type { Policy } from '../documents/policy.ts'
import { check, oneOf } from '../evidence/check.ts'
import type { Json } from '../formats/canonical-json.ts'
import type { Check } from '../verdict.ts'
import { atLeast, listed } from './check.ts'
import { countGpus, gpuModels } from './devices.ts'
import type { AppraisedClaims } from './policy.ts'

/** A job and the means to run it, as far as policies make demands on them. */
export interface DemandInput {
  readonly contract: Contract
  /** The policies that the grants name. */
  readonly policies: readonly Policy[]
  /** The enclave's key; null while there is none yet. */
  readonly kem: HpkePublicKey | null
  /** The log at hand and the verifier keys of its witnesses; null for who has no log and checks only that the policies agree. */
  readonly log: (Policy['log'] & { readonly witnesses: readonly string[] }) | null
}

/**
 * What policies demand of a job beside its evidence: runner, key wrap suites, log and witnesses. Every policy must hold,
 * and there must be one.
 */
export function policiesAllow({ contract, policies, kem, log }: DemandInput): readonly Check[] {
  const { runner } = contract.image
  const isolation = ISOLATION_PROFILES[contract.isolation]
  const suites = [...(kem === null ? [] : [kem]), ...contract.recipients].map((k) => k.suite)
  const wantedLog = log ?? policies[0]?.log
  return [
    check('policy.present', policies.length > 0, 'at least one policy', String(policies.length)),
    check('policy.isolation', isolation.runner === runner, `a profile for ${runner}`, contract.isolation),
    ...policies.flatMap((policy) => [
      check('policy.runner', policy.runners.includes(runner), oneOf(policy.runners), runner),
      ...minimumIsolation(policy, isolation.grade),
      check(
        'policy.suite',
        suites.every((s) => policy.suites.includes(s)),
        oneOf(policy.suites),
        listed([...new Set(suites)]),
      ),
      check('policy.log', isSameLog(policy.log, wantedLog), logText(policy.log), logText(wantedLog)),
      ...(log === null ? [] : witnessing(policy, log.witnesses)),
    ]),
  ]
}

function minimumIsolation({ minimumGrades }: Policy, grade: IsolationGrade): readonly Check[] {
  const minimum = minimumGrades.isolation
  return minimum === undefined ? [] : [atLeast('policy.isolation-grade', ISOLATION_GRADES, minimum, grade)]
}

function isSameLog(a: Policy['log'], b: Policy['log'] | undefined): boolean {
  return a.origin === b?.origin && a.key === b.key
}

function logText(log: Policy['log'] | undefined): string {
  return log === undefined ? 'none' : `${log.origin} ${log.key}`
}

function witnessing({ witnessing: demand }: Policy, witnesses: readonly string[]): readonly Check[] {
  if (demand.mode === 'none') return []
  const reached = demand.keys.filter((k) => witnesses.includes(k)).length
  return [check('policy.witnessing', reached >= demand.k, `${demand.k} of ${oneOf(demand.keys)}`, `${reached} of them`)]
}

/** What evidence proves of a machine, as far as contracts make demands on it. */
export interface ProvenMachine {
  readonly tee: string
  /** Stated by the operator and bound to the evidence, which proves who said it and not that it is so; null: not stated. */
  readonly region: string | null
  readonly gpus: number
  /** Of each GPU; null before there is evidence of them: then nobody can say. */
  readonly gpuModels: readonly (string | null)[] | null
}

/** What the submitter demanded of the machine (contract constraints), against what evidence proves. */
export function constraintChecks(contract: Contract, { tee, region, gpus, gpuModels }: ProvenMachine): readonly Check[] {
  const { tees, gpuModel, region: wantedRegion } = contract.constraints
  const wanted = contract.resources.gpus
  return [
    ...(tees.length === 0 ? [] : [check('policy.contract-tee', tees.includes(tee), oneOf(tees), tee)]),
    ...(wantedRegion === null ? [] : [check('policy.contract-region', region === wantedRegion, wantedRegion, region ?? 'none stated')]),
    check('policy.contract-gpus', gpus >= wanted, `${wanted} attested GPUs`, String(gpus)),
    ...(gpuModel === null || gpuModels === null ? [] : [checkModel(gpuModel, Math.max(1, wanted), gpuModels)]),
  ]
}

function checkModel(model: string, wanted: number, found: readonly (string | null)[]): Check {
  const fits = found.filter((m) => m === model).length
  const got = found.length === 0 ? 'no GPU' : listed(found.map((m) => m ?? 'unnamed'))
  return check('policy.contract-gpu-model', fits >= wanted, `${wanted} of model ${model}`, got)
}

/** What of verified claims {@link constraintChecks} asks for. */
export function provenOf({ tee, devices, config }: Pick<AppraisedClaims, 'tee' | 'devices' | 'config'>): ProvenMachine {
  return { tee, region: statedRegion(config), gpus: countGpus(devices), gpuModels: gpuModels(devices) }
}

function statedRegion(config: Json): string | null {
  const stated = config !== null && typeof config === 'object' && 'region' in config ? config.region : null
  return typeof stated === 'string' ? stated : null
}
