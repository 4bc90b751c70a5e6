import type { Contract } from '../documents/contract.ts'
import type { Grant } from '../documents/grant.ts'
import type { ReleaseIntent } from '../documents/intent.ts'
import type { Policy } from '../documents/policy.ts'
import { check } from '../evidence/check.ts'
import type { Check } from '../verdict.ts'

/** 9999-12-31T23:59:59Z, in seconds since the epoch. */
const MAX_INSTANT = 253_402_300_799

/** Whole seconds since the epoch of an instant field or a Date. */
export function unixSeconds(instant: string | Date): number {
  return Math.floor((typeof instant === 'string' ? Date.parse(instant) : instant.getTime()) / 1000)
}

/** An instant field of seconds since the epoch; plain seconds where no calendar reaches. */
export function instantOf(seconds: number): string {
  return seconds <= MAX_INSTANT ? new Date(seconds * 1000).toISOString().replace('.000Z', 'Z') : `${seconds} s`
}

/**
 * A grant holds when it began at the earliest that now can be and has not ended at the latest that now can be.
 * @param lower - Bounds of now, seconds since the epoch; equal where a clock is trusted.
 */
export function grantTimeChecks(grant: Grant, lower: number, upper: number): readonly Check[] {
  return [
    check('freshness.grant-begun', unixSeconds(grant.notBefore) <= lower, `not before ${grant.notBefore}`, instantOf(lower)),
    before('freshness.grant-expiry', grant.expires, upper),
  ]
}

/** @param upper - The latest that now can be, seconds since the epoch. */
export function contractTimeChecks(contract: Contract, upper: number): readonly Check[] {
  return [before('freshness.contract', contract.notAfter, upper)]
}

/** @param upper - The latest that now can be, seconds since the epoch. */
export function intentTimeChecks(intent: ReleaseIntent, upper: number): readonly Check[] {
  return [before('freshness.deadline', intent.deadline, upper)]
}

/**
 * A checkpoint must be close to the instant at which it is relied on: neither older than the policy allows, nor that far
 * ahead, which would be a log that dates its entries into the future.
 */
export function checkpointAgeChecks(policy: Policy, checkpointTime: number, now: number): readonly Check[] {
  const limit = policy.maximumAge.checkpointSeconds
  const age = now - checkpointTime
  return [check('freshness.checkpoint-age', Math.abs(age) <= limit, `at most ${limit} s old`, `${age} s old`)]
}

/**
 * The checkpoint in a job nonce stands for the moment before the job's keys existed: it must not be younger than the
 * release, must not hold it yet, and must not be stale by then.
 * @param release - Index of the release entry and the time of its checkpoint, under the same policy.
 */
export function nonceCheckpointChecks(
  policy: Policy,
  nonce: { readonly size: number; readonly time: number },
  release: { readonly index: number; readonly time: number },
): readonly Check[] {
  const { index, time } = release
  return [
    check('freshness.nonce-size', nonce.size <= index, `at most ${index} leaves before the release`, String(nonce.size)),
    check('freshness.nonce-time', nonce.time <= time, `not after ${instantOf(time)}`, instantOf(nonce.time)),
    ...checkpointAgeChecks(policy, nonce.time, time),
  ]
}

function before(rule: Check['rule'], end: string, upper: number): Check {
  return check(rule, upper < unixSeconds(end), `before ${end}`, instantOf(upper))
}
