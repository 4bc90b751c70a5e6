import { setMaxListeners } from 'node:events'
import type { Logger } from 'pino'
import { AttestError } from '../../verify/errors.ts'
import { type Cosignature, parseCheckpoint } from '../../verify/tlog/index.ts'
import type { Clock } from '../clock.ts'
import { BackOff } from '../collateral/back-off.ts'
import { type Demand, satisfies, withLines } from './demands.ts'
import type { ConsistencySource, Outcome, WitnessClient } from './witness-client.ts'

/** What witnessing needs of the log. */
export interface WitnessedSource {
  /** The newest checkpoint, recently signed. */
  checkpoint(): Promise<string>
  readonly consistencyProof: ConsistencySource
}

interface Round {
  readonly note: string
  readonly size: number
  /** Milliseconds since the epoch. */
  readonly at: number
  /** By verifier key. */
  readonly cosignatures: Map<string, Cosignature>
  readonly failures: Map<string, string>
}

interface Waiting {
  readonly minSize: number
  readonly demands: readonly Demand[]
  readonly resolve: (checkpoint: CosignedCheckpoint) => void
  readonly reject: (error: unknown) => void
}

export interface CosignedCheckpoint {
  readonly size: number
  /** C2SP signed note. */
  readonly note: string
}

/** Cosignatures so old are still those of now. */
const FRESH_MS = 5_000
/** How long the slow ones are waited for when nobody needs them any more. */
const GRACE_MS = 1_000
const LONGEST_BACK_OFF_MS = 30_000

/**
 * Has checkpoints of the log cosigned. One round at a time: the newest checkpoint goes to every witness at once, and who
 * waits is served as soon as what its policies demand is there. So concurrent entries share a round, and a witness is never
 * asked for a smaller tree after a larger one. No transaction is open meanwhile.
 */
export class Witnessing {
  readonly #source: WitnessedSource
  readonly #clients: readonly WitnessClient[]
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #backOff: BackOff
  readonly #waiting = new Set<Waiting>()
  readonly #closing = new AbortController()
  #last: Round | null = null
  #running: Promise<void> | null = null

  constructor(source: WitnessedSource, clients: readonly WitnessClient[], clock: Clock, logger: Logger) {
    this.#source = source
    this.#clients = clients
    this.#clock = clock
    this.#logger = logger
    setMaxListeners(0, this.#closing.signal)
    this.#backOff = new BackOff(clock, Math.random, LONGEST_BACK_OFF_MS)
  }

  /** Verifier keys of the witnesses that can be asked. */
  get keys(): readonly string[] {
    return this.#clients.map((client) => client.key)
  }

  /**
   * Asks every witness about the newest checkpoint, at the start. One that has seen more than the log holds, or something
   * else, has seen a history that this log no longer has: going on would make a fork. One that does not answer is no reason to wait.
   * @throws AttestError `LOG_ROLLED_BACK`.
   */
  async introduce(): Promise<void> {
    if (this.#clients.length === 0) return
    const round = await this.#newRound()
    const outcomes = await Promise.all(
      this.#clients.map(async (client) => ({ client, outcome: await this.#ask(client, round, this.#closing.signal) })),
    )
    const forks = outcomes.flatMap(({ client, outcome }) => (outcome.kind === 'fork' ? [`${client.name} ${outcome.why}`] : []))
    if (forks.length === 0) return
    const advice = 'restore the newest data folder; if a witness is wrong, take it out of gateway.json'
    throw new AttestError('LOG_ROLLED_BACK', `the database was rolled back or replaced: ${forks.join('; ')}; ${advice}`, {
      at: 'log.witnesses',
    })
  }

  /**
   * A checkpoint of at least `minSize` leaves that is cosigned as every demand wants, recently.
   * @throws AttestError `WITNESS_QUORUM` naming who is missing: asking again later is right. `LOG_STALE`, `CANCELLED`.
   */
  async cosigned(minSize: number, demands: readonly Demand[]): Promise<CosignedCheckpoint> {
    const last = this.#last
    if (last !== null && last.size >= minSize && this.#clock.now() - last.at <= FRESH_MS) {
      const ready = await assembled(last, demands)
      if (ready !== null) return ready
    }
    if (this.#closing.signal.aborted) throw cancelled()
    return new Promise((resolve, reject) => {
      this.#waiting.add({ minSize, demands, resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** A checkpoint with the cosignatures that are at hand. */
  adorn(note: string): string {
    const last = this.#last
    if (last === null || parseCheckpoint(last.note).note.text !== parseCheckpoint(note).note.text) return note
    return withLines(
      note,
      [...last.cosignatures.values()].map((c) => c.line),
    )
  }

  /** Stops asking; who waits is told so. */
  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#waiting.size > 0) {
      const joined = [...this.#waiting]
      try {
        await this.#round(joined)
      } catch (error) {
        for (const waiting of joined) this.#settle(waiting, () => waiting.reject(error))
      }
    }
    this.#running = null
  }

  async #round(joined: readonly Waiting[]): Promise<void> {
    if (this.#closing.signal.aborted) throw cancelled()
    const round = await this.#newRound()
    const enough = new AbortController()
    setMaxListeners(0, enough.signal)
    const stop = (): void => enough.abort()
    this.#closing.signal.addEventListener('abort', stop)
    let cancelGrace = (): void => {}
    const asking = this.#whom(joined).map(async (client) => {
      await this.#ask(client, round, enough.signal)
      await this.#serve(round)
      if (joined.some((waiting) => this.#waiting.has(waiting))) return
      cancelGrace()
      cancelGrace = this.#clock.after(GRACE_MS, stop)
    })
    await Promise.all(asking)
    cancelGrace()
    this.#closing.signal.removeEventListener('abort', stop)
    for (const waiting of joined) this.#settle(waiting, () => waiting.reject(missing(waiting, round, this.#clients)))
  }

  async #newRound(): Promise<Round> {
    const note = await this.#source.checkpoint()
    const { size } = parseCheckpoint(note)
    this.#last = { note, size, at: this.#clock.now(), cosignatures: new Map(), failures: new Map() }
    return this.#last
  }

  /** Those that are not left alone for now; and of those that are, the ones without whom somebody cannot be served. */
  #whom(joined: readonly Waiting[]): readonly WitnessClient[] {
    const ready = new Set(this.#clients.filter((c) => this.#backOff.blockedUntil(c.key) === null).map((c) => c.key))
    const needed = new Set<string>()
    for (const { log } of joined.flatMap((waiting) => waiting.demands)) {
      const { k, keys } = log.witnessing
      if (keys.filter((key) => ready.has(key)).length < k) for (const key of keys) needed.add(key)
    }
    return this.#clients.filter((c) => ready.has(c.key) || needed.has(c.key))
  }

  async #ask(client: WitnessClient, round: Round, signal: AbortSignal): Promise<Outcome> {
    const outcome = await this.#outcomeOf(client, round, signal)
    if (outcome.kind === 'cosigned') {
      this.#backOff.succeeded(client.key)
      round.cosignatures.set(client.key, outcome.cosignature)
    } else if (!signal.aborted) {
      this.#backOff.failed(client.key, null)
      round.failures.set(client.key, outcome.why)
      const facts = { witness: client.name, reason: outcome.why, size: round.size }
      if (outcome.kind === 'fork') this.#logger.error(facts, 'a witness holds against this log: rolled back, forked, or the witness lies')
      else this.#logger.warn(facts, 'a witness did not cosign')
    }
    return outcome
  }

  /** A proof that cannot be made is no fault of the witness, but ends no round for the others. */
  async #outcomeOf(client: WitnessClient, { note }: Round, signal: AbortSignal): Promise<Outcome> {
    try {
      return await client.cosign(note, this.#source.consistencyProof, signal)
    } catch (error) {
      this.#logger.error({ witness: client.name, err: error }, 'a witness could not be asked')
      return { kind: 'failed', why: 'could not be asked' }
    }
  }

  /** Gives everybody whose demands are met what it waits for. */
  async #serve(round: Round): Promise<void> {
    for (const waiting of this.#waiting) {
      if (waiting.minSize > round.size) continue
      const ready = await assembled(round, waiting.demands)
      if (ready !== null) this.#settle(waiting, () => waiting.resolve(ready))
    }
  }

  #settle(waiting: Waiting, how: () => void): void {
    if (this.#waiting.delete(waiting)) how()
  }
}

/** The checkpoint of a round with the lines that the demands name; null while they are too few, or of too early a time. */
async function assembled({ note, size, cosignatures }: Round, demands: readonly Demand[]): Promise<CosignedCheckpoint | null> {
  const keys = new Set(demands.flatMap((demand) => demand.log.witnessing.keys))
  const lines = [...cosignatures].flatMap(([key, { line }]) => (keys.has(key) ? [line] : []))
  const cosigned = withLines(note, lines)
  return (await satisfies(cosigned, demands)) ? { size, note: cosigned } : null
}

function missing({ demands }: Waiting, round: Round, clients: readonly WitnessClient[]): AttestError {
  const told = demands.map(({ log }) => {
    const { k, keys } = log.witnessing
    const absent = keys.filter((key) => !round.cosignatures.has(key))
    const reasons = absent.map((key) => `${key.split('+')[0]} (${reasonOf(key, round, clients)})`)
    const who = reasons.length === 0 ? 'their clocks are behind those of an earlier quorum' : `missing: ${reasons.join(', ')}`
    return `want ${k} of ${keys.length} witnesses, ${keys.length - absent.length} cosigned; ${who}`
  })
  return new AttestError('WITNESS_QUORUM', [...new Set(told)].join('; '), { at: 'log.witnesses' })
}

function reasonOf(key: string, { failures }: Round, clients: readonly WitnessClient[]): string {
  const isKnown = clients.some((client) => client.key === key)
  return failures.get(key) ?? (isKnown ? 'did not answer before, and is left alone for a moment' : 'is no witness of this gateway')
}

function cancelled(): AttestError {
  return new AttestError('CANCELLED', 'the gateway stops', { at: 'log.witnesses' })
}
