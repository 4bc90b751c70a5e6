import { AttestError } from '../../verify/errors.ts'
import { createVerifyCache, type VerifyCache } from '../../verify/evidence/cache.ts'
import type { Clock } from '../clock.ts'
import { type Answer, answerOf, findAnswer, windowOf } from './answer.ts'
import { bundleOf, readBundle } from './bundle.ts'
import type { Fetcher } from './fetcher.ts'
import { type Item, type Roots, type Sifted, siftItems } from './items.ts'
import { type Evidence, leafQuestions, otherQuestions, readEvidence, type Subject, snpProduct } from './needs.ts'
import { isEarly, nameOf, type Question, questionOf, type Update } from './questions.ts'
import type { CollateralStore } from './store.ts'

/** Hears what went wrong without keeping anything from going on. */
export type Warn = (details: { readonly name: string; readonly error: string }, message: string) => void

export interface ServiceOptions {
  readonly store: CollateralStore
  /** Null: nothing is ever fetched. */
  readonly fetcher: Fetcher | null
  readonly roots: Roots
  readonly clock: Clock
  /** CRLs and Intel's documents are asked for again after this, while the ones at hand still hold. */
  readonly refreshSeconds: number
  readonly warn: Warn
}

/** What was found for evidence, and what was not. */
export interface Gathered {
  readonly items: readonly Item[]
  readonly failures: readonly { readonly name: string; readonly error: AttestError }[]
}

/** Names of answers that were stored, and of those that are out of date or older than what is there. */
export interface TakeOver {
  readonly taken: readonly string[]
  readonly left: readonly string[]
}

export type Freshness = 'fresh' | 'stale' | 'expired'

/** One answer as it stands in a list. */
export interface Listed {
  readonly answer: Answer
  readonly freshness: Freshness
}

/** Answers that are held in memory; the rest is read from the disk again. */
const MAX_HELD = 1024
const DAY_MS = 24 * 3600 * 1000
/** A certificate does not change: it is asked for again only when its end is near. */
const LEAD_MS = 7 * DAY_MS

/**
 * Endorsements for evidence: from its host, from the cache, from the vendors, in this order for certificates. CRLs and Intel's
 * documents come from the vendors, whatever a host brings besides: it could bring old ones. Nothing here is an anchor, and
 * nothing is kept that no trusted root signed.
 */
export class CollateralService {
  readonly #options: ServiceOptions
  readonly #cache: VerifyCache = createVerifyCache()
  readonly #held = new Map<string, Answer>()
  readonly #underWay = new Map<string, Promise<Answer>>()

  constructor(options: ServiceOptions) {
    this.#options = options
  }

  /**
   * Everything that the evidence needs beyond what came with it. What cannot be had is left out: the verifier says what is
   * missing.
   * @param updates - Which of Intel's updates; the early one only looks ahead and must not decide.
   */
  async gather(subject: Subject, updates: readonly Update[] = ['standard']): Promise<Gathered> {
    const evidence = tryRead(subject)
    if (evidence === null) return { items: [], failures: [] }
    const failures: { name: string; error: AttestError }[] = []
    const ask = async (question: Question, beside: readonly Item[] = []): Promise<readonly Item[]> => {
      try {
        return (await this.ask(question, beside)).items
      } catch (error) {
        if (!(error instanceof AttestError)) throw error
        failures.push({ name: nameOf(question), error })
        // An old CRL can still show a revocation, and nothing passes for being out of date.
        return this.#expired(nameOf(question))
      }
    }
    const given = await this.#given(subject, evidence, ask)
    const leaf: Item[] = []
    for (const question of await leafQuestions(evidence, given, this.#cache)) {
      if (leaf.length === 0) leaf.push(...(await ask(question, given)))
    }
    const certificates = [...given, ...leaf]
    const questions = await otherQuestions(evidence, certificates, updates, this.#cache)
    const others = await Promise.all(questions.map((question) => ask(question, certificates)))
    return { items: distinct([...certificates, ...others.flat()]), failures }
  }

  /**
   * One answer: from memory or disk while it holds, and asked for again beside that when it is getting old.
   * @param beside - May have signed the answer.
   * @throws AttestError `COLLATERAL_MISSING`.
   */
  async ask(question: Question, beside: readonly Item[] = []): Promise<Answer> {
    const name = nameOf(question)
    const known = await this.#known(name)
    const freshness = known === null ? 'expired' : this.#freshness(known)
    if (known === null || freshness === 'expired') return this.#renew(question, beside)
    if (freshness === 'stale' && this.#options.fetcher !== null) {
      this.#renew(question, beside).catch((error: unknown) => this.#warn(name, error, 'collateral could not be renewed'))
    }
    return known
  }

  /** Asks again for all answers, or for those that are no longer fresh. @returns what failed. */
  async refresh(all: boolean): Promise<Gathered['failures']> {
    const failures: { name: string; error: AttestError }[] = []
    for (const { answer, freshness } of await this.list()) {
      const question = questionOf(answer.name)
      if (question === null || question.kind === 'pck' || (freshness === 'fresh' && !all)) continue
      await this.#renew(question, answer.items).catch((error: unknown) => {
        if (!(error instanceof AttestError)) throw error
        failures.push({ name: answer.name, error })
      })
    }
    return failures
  }

  /** Every answer in the store that verifies, by name. */
  async list(): Promise<readonly Listed[]> {
    const listed: Listed[] = []
    for (const name of await this.#options.store.names()) {
      const answer = await this.#loaded(name)
      if (answer !== null) listed.push({ answer, freshness: this.#freshness(answer) })
    }
    return listed
  }

  /** Everything that still holds, as one file. */
  async export(): Promise<Uint8Array> {
    const current = (await this.list()).filter((l) => l.freshness !== 'expired')
    return bundleOf(current.map((l) => l.answer))
  }

  /**
   * Takes over a bundle. Every item is verified before the first is stored.
   * @throws AttestError `CHAIN_INVALID` for anything that leads to no trusted root or does not answer its name; the reader's
   *   own for a damaged bundle; `DISK_FULL`.
   */
  async import(bundle: Uint8Array): Promise<TakeOver> {
    const answers: Answer[] = []
    for (const { name, fetched, items } of readBundle(bundle)) {
      const answer = await this.#verified(name, items, fetched)
      if (answer === null) throw new AttestError('CHAIN_INVALID', `${name} is not signed under a trusted root`, { at: name })
      answers.push(answer)
    }
    return this.#takeOver(answers)
  }

  /**
   * Takes over loose certificates, CRLs and documents, each under the names that it answers.
   * @throws AttestError as {@link import}.
   */
  async seed(pieces: readonly Uint8Array[]): Promise<TakeOver> {
    const { items, strangers } = await siftItems(pieces, [], this.#options.roots, this.#cache)
    if (strangers > 0)
      throw new AttestError('CHAIN_INVALID', `${strangers} pieces are not signed under a trusted root`, { at: 'collateral' })
    const fetched = this.#options.clock.now()
    const answers = items.flatMap((item) => item.names.filter((n) => !isEarly(n)).map((name) => answerOf(name, item, fetched)))
    return this.#takeOver(answers)
  }

  /** Waits for what is under way. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underWay.values())
  }

  async #takeOver(answers: readonly Answer[]): Promise<TakeOver> {
    const [taken, left]: [string[], string[]] = [[], []]
    for (const answer of answers) {
      const known = await this.#known(answer.name)
      const isWorse = known !== null && this.#freshness(known) !== 'expired' && isOlder(answer, known)
      if (isWorse || this.#freshness(answer) === 'expired') left.push(answer.name)
      else {
        await this.#keep(answer)
        taken.push(answer.name)
      }
    }
    return { taken, left }
  }

  /** Certificates that came with the evidence and hold now; where their issuer is not known, AMD is asked for it. */
  async #given(
    { endorsements }: Subject,
    evidence: Evidence,
    ask: (question: Question) => Promise<readonly Item[]>,
  ): Promise<readonly Item[]> {
    const pieces = [...endorsements, ...evidence.certificates]
    const sifted = await this.#sift(pieces, [])
    const product = evidence.kind === 'snp' ? snpProduct(evidence.report, sifted.items) : null
    const current = (items: readonly Item[]): readonly Item[] => items.filter((i) => i.kind === 'certificate' && this.#isCurrent(i))
    if (evidence.kind !== 'snp' || sifted.strangers === 0 || product === null) return current(sifted.items)
    const chain = await ask({ kind: 'amd-chain', signer: evidence.report.signingKey === 'VLEK' ? 'vlek' : 'vcek', product })
    const again = await this.#sift(
      pieces,
      chain.map((i) => i.bytes),
    )
    return current([...again.items, ...chain])
  }

  /** Damaged pieces of a host are for the verifier to name. */
  async #sift(pieces: readonly Uint8Array[], beside: readonly Uint8Array[]): Promise<Sifted> {
    try {
      return await siftItems(pieces, beside, this.#options.roots, this.#cache)
    } catch (error) {
      if (error instanceof AttestError) return { items: [], strangers: pieces.length }
      throw error
    }
  }

  async #known(name: string): Promise<Answer | null> {
    return this.#held.get(name) ?? (await this.#loaded(name))
  }

  async #loaded(name: string): Promise<Answer | null> {
    const { store } = this.#options
    const stored = await store.load(name)
    if (stored === null) return null
    const answer = await this.#verified(name, stored.items, stored.fetched)
    // Of a root that counts no more, or of rules that have become stricter.
    if (answer === null) await store.drop(name)
    else this.#hold(answer)
    return answer
  }

  async #verified(name: string, items: readonly Uint8Array[], fetched: number): Promise<Answer | null> {
    try {
      // A time to come, by a clock that was wrong, would keep it fresh for ever.
      const { clock, roots } = this.#options
      return await findAnswer(name, items, [], Math.min(fetched, clock.now()), roots, this.#cache)
    } catch (error) {
      if (error instanceof AttestError) return null
      throw error
    }
  }

  /** One fetch at a time for one name, however many wait for it. */
  #renew(question: Question, beside: readonly Item[]): Promise<Answer> {
    const name = nameOf(question)
    const waiting = this.#underWay.get(name)
    if (waiting !== undefined) return waiting
    const mine = this.#fetch(question, beside).finally(() => this.#underWay.delete(name))
    this.#underWay.set(name, mine)
    return mine
  }

  async #fetch(question: Question, beside: readonly Item[]): Promise<Answer> {
    const { fetcher, clock } = this.#options
    const name = nameOf(question)
    // Another process may have brought it.
    const stored = await this.#loaded(name)
    if (stored !== null && this.#freshness(stored) === 'fresh') return stored
    if (fetcher === null) throw new AttestError('COLLATERAL_MISSING', `${name}: fetching is switched off`, { at: name })
    const answer = await fetcher.fetch(question, (pieces) => this.#accept(question, pieces, beside))
    const kept = stored !== null && isOlder(answer, stored) ? { ...stored, fetched: clock.now() } : answer
    try {
      await this.#keep(kept)
    } catch (error) {
      // It holds all the same, and attestation goes on.
      this.#hold(kept)
      this.#warn(name, error, 'collateral could not be stored')
    }
    return kept
  }

  async #accept(question: Question, pieces: readonly Uint8Array[], beside: readonly Item[]): Promise<Answer | null> {
    const { roots, clock } = this.#options
    const name = nameOf(question)
    const find = (issuers: readonly Item[]): Promise<Answer | null> =>
      findAnswer(
        name,
        pieces,
        issuers.map((i) => i.bytes),
        clock.now(),
        roots,
        this.#cache,
      )
    let answer = await find(beside)
    if (answer === null && question.kind === 'vcek') {
      // Signed by an intermediate that is not written down: AMD has replaced one before.
      const chain = await this.ask({ kind: 'amd-chain', signer: 'vcek', product: question.product })
      answer = await find([...beside, ...chain.items])
    }
    return answer?.items.every((item) => this.#isCurrent(item)) === true ? answer : null
  }

  /** @throws AttestError `DISK_FULL`, `FILE_UNREADABLE`. */
  async #keep(answer: Answer): Promise<void> {
    // Durable now. A crash before costs one more fetch.
    await this.#options.store.save(answer)
    this.#hold(answer)
  }

  #hold(answer: Answer): void {
    this.#held.delete(answer.name)
    const [oldest] = this.#held.keys()
    if (this.#held.size >= MAX_HELD && oldest !== undefined) this.#held.delete(oldest)
    this.#held.set(answer.name, answer)
  }

  async #expired(name: string): Promise<readonly Item[]> {
    const known = await this.#known(name)
    return known !== null && known.items[0].kind !== 'certificate' ? known.items : []
  }

  #isCurrent({ notBefore, notAfter }: Item): boolean {
    const now = this.#options.clock.now()
    return notBefore <= now && now <= notAfter
  }

  #freshness(answer: Answer): Freshness {
    const now = this.#options.clock.now()
    const { notBefore, notAfter } = windowOf(answer)
    if (now < notBefore || now > notAfter) return 'expired'
    const isCertificate = answer.items[0].kind === 'certificate'
    const renewAt = isCertificate ? notAfter - LEAD_MS : answer.fetched + this.#options.refreshSeconds * 1000
    return now < renewAt ? 'fresh' : 'stale'
  }

  #warn(name: string, error: unknown, message: string): void {
    if (!(error instanceof AttestError)) throw error
    this.#options.warn({ name, error: `${error.code}: ${error.message}` }, message)
  }
}

function tryRead(subject: Subject): Evidence | null {
  try {
    return readEvidence(subject)
  } catch (error) {
    if (error instanceof AttestError) return null
    throw error
  }
}

/** A vendor's copy that lags behind must not take back what is known already. */
function isOlder(answer: Answer, known: Answer): boolean {
  const [a, b] = [answer.items[0], known.items[0]]
  return a.kind !== 'certificate' && (a.evaluation < b.evaluation || (a.evaluation === b.evaluation && a.notBefore < b.notBefore))
}

function distinct(items: readonly Item[]): readonly Item[] {
  return [...new Map(items.map((item) => [item.sha256, item])).values()]
}
