import { AttestError } from '../../verify/errors.ts'

export type JobState =
  | 'awaiting-releasers'
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
 * another may be asked. A job waits in `attested` until every releaser has its intent in the log; some may be there already, so
 * its end, too, is one that a receipt tells.
 */
export const TRANSITIONS: Readonly<Record<JobState, readonly JobState[]>> = {
  'awaiting-releasers': ['created', 'refused', 'cancelled'],
  created: ['placed', 'refused', 'cancelled'],
  placed: ['created', 'attested', 'refused', 'cancelled'],
  attested: ['logged', 'refused', 'cancelled', 'lost'],
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
export const BEFORE_RELEASE: readonly JobState[] = ['awaiting-releasers', 'created', 'placed', 'attested', 'logged']

export function isBeforeRelease(state: JobState): boolean {
  return BEFORE_RELEASE.includes(state)
}

/** States in which keys are with a host, or on their way to it. */
export const WITH_KEYS: readonly JobState[] = ['released', 'running']

export const UNFINISHED: readonly JobState[] = ['awaiting-releasers', 'created', ...ON_HOST]

/** @throws AttestError `JOB_CONFLICT`. */
export function assertTransition(from: JobState, to: JobState): void {
  if (!TRANSITIONS[from].includes(to))
    throw new AttestError('JOB_CONFLICT', `a job that is ${from} does not become ${to}`, { at: 'job.state' })
}
