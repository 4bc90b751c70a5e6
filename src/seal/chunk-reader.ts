import { concat } from '../verify/bytes/bytes.ts'
import { Gatherer } from './gatherer.ts'
import type { Chunks } from './stream.ts'

/** Reads a row of chunks front to back in pieces of wanted sizes. What ends early is for the caller to name. */
export class ChunkReader {
  readonly #source: AsyncGenerator<Uint8Array, void, undefined>
  readonly #gathered = new Gatherer()

  constructor(chunks: Chunks) {
    this.#source = iterate(chunks)
  }

  /** Exactly `size` bytes, or null where the source ends before. Memory grows with what came, not with `size`. */
  async exactly(size: number): Promise<Uint8Array | null> {
    while (this.#gathered.size < size) if (!(await this.#pull())) return null
    return concat(...this.#gathered.take(size))
  }

  /** Between 1 and `limit` of the next bytes, as they come; null at the end. */
  async some(limit: number): Promise<Uint8Array | null> {
    while (this.#gathered.size === 0) if (!(await this.#pull())) return null
    const front = this.#gathered.front()
    return this.#gathered.take(Math.min(limit, front))[0] ?? null
  }

  /** True when nothing is left. */
  async atEnd(): Promise<boolean> {
    while (this.#gathered.size === 0) if (!(await this.#pull())) return true
    return false
  }

  /** Gives the source up when it is not read to its end. */
  async close(): Promise<void> {
    await this.#source.return()
  }

  async #pull(): Promise<boolean> {
    const next = await this.#source.next()
    if (next.done) return false
    this.#gathered.push(next.value)
    return true
  }
}

async function* iterate(chunks: Chunks): AsyncGenerator<Uint8Array, void, undefined> {
  yield* chunks
}
