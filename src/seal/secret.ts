import { AttestError } from '../verify/errors.ts'

/**
 * Secret bytes in a private field: neither `JSON.stringify`, nor string conversion, nor an inspector shows them. `wipe`
 * overwrites them, which is best effort: copies that a runtime or library made (moved buffers, imported key objects,
 * values inside the HPKE library) are beyond reach.
 */
export class Secret {
  readonly #bytes: Uint8Array
  #wiped = false

  /** Takes the array over: the caller must not keep using it. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** The bytes themselves, not a copy. @throws AttestError `INTERNAL` after `wipe`. */
  expose(): Uint8Array {
    if (this.#wiped) throw new AttestError('INTERNAL', 'the key was destroyed already')
    return this.#bytes
  }

  wipe(): void {
    this.#bytes.fill(0)
    this.#wiped = true
  }

  toJSON(): string {
    return '[secret]'
  }

  toString(): string {
    return '[secret]'
  }
}

/** Fills a new array with random bytes. The pure rooms take randomness as an argument. */
export type RandomBytes = (size: number) => Uint8Array

/** Draws random bytes and makes sure that there are as many as were asked for. */
export function draw(random: RandomBytes, size: number): Uint8Array {
  const bytes = random(size)
  if (bytes.length !== size) throw new AttestError('INTERNAL', `the random source gave ${bytes.length} of ${size} bytes`)
  return bytes
}
