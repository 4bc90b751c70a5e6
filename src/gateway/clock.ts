/** Time and timers of the gateway, so that tests can hold them still. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Runs `action` once, after `ms`. @returns cancels it. */
  after(ms: number, action: () => void): () => void
}

/** setTimeout holds 31 bits of milliseconds. */
const LONGEST_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, action) {
    let timer: NodeJS.Timeout
    const wait = (left: number): void => {
      const step = Math.min(Math.max(0, left), LONGEST_MS)
      timer = setTimeout(() => (left > step ? wait(left - step) : action()), step)
      // A timer alone must not keep the process alive after close.
      timer.unref()
    }
    wait(ms)
    return () => clearTimeout(timer)
  },
}

/** RFC 3339, UTC, whole seconds. */
export function instant(ms: number): string {
  return new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z')
}
