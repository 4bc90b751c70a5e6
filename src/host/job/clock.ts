import { setTimeout as delay } from 'node:timers/promises'

/** The only time that the agent has: monotonic, with no relation to the calendar. Injected, so that tests need not wait. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  nowMs(): number
  /** Resolves after the time or as soon as the signal fires, whichever is first; never rejects. */
  sleep(timeMs: number, signal: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  sleep: (timeMs, signal) => delay(timeMs, undefined, { signal }).catch(() => undefined),
}

/** What the enclave knows of the present, in seconds since the epoch. */
export interface TimeBounds {
  readonly lower: number
  readonly upper: number
}

/**
 * Bounds of now (design section 3, "Time in the enclave"). The checkpoint includes an intent that names the KEM key, so
 * it is younger than the key: no more time has passed since the checkpoint than since the key was made.
 * @param checkpointTime - Seconds since the epoch that the policy's cosignatures vouch for.
 * @param elapsedMs - Monotonic time since the KEM key was made.
 */
export function timeBounds(checkpointTime: number, elapsedMs: number): TimeBounds {
  return { lower: checkpointTime, upper: checkpointTime + Math.ceil(elapsedMs / 1000) + 1 }
}
