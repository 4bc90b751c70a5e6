import { bytesOf, sealgate } from '../rpc/index.ts'
import { toBase64Url } from '../verify/bytes/bytes.ts'
import { AttestError, ERROR_CODES, type ErrorCode } from '../verify/errors.ts'

const { JobState } = sealgate.v1

/** State of a job, as the gateway tells it. */
export type JobStateName =
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

const NAMES: ReadonlyMap<unknown, JobStateName> = new Map<unknown, JobStateName>([
  [JobState.JOB_STATE_AWAITING_RELEASERS, 'awaiting-releasers'],
  [JobState.JOB_STATE_CREATED, 'created'],
  [JobState.JOB_STATE_PLACED, 'placed'],
  [JobState.JOB_STATE_ATTESTED, 'attested'],
  [JobState.JOB_STATE_LOGGED, 'logged'],
  [JobState.JOB_STATE_RELEASED, 'released'],
  [JobState.JOB_STATE_RUNNING, 'running'],
  [JobState.JOB_STATE_SUCCEEDED, 'succeeded'],
  [JobState.JOB_STATE_FAILED, 'failed'],
  [JobState.JOB_STATE_REFUSED, 'refused'],
  [JobState.JOB_STATE_LOST, 'lost'],
  [JobState.JOB_STATE_CANCELLED, 'cancelled'],
])

const FINAL: ReadonlySet<JobStateName> = new Set<JobStateName>(['succeeded', 'failed', 'refused', 'lost', 'cancelled'])

export function isFinal(state: JobStateName): boolean {
  return FINAL.has(state)
}

export interface TransitionView {
  readonly state: JobStateName
  /** RFC 3339, the gateway's clock. */
  readonly at: string
  readonly reason: string
  readonly code: ErrorCode | null
}

/** A job as the gateway tells it: for people and for waiting, never a ground for trust. */
export interface JobView {
  readonly jobId: string
  /** base64url. */
  readonly jobDigest: string
  readonly state: JobStateName
  readonly host: string
  readonly transitions: readonly TransitionView[]
  /** Of an array job that runs: how many items have ended, out of how many. */
  readonly items?: { readonly done: number; readonly total: number }
}

/** @throws AttestError `DOCUMENT_INVALID` for a state that this version does not know. */
export function jobFromWire(wire: sealgate.v1.IJob | null | undefined): JobView {
  return {
    jobId: wire?.jobId ?? '',
    jobDigest: toBase64Url(bytesOf(wire?.jobDigest)),
    state: stateName(wire?.state),
    host: wire?.host ?? '',
    ...(wire?.items ? { items: { done: wire.itemsDone ?? 0, total: wire.items } } : {}),
    transitions: (wire?.transitions ?? []).map((t) => ({
      state: stateName(t.state),
      at: t.at ?? '',
      reason: t.reason ?? '',
      code: t.code !== null && t.code !== undefined && t.code in ERROR_CODES ? (t.code as ErrorCode) : null,
    })),
  }
}

export function stateName(value: unknown): JobStateName {
  const name = NAMES.get(value)
  if (name === undefined) throw new AttestError('DOCUMENT_INVALID', `unknown job state ${String(value)}`, { at: 'job.state' })
  return name
}
