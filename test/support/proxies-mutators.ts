import type { Instead, Passing, Tamper } from '../../src/cli/demo/relay.ts'

/** What can happen to one message on its way. */
export type Mutation = 'flip' | 'drop' | 'duplicate' | 'replay' | 'swap'

/** Numbers that look random and are the same in every run (mulberry32). @returns uniform in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export interface Target {
  readonly method: string
  readonly direction: 'up' | 'down'
  /** Which of the messages of this kind, from 0; a pattern in its bytes where they share a stream. */
  readonly matches?: (bytes: Buffer) => boolean
}

/** What passed in an earlier, honest run: the messages that can be replayed. */
export type Recording = Map<string, Buffer[]>

const keyOf = ({ method, direction }: Pick<Passing, 'method' | 'direction'>): string => `${method} ${direction}`

/** Changes nothing and remembers everything. */
export function record(recording: Recording): Tamper {
  return (message) => {
    const key = keyOf(message)
    recording.set(key, [...(recording.get(key) ?? []), Buffer.from(message.bytes)])
    return [message.bytes]
  }
}

/** Does one thing to the first message that fits the target, and lets all others pass. */
export function mutateOnce(
  target: Target,
  mutation: Mutation,
  recording: Recording,
  random: () => number,
): Tamper & { readonly done: () => boolean } {
  let state: 'waiting' | 'holding' | 'done' = 'waiting'
  let held: Buffer | null = null
  const tamper = (message: Passing): Instead => {
    if (keyOf(message) !== keyOf(target)) return [message.bytes]
    if (state === 'holding' && held !== null) {
      state = 'done'
      return [message.bytes, held]
    }
    if (state !== 'waiting' || target.matches?.(message.bytes) === false) return [message.bytes]
    state = 'done'
    switch (mutation) {
      case 'flip':
        return [flip(message.bytes, random)]
      case 'drop':
        return []
      case 'duplicate':
        return [message.bytes, Buffer.from(message.bytes)]
      case 'replay': {
        const old = (recording.get(keyOf(target)) ?? []).filter((bytes) => target.matches?.(bytes) !== false)
        return [old[Math.floor(random() * old.length)] ?? message.bytes]
      }
      case 'swap':
        // Goes after the next one of its kind; alone on its way it is lost.
        state = 'holding'
        held = Buffer.from(message.bytes)
        return []
    }
  }
  return Object.assign(tamper, { done: () => state !== 'waiting' })
}

function flip(bytes: Buffer, random: () => number): Buffer {
  if (bytes.length === 0) return Buffer.from([1])
  const changed = Buffer.from(bytes)
  const at = Math.floor(random() * changed.length)
  changed[at] = (changed[at] ?? 0) ^ (1 << Math.floor(random() * 8))
  return changed
}
