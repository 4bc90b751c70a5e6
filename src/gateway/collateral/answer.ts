import { fromHex } from '../../verify/bytes/bytes.ts'
import type { VerifyCache } from '../../verify/evidence/cache.ts'
import { type Item, type Roots, siftItems } from './items.ts'
import { type Question, questionOf } from './questions.ts'

/** What answers one question: the thing itself, and the certificate that signed it where that is not a root. */
export interface Answer {
  /** See {@link nameOf}. */
  readonly name: string
  /** When it came, milliseconds since 1970. */
  readonly fetched: number
  readonly items: readonly [Item, ...Item[]]
}

/** First and last instant at which everything in it holds. */
export function windowOf({ items }: Answer): { readonly notBefore: number; readonly notAfter: number } {
  return { notBefore: Math.max(...items.map((i) => i.notBefore)), notAfter: Math.min(...items.map((i) => i.notAfter)) }
}

/**
 * The answer to a question among pieces from anywhere. What a piece says decides what it answers, never where it came from.
 * @param beside - Certificates that may have signed the answer.
 * @returns Null when no piece both answers the question and leads to a trusted root.
 * @throws AttestError for a piece that is damaged.
 */
export async function findAnswer(
  name: string,
  pieces: readonly Uint8Array[],
  beside: readonly Uint8Array[],
  fetched: number,
  roots: Roots,
  cache: VerifyCache,
): Promise<Answer | null> {
  const question = questionOf(name)
  if (question === null) return null
  const { items } = await siftItems(pieces, beside, roots, cache)
  const fitting = items.filter((item) => fits(item, name, question))
  // Of several, the one that holds longest: a renewed certificate of an authority, the next CRL.
  const best = fitting.reduce<Item | null>((a, b) => (a === null || b.notAfter > a.notAfter ? b : a), null)
  return best === null ? null : answerOf(name, best, fetched)
}

export function answerOf(name: string, item: Item, fetched: number): Answer {
  return { name, fetched, items: item.issuer === null ? [item] : [item, item.issuer] }
}

/** The certificate for a platform is of the best level that the platform reaches, which may be below its own. */
function fits(item: Item, name: string, question: Question): boolean {
  if (question.kind !== 'pck') return item.names.includes(name)
  const [low = 0, high = 0] = fromHex(question.pceSvn)
  return item.pck !== null && item.pck.pceId === question.pceId && item.pck.pceSvn <= low + 256 * high
}
