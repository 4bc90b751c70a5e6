import type { Duplex } from 'node:stream'
import type { BaseLogger } from 'pino'
import type { ArrayTerms } from '../../verify/documents/array.ts'
import type { EvidenceBundle } from '../../verify/documents/evidence-bundle.ts'
import { hpkeKeyDigest } from '../../verify/documents/keys.ts'
import { RECEIPT_TYP } from '../../verify/documents/statement.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Attester, DeviceAttester } from '../attesters/attester.ts'
import type { RunInput, Runner, RunOutcome, RunRequest } from '../runner/types.ts'
import { JobService } from '../service/service.ts'
import { createServiceKey, type ServiceKey } from '../service/tls-key.ts'
import { type CheckedRelease, type OpenedKeys, openRelease, verifyRelease } from './admission.ts'
import type { ArchiveFile } from './archive.ts'
import { type ArrayOutcome, runItems } from './array-run.ts'
import { type Clock, timeBounds } from './clock.ts'
import { type CollectedEvidence, collectEvidence, type EvidenceSubject } from './evidence.ts'
import { checkArchiveSizes, checkInputSizes, fetchHeaders, openInput, readManifest } from './inputs.ts'
import { JobKeys } from './job-keys.ts'
import { describeError } from './log-error.ts'
import type { CheckedOffer } from './offer.ts'
import type { Outbox } from './outbox.ts'
import type { Release } from './read-release.ts'
import type { Attested } from './release-rules.ts'
import { type SealedOutputs, sealResults } from './results.ts'
import { type Ending, encodeJobStatement, MAX_OUTPUTS, outcomeOfError, reasonText } from './statement.ts'
import type { Transfers } from './transfers.ts'

/** What a job works with. */
export interface JobMeans {
  readonly attester: Attester
  readonly devices?: DeviceAttester | null
  readonly runner: Runner
  readonly transfers: Transfers
  readonly outbox: Outbox
  readonly clock: Clock
  readonly logger: BaseLogger
  /** Canonical JSON of the agent's configuration. */
  readonly config: Uint8Array
  /** Name and version of this program. */
  readonly agent: string
  /** How long to hold the keys for a release that does not come. */
  readonly releaseWaitMs: number
  /** @param items - How many of an array job's have ended, out of how many. */
  readonly onProgress: (phase: 'running' | 'sealing', items?: { readonly done: number; readonly total: number }) => void
  readonly room: JobRoom
  /** Opens the enclave's end of a client's connection with a service. */
  readonly dialService: (connection: string, signal: AbortSignal) => Promise<Duplex>
}

/** What a job takes of its machine beyond what it was offered with. */
export interface JobRoom {
  /** @throws AttestError `LIMIT_EXCEEDED`. */
  addInputs(bytes: number): void
  /** Some of these that no other job has. @throws AttestError `NO_HOST`. */
  takeGpus(ids: readonly string[], wanted: number): readonly string[]
}

/** What of a release comes from the stream; the headers are fetched. */
export type KeyRelease = Omit<Release, 'headers'>

/**
 * One job from its keys to its signed outcome. It outlives a lost connection to the gateway. However it goes, its keys
 * and plaintext are gone at the end and its outcome lies in the outbox.
 */
export class Job {
  readonly #offer: CheckedOffer
  readonly #means: JobMeans
  readonly #keys: JobKeys
  readonly #collected: CollectedEvidence
  /** Null for a batch job. */
  readonly #service: JobService | null
  readonly #abort = new AbortController()
  #deliverRelease: (read: () => KeyRelease) => void = () => {}
  #waiting = true
  readonly #released: Promise<() => KeyRelease>
  /** Resolves when everything is over. Never rejects. */
  readonly ended: Promise<void>

  private constructor(offer: CheckedOffer, means: JobMeans, keys: JobKeys, collected: CollectedEvidence, service: JobService | null) {
    this.#offer = offer
    this.#means = means
    this.#keys = keys
    this.#collected = collected
    this.#service = service
    this.#released = new Promise((resolve) => {
      this.#deliverRelease = resolve
    })
    this.ended = this.#carryOut()
  }

  /**
   * Makes the job's keys and evidence. From here on its fate is recorded: see {@link Outbox.begin}.
   * @throws AttestError for a job that cannot be begun; no trace of it is left.
   */
  static async begin(offer: CheckedOffer, means: JobMeans): Promise<Job> {
    const { service: terms } = offer.contract
    await means.runner.prepare(offer.contract.image, terms !== null, offer.contract.imageSource)
    const tls = terms === null ? null : await createServiceKey()
    const keys = await JobKeys.create(offer.offer.kemSuite, means.clock.nowMs())
    try {
      const { nonce, job } = offer
      const subject = { role: 'job' as const, nonce, kem: keys.kem, sig: keys.sig, tls: tls?.digest ?? null, config: means.config, job }
      const collected = await collectEvidence(means.attester, subject, means.devices)
      await means.outbox.begin(offer.contract.jobId)
      const service = terms === null || tls === null ? null : new JobService(terms, serviceMeans(means, subject, keys, tls))
      return new Job(offer, means, keys, collected, service)
    } catch (error) {
      keys.destroy()
      throw error
    }
  }

  get jobId(): string {
    return this.#offer.contract.jobId
  }

  get evidence(): EvidenceBundle {
    return this.#collected.bundle
  }

  /** True until a release came. */
  get isWaiting(): boolean {
    return this.#waiting
  }

  /** True once it was told to end. */
  get isCancelled(): boolean {
    return this.#abort.signal.aborted
  }

  /**
   * Only the first release counts: a second one cannot be opened.
   * @param read - Decodes it; when that fails the release is refused like any other bad one.
   */
  release(read: () => KeyRelease): void {
    this.#waiting = false
    this.#deliverRelease(read)
  }

  /** A client waits at the gateway. Whatever comes of it, the job goes on. */
  connect(connection: string): void {
    this.#service?.connect(connection).catch((error: unknown) => {
      this.#means.logger.warn({ jobId: this.jobId, ...describeError(error) }, 'a client of the service could not be reached')
    })
  }

  /** @param reason - For the receipt. */
  cancel(reason: string): void {
    this.#abort.abort(new AttestError('CANCELLED', reason))
  }

  async #carryOut(): Promise<void> {
    const { logger, outbox } = this.#means
    const { jobId } = this
    try {
      const { ending, release } = await this.#work()
      const receipt = await this.#sign(ending, release)
      await outbox.end({ jobId, receipt, results: ending.sealed?.results ?? null })
      logger.info({ jobId, outcome: ending.outcome.kind, code: ending.outcome.code }, 'job ended')
    } catch (error) {
      // No receipt could be made or kept: the marker in the outbox makes this job a lost one.
      logger.error({ jobId, ...describeError(error) }, 'the outcome of the job could not be recorded')
    } finally {
      this.#keys.destroy()
    }
  }

  /** Waits for the release, checks it, runs. Every failure becomes an ending. */
  async #work(): Promise<{ ending: Ending; release: CheckedRelease | null }> {
    let release: CheckedRelease | null = null
    let opened: OpenedKeys = new Map()
    const ended = (ending: Omit<Ending, 'keysDestroyed'>): { ending: Ending; release: CheckedRelease | null } => ({
      ending: { ...ending, keysDestroyed: opened.size > 0 ? ['kem', 'data'] : ['kem'] },
      release,
    })
    try {
      release = await this.#admit(await this.#awaitRelease())
      opened = await openRelease(this.#keys, release)
      const outcome = await this.#run(release, opened)
      return ended(await this.#finish(outcome))
    } catch (error) {
      const kind = this.#abort.signal.aborted ? 'cancelled' : 'refused'
      this.#means.logger.warn({ jobId: this.jobId, ...describeError(error) }, `job ${kind}`)
      const reason = this.#abort.signal.aborted ? this.#abort.signal.reason : error
      return ended({ type: 'refusal', outcome: outcomeOfError(kind, reason), isolation: null, usage: null, sealed: null, sessions: null })
    } finally {
      for (const dek of opened.values()) dek.wipe()
      this.#keys.destroyKem()
      await this.#service?.close()
    }
  }

  async #awaitRelease(): Promise<KeyRelease> {
    const { clock, releaseWaitMs } = this.#means
    const { signal } = this.#abort
    const waiting = new AbortController()
    const cancelled = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
      if (signal.aborted) reject(signal.reason as Error)
    })
    const late = clock.sleep(releaseWaitMs, waiting.signal).then(() => {
      throw new AttestError('DEADLINE', 'no key was released in time')
    })
    try {
      const read = await Promise.race([this.#released, cancelled, late])
      return read()
    } finally {
      waiting.abort()
    }
  }

  async #admit(delivered: KeyRelease): Promise<CheckedRelease> {
    const { transfers } = this.#means
    const { contract, job, submitter } = this.#offer
    const { bindingDigest, evidenceDigest } = this.#collected
    const headers = await fetchHeaders(contract, transfers, this.#abort.signal)
    const { kem } = this.#keys
    const attested: Attested = {
      job,
      contract,
      submitter,
      bindingDigest,
      evidenceDigest,
      kem,
      kemDigest: await hpkeKeyDigest(kem),
      simulated: this.#means.attester.simulated,
    }
    const release = await verifyRelease(attested, { ...delivered, headers }, this.#elapsedMs())
    this.#means.room.addInputs(checkInputSizes(contract, release.headers))
    return release
  }

  async #run(release: CheckedRelease, opened: OpenedKeys): Promise<RunOutcome | ArrayOutcome> {
    const { runner, transfers, onProgress } = this.#means
    const { contract } = this.#offer
    onProgress('running')
    const { image, isolation, argv, env, limits, jobId, resources } = contract
    try {
      const inputs: RunInput[] = []
      for (const [i, input] of contract.inputs.entries()) {
        const header = release.headers[i]
        const dek = opened.get(input.header)
        if (header === undefined || dek === undefined) throw new AttestError('INTERNAL', 'an input without header or key')
        const read = (): AsyncIterable<Uint8Array> => openInput(input, header.bytes, dek, transfers, this.#abort.signal)
        const archive = await readManifest(header.document, read)
        const file = { name: input.name, size: header.document.plaintextSize, read }
        inputs.push(archive === undefined ? file : { ...file, archive })
      }
      checkArchiveSizes(contract, inputs)
      const gpus = resources.gpus === 0 ? [] : await this.#gpuIds(resources.gpus)
      const batch = { jobId, image, isolation, argv, env, limits, inputs, gpus }
      if (contract.array !== undefined) return await this.#runArray(batch, contract.array)
      return await runner.run(this.#service === null ? batch : { ...batch, service: this.#service.run() }, this.#abort.signal)
    } finally {
      for (const dek of opened.values()) dek.wipe()
    }
  }

  async #runArray(request: RunRequest, array: ArrayTerms): Promise<ArrayOutcome> {
    const { runner, clock, onProgress } = this.#means
    const { signal } = this.#abort
    const total = array.items.length
    const loaded = await runner.load(request, signal)
    let outcome: ArrayOutcome | null = null
    try {
      const onItem = (done: number): void => onProgress('running', { done, total })
      outcome = await runItems(loaded, { argv: request.argv, limits: request.limits, array, nowMs: () => clock.nowMs(), onItem }, signal)
      return outcome
    } finally {
      await loaded.unload().catch(async (error: unknown) => {
        // Nobody else would erase what the items left.
        await outcome?.release()
        throw error
      })
    }
  }

  /** Of those that gave evidence for this job, some that no other job has. None where they are simulated. */
  async #gpuIds(wanted: number): Promise<readonly string[]> {
    const { devices } = this.#means
    if (devices?.simulated) return []
    const ids = (await devices?.engineIds()) ?? []
    const attested = this.#collected.bundle.devices.filter(({ type }) => type === 'gpu').length
    if (ids.length < wanted || ids.length !== attested)
      throw new AttestError('NO_HOST', `${ids.length} GPUs are here now, ${attested} gave evidence`)
    return this.#means.room.takeGpus(ids, wanted)
  }

  /** Seals what the run left, in success and failure alike, and erases it. */
  async #finish(outcome: RunOutcome | ArrayOutcome): Promise<Omit<Ending, 'keysDestroyed'>> {
    const { kind, exitCode, code, reason, isolation, usage } = outcome
    const sessions = (await this.#service?.close()) ?? null
    const ran = { type: 'execution' as const, isolation, usage, sessions, ...('items' in outcome ? { items: outcome.items } : {}) }
    try {
      this.#means.onProgress('sealing')
      const sealed = await this.#seal(outcome)
      return { ...ran, outcome: { kind, exitCode, code, reason: reasonText(reason) }, sealed }
    } catch (error) {
      this.#means.logger.error({ jobId: this.jobId, ...describeError(error) }, 'the results could not be sealed')
      const tooLarge = error instanceof AttestError && error.code === 'LIMIT_EXCEEDED'
      return { ...ran, outcome: { ...outcomeOfError(tooLarge ? 'output-too-large' : 'failed', error), exitCode }, sealed: null }
    } finally {
      await outcome.release()
    }
  }

  async #seal(outcome: RunOutcome | ArrayOutcome): Promise<SealedOutputs> {
    const { contract, job } = this.#offer
    const path = this.#means.outbox.resultsPath(this.jobId)
    const source = { job, outcome: outcome.kind, recipients: contract.recipients }
    if (!('items' in outcome)) return sealResults({ ...source, files: filesOf(outcome) }, path)
    const items = outcome.ran.map((ran) => ({ outcome: ran.kind, files: filesOf(ran) }))
    return sealResults({ ...source, files: [], items }, path)
  }

  async #sign(ending: Ending, release: CheckedRelease | null): Promise<Uint8Array> {
    const { job, contract } = this.#offer
    const { bindingDigest, evidenceDigest } = this.#collected
    const { agent, attester } = this.#means
    const timing = release === null ? null : { lower: release.earliestTime, upper: timeBounds(release.latestTime, this.#elapsedMs()).upper }
    const subject = { job, contract, bindingDigest, evidenceDigest, simulated: attester.simulated, agent, release, timing }
    return this.#keys.signOnce(encodeJobStatement(subject, ending), RECEIPT_TYP)
  }

  #elapsedMs(): number {
    return this.#means.clock.nowMs() - this.#keys.createdAtMs
  }
}

function filesOf({ outputs, stdout, stderr }: RunOutcome): readonly ArchiveFile[] {
  const captured = (path: string, bytes: Uint8Array): ArchiveFile => ({ path, size: bytes.length, read: () => [bytes] })
  const files = [
    ...outputs.map((o): ArchiveFile => ({ path: `out/${o.path}`, size: o.size, read: () => o.read() })),
    captured('stdout', stdout.bytes),
    captured('stderr', stderr.bytes),
  ]
  if (files.length > MAX_OUTPUTS) throw new AttestError('LIMIT_EXCEEDED', `${files.length} outputs; at most ${MAX_OUTPUTS}`)
  return files
}

/** Evidence that is renewed is the job's own but for role and nonce: same keys, same configuration, same job. */
function serviceMeans(
  means: JobMeans,
  subject: EvidenceSubject,
  keys: JobKeys,
  key: ServiceKey,
): ConstructorParameters<typeof JobService>[1] {
  return {
    job: subject.job ?? '',
    key,
    sign: (payload, typ) => keys.sign(payload, typ),
    renew: async (nonce) => (await collectEvidence(means.attester, { ...subject, role: 'session', nonce }, means.devices)).bundle,
    dial: means.dialService,
    logger: means.logger,
  }
}
