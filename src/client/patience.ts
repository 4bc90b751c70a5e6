import { setTimeout as delay } from 'node:timers/promises'
import { AttestError } from '../verify/errors.ts'

/** Pauses between tries to reach a gateway again, in milliseconds: about twenty seconds, a restart and some to spare. */
const PAUSES_MS = [200, 400, 800, 1600, 3200, 5000, 5000, 5000]

/**
 * Rides out a gateway that restarts. Only one that was reached before is waited for: a wrong address is told at once. What is
 * tried again must be the same request: the gateway answers a repeated one as it did the first.
 */
export class Patience {
  #reached = false

  /** @throws AttestError of the last try, `CANCELLED`. */
  async run<T>(attempt: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (const pause of this.pauses()) {
      checkGoing(signal)
      try {
        return await this.reaching(attempt)
      } catch (error) {
        if (!this.isWorthWaiting(error, signal)) throw error
        await rest(pause, signal)
      }
    }
    checkGoing(signal)
    return this.reaching(attempt)
  }

  pauses(): readonly number[] {
    return PAUSES_MS
  }

  async reaching<T>(attempt: () => Promise<T>): Promise<T> {
    try {
      const answer = await attempt()
      this.#reached = true
      return answer
    } catch (error) {
      // A refusal is an answer too.
      if (!isConnectionLoss(error)) this.#reached = true
      throw error
    }
  }

  isWorthWaiting(error: unknown, signal?: AbortSignal): boolean {
    return this.#reached && isConnectionLoss(error) && signal?.aborted !== true
  }
}

/** Pauses between tries while the log lacks cosignatures, in milliseconds: about a minute. */
const QUORUM_PAUSES_MS = [300, 700, 1000, 2000, 3000, 5000, 5000, 5000, 5000, 10_000, 10_000, 10_000]

/**
 * Rides out witnesses that do not answer. What is tried again must be the same request: the gateway has logged it, and hands
 * it out when its quorum is there.
 * @throws AttestError of the last try, `CANCELLED`.
 */
export async function untilWitnessed<T>(attempt: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (const pause of QUORUM_PAUSES_MS) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof AttestError) || error.code !== 'WITNESS_QUORUM') throw error
      await rest(pause, signal)
    }
  }
  return attempt()
}

/** Waits, or ends early with `CANCELLED`. */
export async function rest(pauseMs: number, signal?: AbortSignal): Promise<void> {
  await delay(pauseMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined)
  checkGoing(signal)
}

/** @throws AttestError `CANCELLED`. */
export function checkGoing(signal?: AbortSignal): void {
  if (signal?.aborted === true) throw new AttestError('CANCELLED', 'interrupted', { cause: signal.reason })
}

function isConnectionLoss(error: unknown): boolean {
  return error instanceof AttestError && (error.code === 'GATEWAY_UNREACHABLE' || error.code === 'TLS_REJECTED')
}
