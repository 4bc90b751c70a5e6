/** Chunks below this size are copied together, so that a source of tiny chunks does not cost a call per chunk later. */
const SMALL_CHUNK = 16 * 1024
const JOIN_SIZE = 64 * 1024

/**
 * Cuts a row of chunks of any size into pieces of wanted sizes without copying large chunks: what it gives out are views
 * of what was pushed, so a source must not overwrite a chunk that it has handed over.
 */
export class Gatherer {
  readonly #parts: Uint8Array[] = []
  #size = 0
  #joining: Uint8Array | null = null
  #joined = 0

  /** Bytes pushed and not taken. */
  get size(): number {
    return this.#size
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#size += chunk.length
    if (chunk.length >= SMALL_CHUNK) {
      this.#flush()
      this.#parts.push(chunk)
      return
    }
    if (this.#joined + chunk.length > JOIN_SIZE) this.#flush()
    this.#joining ??= new Uint8Array(JOIN_SIZE)
    this.#joining.set(chunk, this.#joined)
    this.#joined += chunk.length
  }

  #flush(): void {
    if (this.#joining !== null) this.#parts.push(this.#joining.subarray(0, this.#joined))
    this.#joining = null
    this.#joined = 0
  }

  /** How many bytes can be taken from the front as one piece. */
  front(): number {
    this.#flush()
    return this.#parts[0]?.length ?? 0
  }

  /** Takes exactly `size` bytes from the front. The caller knows that so many are there. */
  take(size: number): Uint8Array[] {
    this.#flush()
    const taken: Uint8Array[] = []
    let left = size
    while (left > 0) {
      const part = this.#parts[0]
      if (part === undefined) throw new RangeError(`${left} bytes missing`)
      taken.push(part.subarray(0, left))
      if (part.length <= left) this.#parts.shift()
      else this.#parts[0] = part.subarray(left)
      left -= Math.min(left, part.length)
    }
    this.#size -= size
    return taken
  }
}
