/** Runs actions of one key one after the other; other keys do not wait. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<unknown>>()

  async run<T>(key: string, action: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key)
    const mine = (async () => {
      // A failed predecessor has told its own caller.
      await before?.catch(() => {})
      return action()
    })()
    this.#tails.set(key, mine)
    try {
      return await mine
    } finally {
      if (this.#tails.get(key) === mine) this.#tails.delete(key)
    }
  }
}
