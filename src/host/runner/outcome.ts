import { AttestError } from '../../verify/errors.ts'
import type { RunEnd, RunOutcome, RunOutput } from './types.ts'

/** Why the runner ended a program before it ended by itself. */
export type Stop = Exclude<RunEnd, 'succeeded' | 'failed'>

/** What is known when a program has ended. A `stop` outweighs the exit code: it is what caused it. */
export interface Ended {
  readonly stop: Stop | null
  /** Null when there is none; anything above 255 counts as 255. */
  readonly exitCode: number | null
  /** Why there is no exit code, where that is not a stop. */
  readonly problem?: string
}

type End = Pick<RunOutcome, 'kind' | 'exitCode' | 'code' | 'reason'>

const STOPPED: Record<Stop, Omit<End, 'kind' | 'exitCode'>> = {
  timeout: { code: 'DEADLINE', reason: 'the time limit was reached' },
  'out-of-memory': { code: 'LIMIT_EXCEEDED', reason: 'the memory limit was reached' },
  'output-too-large': { code: 'LIMIT_EXCEEDED', reason: 'the job wrote more than its output limit' },
  idle: { code: null, reason: 'no request came for the idle limit' },
  cancelled: { code: 'CANCELLED', reason: 'the job was cancelled' },
}

export function endOf({ stop, exitCode, problem }: Ended): End {
  if (stop !== null) return { kind: stop, exitCode: null, ...STOPPED[stop] }
  if (exitCode === null)
    return { kind: 'failed', exitCode: null, code: 'JOB_FAILED', reason: problem ?? 'the program ended without an exit code' }
  if (exitCode === 0) return { kind: 'succeeded', exitCode: 0, code: null, reason: 'the program ended with exit code 0' }
  const shown = exitCode > 0 && exitCode < 256 ? exitCode : 255
  return { kind: 'failed', exitCode: shown, code: 'JOB_FAILED', reason: `the program ended with exit code ${shown}` }
}

/**
 * Outputs count only of a program that ended by itself. One whose outputs may not leave (too many bytes or files, or
 * something else than plain files) has not succeeded.
 */
export async function outcomeOf(
  ended: Ended,
  collect: () => Promise<readonly RunOutput[]>,
): Promise<{ readonly end: End; readonly outputs: readonly RunOutput[] }> {
  const end = endOf(ended)
  if (end.exitCode === null) return { end, outputs: [] }
  try {
    return { end, outputs: await collect() }
  } catch (error) {
    if (!(error instanceof AttestError) || (error.code !== 'LIMIT_EXCEEDED' && error.code !== 'JOB_FAILED')) throw error
    const kind = error.code === 'LIMIT_EXCEEDED' ? 'output-too-large' : 'failed'
    return { end: { kind, exitCode: end.exitCode, code: error.code, reason: error.message }, outputs: [] }
  }
}
