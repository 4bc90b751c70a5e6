import { describe, expect, it } from 'vitest'
import { type Check, exitCodeOf, type Group, isAuthentic } from '../../../src/verify/verdict.ts'

const make = (group: Group, outcome: Check['outcome'], allowed?: true): Check => ({
  rule: `${group}.x`,
  outcome,
  want: '',
  got: '',
  ...(allowed === undefined ? {} : { allowed }),
})

describe('the exit code', () => {
  it.each([
    ['nothing', [], 5],
    ['a pass', [make('format', 'pass')], 0],
    ['an allowed unknown', [make('format', 'pass'), make('revocation', 'unknown', true)], 0],
    ['malformed', [make('format', 'fail')], 3],
    ['a wrong signature', [make('signature', 'fail')], 4],
    ['an untrusted chain', [make('chain', 'fail')], 4],
    ['an expired certificate', [make('validity', 'fail')], 4],
    ['a revoked certificate', [make('revocation', 'fail')], 4],
    ['a missing certificate', [make('chain', 'unknown')], 6],
    ['a missing CRL', [make('revocation', 'unknown')], 6],
    ['debugging on', [make('debug', 'fail')], 5],
    ['an old nonce', [make('freshness', 'fail')], 5],
    ['an unknown of policy', [make('policy', 'unknown')], 5],
    ['3 before 4', [make('signature', 'fail'), make('format', 'fail')], 3],
    ['4 before 6', [make('revocation', 'unknown'), make('signature', 'fail')], 4],
    ['6 before 5', [make('debug', 'fail'), make('revocation', 'unknown')], 6],
    [
      '4 before 5, and an allowed unknown counts for nothing',
      [make('debug', 'fail'), make('revocation', 'unknown', true), make('chain', 'fail')],
      4,
    ],
  ])('of %s is %s', (_, checks, exit) => {
    expect(exitCodeOf(checks)).toBe(exit)
  })
})

describe('evidence', () => {
  it('is authentic by signature, chain, validity and form, whatever policy says, unless something is revoked', () => {
    const genuine = [make('format', 'pass'), make('signature', 'pass'), make('chain', 'pass'), make('validity', 'pass')]
    expect(isAuthentic([...genuine, make('debug', 'fail'), make('revocation', 'unknown')])).toBe(true)
    expect(isAuthentic([...genuine, make('revocation', 'fail')])).toBe(false)
    expect(isAuthentic([...genuine, make('chain', 'unknown')])).toBe(false)
    expect(isAuthentic([make('policy', 'pass')])).toBe(false)
  })
})
