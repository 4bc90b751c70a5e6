import { fromUtf8 } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { type Cosignature, encodeAddCheckpoint, encodeNote, parseCheckpoint, verifyCosignature } from '../../verify/tlog/index.ts'
import type { Clock } from '../clock.ts'
import type { HttpPost, PostAnswer } from './http.ts'

/** Asks the log for a consistency proof between two tree sizes. */
export type ConsistencySource = (oldSize: number, newSize: number) => Promise<readonly Uint8Array[]>

/** What one witness made of a checkpoint. */
export type Outcome =
  | { readonly kind: 'cosigned'; readonly cosignature: Cosignature }
  /** No cosignature this time. */
  | { readonly kind: 'failed'; readonly why: string }
  /** It has cosigned a tree that ours does not extend: ours was rolled back or replaced, or it lies. */
  | { readonly kind: 'fork'; readonly why: string }

/** A cosignature so far from the own clock helps nobody: its time would make an entry stale or early. */
const MAX_SKEW_SECONDS = 60
/** Asked without knowing what it has seen, and again with the size that it names. */
const MAX_ATTEMPTS = 3

/** Asks one witness for cosignatures (C2SP tlog-witness). Believes nothing of it but its signature. */
export class WitnessClient {
  /** C2SP verifier key. */
  readonly key: string
  readonly name: string
  readonly #post: HttpPost
  readonly #clock: Clock
  /** Size of the tree that it cosigned last, as far as we know. */
  #known: number | null = null

  /** @param key - Verifier key, well-formed. */
  constructor(key: string, post: HttpPost, clock: Clock) {
    this.key = key
    this.name = key.split('+')[0] ?? ''
    this.#post = post
    this.#clock = clock
  }

  /** Asks for a cosignature of a checkpoint of the own log. Never throws for what a witness does. */
  async cosign(note: string, proofs: ConsistencySource, signal: AbortSignal): Promise<Outcome> {
    const { size } = parseCheckpoint(note)
    let oldSize = Math.min(this.#known ?? size, size)
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const answer = await this.#post(encodeAddCheckpoint({ oldSize, proof: await proofs(oldSize, size), note }), signal)
      if ('failure' in answer) return { kind: 'failed', why: answer.failure }
      if (answer.status === 200) return this.#accept(note, size, answer)
      if (answer.status === 422) return { kind: 'fork', why: `does not find that this log extends the ${oldSize} entries that it cosigned` }
      if (answer.status !== 409) return { kind: 'failed', why: `refuses with status ${answer.status}` }
      const known = parseSize(answer)
      if (known === null) return { kind: 'failed', why: 'answers 409 without a size' }
      if (known > size) return { kind: 'fork', why: `has cosigned ${known} entries of this log, which holds ${size}` }
      if (known === oldSize) {
        if (oldSize === size) return { kind: 'fork', why: `has cosigned another tree of ${size} entries` }
        return { kind: 'failed', why: 'answers 409 with the size that it was asked with' }
      }
      this.#known = known
      oldSize = known
    }
    return { kind: 'failed', why: 'names another size each time' }
  }

  async #accept(note: string, size: number, { body }: PostAnswer): Promise<Outcome> {
    try {
      const { text } = parseCheckpoint(note).note
      const cosignature = await verifyCosignature(encodeCosigned(text, fromUtf8(body)), this.key)
      this.#known = size
      const ahead = cosignature.time - Math.floor(this.#clock.now() / 1000)
      if (Math.abs(ahead) > MAX_SKEW_SECONDS) return { kind: 'failed', why: `dates its cosignature ${ahead} s from now` }
      return { kind: 'cosigned', cosignature }
    } catch (error) {
      if (error instanceof AttestError) return { kind: 'failed', why: `answers no cosignature of its key (${error.message})` }
      throw error
    }
  }
}

/** The text with the lines of the answer alone: what else is in it is of keys that nobody asked. */
function encodeCosigned(text: string, lines: string): string {
  const note = `${text}\n${lines}`
  const { signatures } = parseCheckpoint(note).note
  return encodeNote({ text, signatures })
}

function parseSize({ type, body }: PostAnswer): number | null {
  if (type.split(';')[0]?.trim() !== 'text/x.tlog.size') return null
  const match = /^(0|[1-9][0-9]{0,15})\n$/.exec(Buffer.from(body).toString('latin1'))
  const size = Number(match?.[1])
  return Number.isSafeInteger(size) ? size : null
}
