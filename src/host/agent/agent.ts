import { freemem } from 'node:os'
import type { BaseLogger } from 'pino'
import { bundleToWire, bytesOf, publicError, verdictFromWire } from '../../rpc/index.ts'
import { claimOf } from '../../verify/appraise/index.ts'
import { DEFAULT_HPKE_SUITE } from '../../verify/documents/keys.ts'
import { AttestError, type ErrorCode } from '../../verify/errors.ts'
import type { Attester, DeviceAttester } from '../attesters/attester.ts'
import type { Clock } from '../job/clock.ts'
import { collectEvidence } from '../job/evidence.ts'
import { Job, type JobMeans } from '../job/job.ts'
import { JobKeys } from '../job/job-keys.ts'
import { describeError } from '../job/log-error.ts'
import { checkOffer, type Offer } from '../job/offer.ts'
import type { Outbox } from '../job/outbox.ts'
import type { Transfers } from '../job/transfers.ts'
import type { Runner } from '../runner/types.ts'
import { Backoff } from './backoff.ts'
import { Deliveries } from './delivery.ts'
import { Room } from './room.ts'
import type { Connect, FromGateway, Session, ToGateway } from './session.ts'
import { type AgentState, AgentStates } from './states.ts'
import { connectionFromWire, jobIdFromWire, offerFromWire, releaseFromWire } from './wire.ts'

export interface AgentMeans {
  readonly connect: Connect
  readonly attester: Attester
  readonly devices?: DeviceAttester | null
  readonly runner: Runner
  readonly transfers: Transfers
  readonly outbox: Outbox
  readonly clock: Clock
  /** Uniform in [0, 1). For jitter only. */
  readonly random: () => number
  readonly logger: BaseLogger
  /** Canonical JSON of the agent's configuration. */
  readonly config: Uint8Array
  /** Name and version of this program. */
  readonly agent: string
  /** base64url SHA-256 of the agent's TLS key (SPKI). */
  readonly tls: string
  /** Where its operator states that it stands, as in `config`. */
  readonly region: string | null
  /** Memory for jobs, together with their inputs. */
  readonly memoryBytes: number
  /** Most jobs at a time. */
  readonly jobs: number
  readonly releaseWaitMs: number
  /** How long a stopping agent lets its jobs go on. */
  readonly drainMs: number
  /** See {@link JobMeans}. */
  readonly dialService: JobMeans['dialService']
}

/** How long a stopping agent waits for the gateway to take the last outcomes. They are kept in any case. */
const FAREWELL_MS = 5000
const SHUTDOWN = 'the host is shutting down'
/** A session that lived this long was a good one: the next attempt need not wait for long. */
const STEADY_MS = 30_000
/** What a first connection cannot get over by trying again. */
const HOPELESS: ReadonlySet<ErrorCode> = new Set(['TLS_REJECTED', 'UNAUTHENTICATED', 'PERMISSION_DENIED'])

interface CurrentJob {
  readonly offer: Offer
  /** Null while keys and evidence are made. */
  job: Job | null
  /** Resolves when the job is over and its outcome kept. */
  ended: Promise<void>
}

/**
 * The life of a host: dials the gateway and stays connected, proves itself when asked, takes jobs that fit, delivers
 * outcomes until they are acknowledged. See `states.ts` for what may follow what.
 */
export class Agent {
  readonly #means: AgentMeans
  readonly #states: AgentStates
  readonly #backoff: Backoff
  readonly #stopping = new AbortController()
  readonly #deliveries: Deliveries
  #session: Session | null = null
  /** By id. */
  readonly #jobs = new Map<string, CurrentJob>()
  readonly #room: Room
  #everConnected = false
  #onAcknowledged: () => void = () => {}
  #closing: Promise<void> | null = null
  /** Resolves when the agent was closed. Rejects when it can never come through to its gateway. */
  readonly ended: Promise<void>

  constructor(means: AgentMeans) {
    this.#means = means
    this.#room = new Room(means)
    this.#states = new AgentStates((state) => means.logger.info({ state }, 'agent state'))
    this.#backoff = new Backoff(means.random)
    this.#deliveries = new Deliveries(means, this.#stopping.signal)
    this.ended = this.#stayConnected()
    this.ended.catch(() => undefined)
  }

  get state(): AgentState {
    return this.#states.current
  }

  /** Lets running jobs finish for a while, then cancels them; a second call cancels them at once. */
  close(): Promise<void> {
    if (this.#closing !== null) this.#cancelAll()
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { clock, drainMs } = this.#means
    this.#states.work('stop')
    const jobs = [...this.#jobs.values()]
    if (jobs.length > 0) {
      // Keys that were not released yet are not worth waiting for.
      for (const { job } of jobs) if (job?.isWaiting) job.cancel(SHUTDOWN)
      const ended = Promise.all(jobs.map((current) => current.ended))
      const waiting = new AbortController()
      await Promise.race([ended, clock.sleep(drainMs, waiting.signal)])
      waiting.abort()
      this.#cancelAll()
      await ended
    }
    await this.#farewell()
    this.#stopping.abort()
    this.#session?.close()
    await this.ended.catch(() => undefined)
  }

  #cancelAll(): void {
    for (const { job } of this.#jobs.values()) job?.cancel(SHUTDOWN)
  }

  async #farewell(): Promise<void> {
    const { clock, outbox } = this.#means
    const waiting = new AbortController()
    const acknowledged = new Promise<void>((resolve) => {
      this.#onAcknowledged = () => {
        if (outbox.pending.length === 0) resolve()
      }
      this.#onAcknowledged()
    })
    if (this.#session !== null) await Promise.race([acknowledged, clock.sleep(FAREWELL_MS, waiting.signal)])
    waiting.abort()
  }

  async #stayConnected(): Promise<void> {
    const { clock, logger } = this.#means
    while (!this.#stopping.signal.aborted) {
      const startedAtMs = clock.nowMs()
      const error = await this.#oneSession()
      this.#states.link('disconnected')
      if (this.#stopping.signal.aborted) return
      if (clock.nowMs() - startedAtMs > STEADY_MS) this.#backoff.reset()
      if (error !== null && !this.#everConnected && HOPELESS.has(error.code)) throw error
      const waitMs = this.#backoff.next()
      logger.warn(
        { code: error?.code ?? null, reason: error?.message ?? 'the gateway ended the connection', waitMs },
        'not connected; trying again',
      )
      await clock.sleep(waitMs, this.#stopping.signal)
    }
  }

  async #oneSession(): Promise<AttestError | null> {
    const { agent, connect, jobs, memoryBytes, outbox, runner } = this.#means
    let greeted = false
    const session = connect((message) => {
      if (this.#session !== session) return
      if (!greeted) this.#greeted(session)
      greeted = true
      void this.#receive(message).catch((error: unknown) => {
        this.#means.logger.error({ message: message.body ?? 'unknown', ...describeError(error) }, 'a message could not be handled')
      })
    })
    this.#session = session
    this.#deliveries.begin(session)
    const unacknowledgedJobs = [...outbox.pending.map((o) => o.jobId), ...outbox.lost, ...this.#jobs.keys()]
    const waitingJobs = [...this.#jobs].filter(([, { job }]) => job?.isWaiting).map(([jobId]) => jobId)
    const means = { runners: [runner.kind], isolations: [...runner.isolations], maxJobs: jobs, memoryBytes }
    session.send({ hello: { version: agent, ...means, unacknowledgedJobs, waitingJobs } })
    const error = await session.ended
    this.#session = null
    this.#deliveries.end(error)
    return error
  }

  /** The first message proves that a gateway is there and that it takes us. */
  #greeted(session: Session): void {
    this.#everConnected = true
    this.#states.link('connected')
    for (const jobId of this.#means.outbox.lost) {
      session.send(decline(jobId, new AttestError('JOB_LOST', 'the agent was restarted in mid-job; its keys are gone')))
    }
    this.#deliveries.poke()
  }

  async #receive(message: FromGateway): Promise<void> {
    if (message.challenge) return this.#attest(bytesOf(message.challenge.nonce))
    if (message.appraisal) return this.#appraised(message)
    if (message.jobOffer) return this.#offered(offerFromWire(message.jobOffer))
    if (message.keyRelease) {
      const { keyRelease } = message
      return this.#jobOf(jobIdFromWire(keyRelease.jobId))?.release(() => releaseFromWire(keyRelease))
    }
    if (message.serviceConnection) {
      const { jobId, connectionId } = message.serviceConnection
      return this.#jobOf(jobIdFromWire(jobId))?.connect(connectionFromWire(connectionId))
    }
    if (message.jobCancel) return this.#jobOf(jobIdFromWire(message.jobCancel.jobId))?.cancel('the gateway cancelled the job')
    if (message.outcomeAccepted) return this.#acknowledged(jobIdFromWire(message.outcomeAccepted.jobId))
    this.#means.logger.warn('the gateway sent a message that this version does not know')
  }

  async #attest(nonce: Uint8Array): Promise<void> {
    const { attester, clock, config, devices, tls } = this.#means
    this.#states.link('challenged')
    // Host keys show the binding's form; nothing is ever sealed to them, so their private halves are dropped at once.
    const keys = await JobKeys.create(DEFAULT_HPKE_SUITE, clock.nowMs())
    keys.destroy()
    const subject = { role: 'host' as const, nonce, kem: keys.kem, sig: keys.sig, tls, config, job: null }
    const { bundle } = await collectEvidence(attester, subject, devices).catch((error: unknown) => {
      // Without evidence this connection is worth nothing: a later one may find the TEE in a better state.
      this.#session?.close()
      throw error
    })
    this.#send({ evidence: { nonce, evidence: bundleToWire(bundle) } })
  }

  #appraised(message: FromGateway): void {
    const verdict = verdictFromWire(message.appraisal?.verdict)
    this.#states.link(verdict.accepted ? 'accepted' : 'rejected')
    if (verdict.accepted) return
    const failed = verdict.checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true)
    this.#means.logger.error({ checks: failed }, 'the gateway refused our evidence')
  }

  async #acknowledged(jobId: string): Promise<void> {
    // The job may still be here: the gateway has ended it while we were away.
    this.#jobs.get(jobId)?.job?.cancel('the gateway has ended the job')
    await this.#means.outbox.acknowledged(jobId)
    this.#onAcknowledged()
  }

  async #offered(offer: Offer): Promise<void> {
    const current = this.#jobs.get(offer.jobId)
    if (current !== undefined) return this.#offeredAgain(current, offer)
    try {
      if (this.#means.outbox.knows(offer.jobId)) throw new AttestError('JOB_CONFLICT', 'the job was begun here before and is not run twice')
      if (!this.#states.takesJobs) throw new AttestError('NO_HOST', `the host is ${this.state}`)
    } catch (error) {
      return this.#send(decline(offer.jobId, error))
    }
    const taken: CurrentJob = { offer, job: null, ended: Promise.resolve() }
    this.#jobs.set(offer.jobId, taken)
    if (this.#jobs.size === 1) this.#states.work('job-started')
    taken.ended = this.#carryOut(taken)
    return taken.ended
  }

  async #carryOut(taken: CurrentJob): Promise<void> {
    const { attester, devices, logger, memoryBytes, region, runner } = this.#means
    const { jobId } = taken.offer
    try {
      // A WebAssembly module cannot be given a real one.
      const gpus = runner.kind === 'wasm' && devices?.simulated === false ? 0 : ((await devices?.count()) ?? 0)
      const checked = await checkOffer(taken.offer, {
        runner: runner.kind,
        isolations: runner.isolations,
        tee: attester.format,
        region,
        gpus,
        memoryBytes,
      })
      // What was cancelled is about to leave: the gateway counts its room as free already.
      const leaving = [...this.#jobs.values()].filter((other) => other !== taken && other.job?.isCancelled)
      await Promise.all(leaving.map((other) => other.ended))
      this.#room.take(jobId, claimOf(checked.contract, 0), gpus)
      taken.job = await Job.begin(checked, this.#jobMeans(jobId))
      logger.info({ jobId }, 'job begun')
      if (this.#closing === null) this.#send({ jobEvidence: { jobId, evidence: bundleToWire(taken.job.evidence) } })
      else taken.job.cancel(SHUTDOWN)
      await taken.job.ended
    } catch (error) {
      logger.warn({ jobId, ...describeError(error) }, 'job declined')
      this.#send(decline(jobId, error))
    } finally {
      this.#room.leave(jobId)
      this.#jobs.delete(jobId)
      if (this.#jobs.size === 0) this.#states.work('job-ended')
      this.#deliveries.poke()
    }
  }

  /** After a lost connection the gateway may ask again: the same question gets the same answer, never a second job. */
  #offeredAgain({ offer, job }: CurrentJob, again: Offer): void {
    const same = JSON.stringify(offerText(offer)) === JSON.stringify(offerText(again))
    if (!same) this.#send(decline(again.jobId, new AttestError('JOB_CONFLICT', 'the job runs here under another offer')))
    else if (job !== null) this.#send({ jobEvidence: { jobId: again.jobId, evidence: bundleToWire(job.evidence) } })
  }

  #jobMeans(jobId: string): JobMeans {
    return {
      ...this.#means,
      onProgress: (phase, items) =>
        this.#send({ jobProgress: { jobId, phase, ...(items === undefined ? {} : { itemsDone: items.done, items: items.total }) } }),
      room: {
        addInputs: (bytes) => this.#room.addInputs(jobId, bytes, freemem()),
        takeGpus: (ids, wanted) => this.#room.takeGpus(jobId, ids, wanted),
      },
    }
  }

  #jobOf(jobId: string): Job | null {
    const job = this.#jobs.get(jobId)?.job ?? null
    if (job !== null) return job
    this.#means.logger.warn({ jobId }, 'a message for a job that is not here')
    return null
  }

  #send(message: ToGateway): void {
    this.#session?.send(message)
  }
}

function decline(jobId: string, error: unknown): ToGateway {
  const { code, message } = publicError(error)
  return { jobEvidence: { jobId, decline: { code, message } } }
}

function offerText(offer: Offer): readonly unknown[] {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  return [offer.jobId, hex(offer.contract), offer.ownerNonces.map(hex), offer.checkpoint]
}
