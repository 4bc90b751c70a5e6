import { AttestError, type ErrorCode } from '../../verify/errors.ts'
import { type Clock, instant } from '../clock.ts'
import { BackOff, parseRetryAfter } from './back-off.ts'
import type { HttpAnswer, HttpGet } from './http.ts'
import { nameOf, type Question } from './questions.ts'
import { type Endpoints, piecesOf, requestFor } from './vendors.ts'

export interface FetcherOptions {
  readonly endpoints: Endpoints
  readonly get: HttpGet
  readonly clock: Clock
  readonly random: () => number
}

/** How long a vendor's "no", or an answer that was worth nothing, is remembered. */
const REFUSAL_MS = 10 * 60 * 1000
const MAX_REFUSALS = 1024
/** Hosts choose what is asked for; this bounds what they can set off at once. */
const MAX_UNDER_WAY = 16

interface Refusal {
  readonly until: number
  readonly error: AttestError
}

/** Asks vendors, and knows when not to. Every failure is a `COLLATERAL_MISSING` whose cause says more. */
export class Fetcher {
  readonly #options: FetcherOptions
  readonly #backOff: BackOff
  readonly #refusals = new Map<string, Refusal>()
  #underWay = 0

  constructor(options: FetcherOptions) {
    this.#options = options
    this.#backOff = new BackOff(options.clock, options.random)
  }

  /**
   * @param accept - Makes of the pieces what is wanted, or null where they are not what was asked for.
   * @throws AttestError `COLLATERAL_MISSING`.
   */
  async fetch<T>(question: Question, accept: (pieces: readonly Uint8Array[]) => Promise<T | null>): Promise<T> {
    const { clock, endpoints } = this.#options
    const name = nameOf(question)
    const refusal = this.#refusals.get(name)
    if (refusal !== undefined && refusal.until > clock.now()) throw refusal.error
    const { url, headers, maxBytes } = requestFor(question, endpoints)
    const blocked = this.#backOff.blockedUntil(url.origin)
    if (blocked !== null) throw missing(name, `${url.host} is left alone until ${instant(blocked)}`)
    if (this.#underWay >= MAX_UNDER_WAY) throw missing(name, 'too many fetches are under way')
    try {
      const answer = await this.#ask(name, url, headers, maxBytes)
      const wanted = await readWanted(question, answer, accept)
      this.#backOff.succeeded(url.origin)
      this.#refusals.delete(name)
      return wanted
    } catch (error) {
      if (!(error instanceof AttestError)) throw error
      throw this.#remembered(name, error)
    }
  }

  async #ask(name: string, url: URL, headers: Readonly<Record<string, string>>, maxBytes: number): Promise<HttpAnswer> {
    const { clock, get } = this.#options
    let answer: HttpAnswer
    this.#underWay++
    try {
      answer = await get(url, headers, maxBytes)
    } catch (error) {
      if (isOutage(error)) this.#backOff.failed(url.origin, null)
      throw error
    } finally {
      this.#underWay--
    }
    const { status } = answer
    if (status === 200) return answer
    if (status === 429 || status >= 500) {
      this.#backOff.failed(url.origin, parseRetryAfter(answer.headers['retry-after'], clock.now()))
      throw missing(name, `${url.host} answers ${status}`)
    }
    throw new AttestError('NOT_FOUND', `${url.host} answers ${status}`, { at: name })
  }

  /** An outage is remembered for the server; everything else for the question. */
  #remembered(name: string, error: AttestError): AttestError {
    if (error.code === 'COLLATERAL_MISSING') return error
    const told = missing(name, error.message, error)
    if (isOutage(error)) return told
    const [oldest] = this.#refusals.keys()
    if (this.#refusals.size >= MAX_REFUSALS && oldest !== undefined) this.#refusals.delete(oldest)
    this.#refusals.set(name, { until: this.#options.clock.now() + REFUSAL_MS, error: told })
    return told
  }
}

async function readWanted<T>(
  question: Question,
  answer: HttpAnswer,
  accept: (pieces: readonly Uint8Array[]) => Promise<T | null>,
): Promise<T> {
  const wanted = await accept(piecesOf(question, answer))
  if (wanted !== null) return wanted
  throw new AttestError('CHAIN_INVALID', 'the answer is not what was asked for, is not current, or leads to no trusted root', {
    at: nameOf(question),
  })
}

const OUTAGES: ReadonlySet<ErrorCode> = new Set(['GATEWAY_UNREACHABLE', 'DEADLINE', 'CANCELLED'])

function isOutage(error: unknown): boolean {
  return error instanceof AttestError && OUTAGES.has(error.code)
}

function missing(name: string, message: string, cause?: AttestError): AttestError {
  return new AttestError('COLLATERAL_MISSING', `${name}: ${message}`, { at: name, cause })
}
