import { randomBytes, randomInt } from 'node:crypto'
import type { Logger } from 'pino'
import { bundleFromWire, bytesOf, type sealgate, toNumber, verdictToWire } from '../../rpc/index.ts'
import { equal } from '../../verify/bytes/bytes.ts'
import { DEFAULT_ISOLATION, ISOLATION_NAMES } from '../../verify/documents/isolation.ts'
import { AttestError, type ErrorCode } from '../../verify/errors.ts'
import { type Clock, instant } from '../clock.ts'
import type { GatewayLimits } from '../config/config.ts'
import type { Jobs } from '../jobs/index.ts'
import type { Caller } from '../server/caller.ts'
import type { Duplex } from '../server/methods.ts'
import type { Database } from '../store/open-store.ts'
import { type Onboarded, type OnboardingMeans, onboard } from './onboarding.ts'
import type { HostLink, HostOffer, HostRegistry, ToHost } from './registry.ts'

type FromHost = sealgate.v1.IConnectRequest

export interface SessionMeans {
  readonly db: Database
  readonly registry: HostRegistry
  readonly jobs: Jobs
  readonly onboarding: OnboardingMeans
  readonly clock: Clock
  readonly limits: GatewayLimits
  readonly logger: Logger
}

const MAX_HELD_JOBS = 1024
/** Messages to a host that does not read them. */
const MAX_QUEUED = 256

/** Messages about jobs that have moved on are no fault of a host that was away. */
const STALE: ReadonlySet<ErrorCode> = new Set(['JOB_CONFLICT', 'NOT_FOUND'])

/** One connection of one host: hello, challenges, and what both sides have to say about jobs. */
export class HostSession implements HostLink {
  readonly #means: SessionMeans
  readonly #caller: Caller
  readonly #stream: Duplex<FromHost, ToHost>
  readonly #ended: Promise<never>
  readonly end: (error: AttestError) => void
  #sending: Promise<void> = Promise.resolve()
  #queued = 0
  /** The challenge that waits for its answer. */
  #nonce: Uint8Array | null = null
  readonly #timers = new Map<'greeting' | 'challenge' | 'expiry', () => void>()

  constructor(means: SessionMeans, caller: Caller, stream: Duplex<FromHost, ToHost>) {
    this.#means = means
    this.#caller = caller
    this.#stream = stream
    let end: (error: AttestError) => void = () => {}
    this.#ended = new Promise((_, reject) => {
      end = reject
    })
    this.#ended.catch(() => {})
    this.end = end
  }

  /** Resolves when the host ends its side. @throws AttestError what ended the session otherwise. */
  async run(signal: AbortSignal): Promise<void> {
    const { registry, jobs } = this.#means
    signal.addEventListener('abort', () => this.end(new AttestError('GATEWAY_UNREACHABLE', 'the gateway or the connection has gone')), {
      once: true,
    })
    const { name } = this.#caller
    const iterator = this.#stream.messages[Symbol.asyncIterator]()
    const next = (): Promise<IteratorResult<FromHost>> => Promise.race([iterator.next(), this.#ended])
    try {
      await this.#greet(await this.#firstMessage(next))
      for (let message = await next(); !message.done; message = await next()) await this.#handle(message.value)
    } finally {
      for (const cancel of this.#timers.values()) cancel()
      if (registry.disconnect(name, this)) await jobs.reports.disconnected(name)
    }
  }

  send = (message: ToHost): void => {
    if (++this.#queued > MAX_QUEUED) {
      this.end(new AttestError('LIMIT_EXCEEDED', 'the host does not read what it is sent'))
      return
    }
    this.#sending = this.#sending.then(async () => {
      await this.#stream.send(message)
      this.#queued--
    })
  }

  async #firstMessage(next: () => Promise<IteratorResult<FromHost>>): Promise<sealgate.v1.IHello> {
    this.#after('greeting', this.#means.limits.answerSeconds, () => this.end(new AttestError('DEADLINE', 'the host did not say hello')))
    const first = await next()
    this.#timers.get('greeting')?.()
    if (first.done || !first.value.hello) throw new AttestError('DOCUMENT_INVALID', 'want a hello first', { at: 'connect' })
    return first.value.hello
  }

  async #greet(hello: sealgate.v1.IHello): Promise<void> {
    const { db, registry, jobs, clock } = this.#means
    const { name } = this.#caller
    const { unacknowledgedJobs, waitingJobs } = hello
    const offer = offerOf(hello)
    const held = (unacknowledgedJobs ?? []).slice(0, MAX_HELD_JOBS)
    const waiting = (waitingJobs ?? []).slice(0, MAX_HELD_JOBS)
    const row = { name, runners: JSON.stringify(offer.runners), appraisal: null, accepted: 0, expires_at: 0, seen_at: clock.now() } as const
    const { runners: offered, seen_at } = row
    await db
      .insertInto('hosts')
      .values(row)
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ runners: offered, seen_at }))
      .execute()
    registry.end(name, new AttestError('ALREADY_EXISTS', 'this host has connected anew'))
    registry.connect(name, offer, this)
    await jobs.reports.connected(name)
    this.#challenge()
    await jobs.reports.resend(name, held, waiting)
  }

  async #handle(message: FromHost): Promise<void> {
    try {
      await this.#dispatch(message)
    } catch (error) {
      if (!(error instanceof AttestError) || !STALE.has(error.code)) throw error
      this.#means.logger.warn({ host: this.#caller.name, code: error.code, reason: error.message }, 'stale message')
    }
  }

  async #dispatch({ evidence, jobEvidence, jobProgress, jobOutcome }: FromHost): Promise<void> {
    const { reports } = this.#means.jobs
    const { name } = this.#caller
    if (evidence) return this.#onboard(evidence)
    if (jobEvidence?.decline) {
      return reports.decline(name, jobEvidence.jobId ?? '', jobEvidence.decline.code ?? '', jobEvidence.decline.message ?? '')
    }
    if (jobEvidence) return reports.evidence(name, jobEvidence.jobId ?? '', jobEvidence.evidence)
    if (jobProgress) {
      const items = { done: jobProgress.itemsDone ?? 0, total: jobProgress.items ?? 0 }
      return reports.progress(name, jobProgress.jobId ?? '', jobProgress.phase ?? '', items)
    }
    if (jobOutcome) return reports.outcome(name, jobOutcome.jobId ?? '', bytesOf(jobOutcome.receiptJws), jobOutcome.resultBlobId ?? '')
    throw new AttestError('DOCUMENT_INVALID', 'want one of the messages of a host', { at: 'connect' })
  }

  #challenge(): void {
    this.#nonce = new Uint8Array(randomBytes(32))
    this.send({ challenge: { nonce: this.#nonce } })
    this.#after('challenge', this.#means.limits.answerSeconds, () => this.end(new AttestError('DEADLINE', 'no evidence came')))
  }

  async #onboard({ nonce, evidence }: sealgate.v1.IHostEvidence): Promise<void> {
    const { onboarding, registry, jobs, limits } = this.#means
    const wanted = this.#nonce
    // An answer to an older challenge, or a second one: each nonce is good for one appraisal.
    if (wanted === null || !equal(wanted, bytesOf(nonce))) return
    this.#nonce = null
    const result = await onboard(onboarding, this.#caller, bundleFromWire(evidence), wanted)
    registry.setClaims(this.#caller.name, this, result.claims)
    this.#tell(result)
    if (result.claims === null) return this.#after('challenge', limits.answerSeconds, () => this.#challenge())
    // At random well before the expiry, so that a host cannot know when it will have to prove itself again.
    const wait = (limits.attestationSeconds * randomInt(20, 80)) / 100
    this.#after('challenge', wait, () => this.#challenge())
    this.#after('expiry', limits.attestationSeconds, () => registry.setClaims(this.#caller.name, this, null))
    jobs.hostReady()
  }

  #tell({ appraisal, expires }: Onboarded): void {
    this.#means.logger.info({ host: this.#caller.name, accepted: appraisal.accepted, simulated: appraisal.simulated }, 'host appraised')
    this.send({ appraisal: { verdict: verdictToWire(appraisal), expires: appraisal.accepted ? instant(expires) : '' } })
  }

  #after(name: 'greeting' | 'challenge' | 'expiry', seconds: number, action: () => void): void {
    this.#timers.get(name)?.()
    this.#timers.set(name, this.#means.clock.after(seconds * 1000, action))
  }
}

/** What an agent that says nothing of profiles and room has: the usual profiles, one job at a time. */
function offerOf({ runners, isolations, maxJobs, memoryBytes }: sealgate.v1.IHello): HostOffer {
  const known = (['docker', 'wasm'] as const).filter((runner) => runners?.includes(runner))
  const told = ISOLATION_NAMES.filter((name) => isolations?.includes(name))
  const bytes = toNumber(memoryBytes ?? 0)
  return {
    runners: known,
    isolations: told.length > 0 ? told : known.map((runner) => DEFAULT_ISOLATION[runner]),
    maxJobs: Math.max(1, maxJobs ?? 0),
    memoryBytes: bytes > 0 ? bytes : Number.MAX_SAFE_INTEGER,
  }
}
