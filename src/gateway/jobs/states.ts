import { AttestError } from '../../verify/errors.ts'

export type JobState =
  | 'created'
  | 'placed'
  | 'attested'
  | 'logged'
  | 'released'
  | 'running'
  | 'succeeded'
  | 'failed'
  | 'refused'
  | 'lost'
  | 'cancelled'

/**
 * Every way that a job may go. Back from `placed` to `created`: the host declined or went away before it showed evidence,
 * another may be asked. From `logged` on a release stands in the log, so the end is one that a receipt tells.
 */
export const TRANSITIONS: Readonly<Record<JobState, readonly JobState[]>> = {
  created: ['placed', 'refused', 'cancelled'],
  placed: ['created', 'attested', 'refused', 'cancelled'],
  attested: ['logged', 'refused', 'cancelled'],
  logged: ['released', 'refused', 'cancelled', 'lost'],
  released: ['running', 'succeeded', 'failed', 'refused', 'cancelled', 'lost'],
  running: ['succeeded', 'failed', 'refused', 'cancelled', 'lost'],
  succeeded: [],
  failed: [],
  refused: [],
  lost: [],
  cancelled: [],
}

export const JOB_STATES: readonly JobState[] = Object.keys(TRANSITIONS) as JobState[]

export function isFinal(state: JobState): boolean {
  return TRANSITIONS[state].length === 0
}

export const FINAL: readonly JobState[] = JOB_STATES.filter(isFinal)

/** States in which a job keeps its host. */
export const ON_HOST: readonly JobState[] = ['placed', 'attested', 'logged', 'released', 'running']

/** States in which no keys are with a host, nor on their way to one. */
const BEFORE_RELEASE: readonly JobState[] = ['created', 'placed', 'attested', 'logged']

export function isBeforeRelease(state: JobState): boolean {
  return BEFORE_RELEASE.includes(state)
}

/** States in which keys are with a host, or on their way to it. */
export const WITH_KEYS: readonly JobState[] = ['released', 'running']

export const UNFINISHED: readonly JobState[] = ['created', ...ON_HOST]

/** @throws AttestError `JOB_CONFLICT`. */
export function assertTransition(from: JobState, to: JobState): void {
  if (!TRANSITIONS[from].includes(to))
    throw new AttestError('JOB_CONFLICT', `a job that is ${from} does not become ${to}`, { at: 'job.state' })
}
