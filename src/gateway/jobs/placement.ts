import {
  type AppraisedClaims,
  appraisePolicy,
  constraintChecks,
  type HostRoom,
  type JobClaim,
  misfit,
  provenOf,
  roomObstacle,
} from '../../verify/appraise/index.ts'
import type { Contract, RunnerKind } from '../../verify/documents/contract.ts'
import type { Policy } from '../../verify/documents/policy.ts'
import type { Check, Verified } from '../../verify/verdict.ts'
import { describeFailures } from '../refuse.ts'

/** What the gateway knows of a host when it looks for a place. */
export interface Candidate {
  readonly name: string
  readonly online: boolean
  readonly runners: readonly string[]
  /** Profiles that it offers; null while it is away. */
  readonly isolations: readonly string[] | null
  readonly room: Omit<HostRoom, 'gpus'>
  /** What the jobs take that are on it. */
  readonly jobs: readonly JobClaim[]
  /** Why it takes nothing new for the moment, whatever the job. */
  readonly pause: string | null
  /** Null: no accepted evidence, or none any more. */
  readonly claims: Verified<AppraisedClaims> | null
}

export interface PlacementReason {
  readonly host: string
  readonly chosen: boolean
  readonly reasons: readonly string[]
}

export interface Placement {
  readonly chosen: string | null
  /** True when waiting does not help: every known host is here, and none will ever fit. */
  readonly hopeless: boolean
  readonly reasons: readonly PlacementReason[]
  /** Hosts that fit and have no room now. */
  readonly awaited: readonly string[]
}

export interface PlacementRequest {
  readonly contract: Contract
  readonly claim: JobClaim
  readonly policies: readonly Policy[]
  /** Why a host has turned this job down. */
  readonly declined: ReadonlyMap<string, string>
  readonly at: Date
}

/** Looks for a host: of those that fit the one with the fewest jobs, the first by name. Every host gets its reasons, for or against. */
export function choosePlace(request: PlacementRequest, candidates: readonly Candidate[]): Placement {
  const judged = [...candidates]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((candidate) => ({ candidate, never: unfitFor(request, candidate), notNow: unready(request, candidate) }))
  const ready = judged.filter(({ never, notNow }) => never.length === 0 && notNow.length === 0).map(({ candidate }) => candidate)
  const chosen = [...ready].sort((a, b) => a.jobs.length - b.jobs.length)[0]?.name ?? null
  const reasons = judged.map(({ candidate, never, notNow }) => {
    const against = [...never, ...notNow]
    if (against.length > 0) return { host: candidate.name, chosen: false, reasons: against }
    if (candidate.name !== chosen) return { host: candidate.name, chosen: false, reasons: [`fits; ${chosen} comes first`] }
    return { host: candidate.name, chosen: true, reasons: ['attested, with room, and within contract and policies'] }
  })
  const awaited = judged.filter(({ never, candidate }) => never.length === 0 && candidate.claims !== null).map((j) => j.candidate.name)
  return { chosen, hopeless: judged.length > 0 && judged.every(({ never }) => never.length > 0), reasons, awaited }
}

function unready({ claim }: PlacementRequest, { online, claims, room, jobs, pause }: Candidate): readonly string[] {
  if (!online) return ['not connected']
  if (claims === null) return ['not attested']
  const obstacle = pause ?? roomObstacle({ ...room, gpus: provenOf(claims).gpus }, jobs, claim)
  return obstacle === null ? [] : [obstacle]
}

/** What will not change while the host is as it is. */
function unfitFor(request: PlacementRequest, { name, runners, isolations, claims, room }: Candidate): readonly string[] {
  const { contract, policies, declined, at, claim } = request
  const never = misfit({ ...room, gpus: 0 }, claim)
  const refusal = declined.get(name)
  return [
    ...(refusal === undefined ? [] : [`declined: ${refusal}`]),
    ...unfitRunner(contract.image.runner, runners),
    ...unfitIsolation(contract.isolation, isolations),
    ...(never === null ? [] : [never]),
    ...unproven(contract),
    ...(claims === null ? [] : failures(constraintChecks(contract, provenOf(claims)))),
    ...(claims === null ? [] : policies.flatMap((policy) => failures(appraisePolicy(claims, policy, at)))),
  ]
}

function unfitRunner(want: RunnerKind, runners: readonly string[]): readonly string[] {
  return runners.includes(want) ? [] : [`runs ${runners.length === 0 ? 'nothing' : runners.join(', ')}; the image needs ${want}`]
}

function unfitIsolation(want: string, isolations: readonly string[] | null): readonly string[] {
  return isolations === null || isolations.includes(want) ? [] : [`offers ${isolations.join(', ')}; the contract wants ${want}`]
}

/** Constraints that no evidence speaks of: nobody meets what nobody can prove. */
function unproven({ constraints }: Contract): readonly string[] {
  const { maxLatencyMs, maxPricePerHour } = constraints
  const demands = { maxLatencyMs, maxPricePerHour }
  return Object.entries(demands).flatMap(([name, value]) =>
    value === null ? [] : [`constraint ${name} ${value} is not proven by this host`],
  )
}

function failures(checks: readonly Check[]): readonly string[] {
  const text = describeFailures(checks)
  return text === '' ? [] : [text]
}
