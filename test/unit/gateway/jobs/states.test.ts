import { describe, expect, it } from 'vitest'
import {
  assertTransition,
  isFinal,
  JOB_STATES,
  type JobState,
  ON_HOST,
  TRANSITIONS,
  UNFINISHED,
} from '../../../../src/gateway/jobs/states.ts'

const ALLOWED: readonly [JobState, readonly JobState[]][] = [
  ['awaiting-releasers', ['created', 'refused', 'cancelled']],
  ['created', ['placed', 'refused', 'cancelled']],
  ['placed', ['created', 'attested', 'refused', 'cancelled']],
  ['attested', ['logged', 'refused', 'cancelled', 'lost']],
  ['logged', ['released', 'refused', 'cancelled', 'lost']],
  ['released', ['running', 'succeeded', 'failed', 'refused', 'cancelled', 'lost']],
  ['running', ['succeeded', 'failed', 'refused', 'cancelled', 'lost']],
  ['succeeded', []],
  ['failed', []],
  ['refused', []],
  ['lost', []],
  ['cancelled', []],
]

describe.each(ALLOWED)('from %s', (from, allowed) => {
  it.each(JOB_STATES)('to %s', (to) => {
    const attempt = (): void => assertTransition(from, to)
    if (allowed.includes(to)) expect(attempt).not.toThrow()
    else expect(attempt).toThrow(expect.objectContaining({ code: 'JOB_CONFLICT' }))
  })
})

describe('the table of transitions', () => {
  it('lets keys out only after the release was logged', () => {
    const before = JOB_STATES.filter((state) => TRANSITIONS[state].includes('released'))
    expect(before).toEqual(['logged'])
    expect(JOB_STATES.filter((state) => TRANSITIONS[state].includes('logged'))).toEqual(['attested'])
  })

  it('calls a job lost only when a release may stand in the log', () => {
    expect(JOB_STATES.filter((state) => TRANSITIONS[state].includes('lost'))).toEqual(['attested', 'logged', 'released', 'running'])
  })

  it('never goes back once there is evidence', () => {
    expect(JOB_STATES.filter((state) => TRANSITIONS[state].includes('created'))).toEqual(['awaiting-releasers', 'placed'])
  })

  it('sorts every state into unfinished and final', () => {
    expect(JOB_STATES.filter((state) => !isFinal(state))).toEqual(UNFINISHED)
    expect(UNFINISHED.filter((state) => !['awaiting-releasers', 'created'].includes(state))).toEqual(ON_HOST)
  })
})
