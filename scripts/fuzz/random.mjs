/** Seeded random numbers (mulberry32): one seed, one row of numbers, on every machine. */
export class Random {
  #state

  constructor(seed) {
    this.#state = seed >>> 0
  }

  /** A generator for one name under a common seed, so that targets do not depend on each other. */
  static named(seed, name) {
    let hash = 0x811c9dc5 ^ seed
    for (const unit of Buffer.from(name)) hash = Math.imul(hash ^ unit, 0x01000193)
    return new Random(hash)
  }

  u32() {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }

  /** An integer from 0 to n - 1. */
  below(n) {
    return Math.floor((this.u32() / 0x1_0000_0000) * n)
  }

  chance(percent) {
    return this.below(100) < percent
  }

  pick(list) {
    return list[this.below(list.length)]
  }

  bytes(size) {
    return Uint8Array.from({ length: size }, () => this.below(256))
  }
}
