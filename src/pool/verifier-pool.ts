import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { AttestError } from '../verify/errors.ts'
import type { EvidenceVerdict } from '../verify/verify-evidence.ts'
import type { FromWorker, LoadedItems, PoolVerifyOptions, ToWorker } from './protocol.ts'

export interface VerifierPoolOptions {
  /** Worker threads; one for each core when not given. */
  readonly threads?: number
  /** Bound on each worker's cache, in bytes. Default 16 MiB. */
  readonly cacheBytes?: number
  /** How many verifications may wait. Default 10,000. */
  readonly maxQueued?: number
}

interface Job {
  readonly input: Uint8Array
  readonly options: PoolVerifyOptions
  readonly resolve: (verdict: EvidenceVerdict) => void
  readonly reject: (error: AttestError) => void
}

interface Member {
  readonly worker: Worker
  /** Batches that it has not answered yet, oldest first. */
  readonly batches: (readonly Job[])[]
  hasAnswered: boolean
}

const MAX_THREADS = 256
/** A second batch lies ready while the first is worked on. */
const MAX_BATCHES = 2
const MAX_BATCH = 8

/**
 * `verifyEvidence` on several cores: worker threads, each with a cache of its own, fed from one queue. Same verdicts, same errors.
 * Keep one per process and close it at the end.
 */
export class VerifierPool {
  readonly #members: Member[] = []
  readonly #queue: Job[] = []
  readonly #loaded: (readonly Uint8Array[])[] = []
  readonly #cacheBytes: number
  readonly #maxQueued: number
  #isClosed = false

  /** @throws AttestError `USAGE` for a number that makes no sense. */
  constructor({ threads = availableParallelism(), cacheBytes = 16 * 1024 * 1024, maxQueued = 10_000 }: VerifierPoolOptions = {}) {
    if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS)
      throw new AttestError('USAGE', `want 1 to ${MAX_THREADS} threads`)
    if (!(cacheBytes > 0) || !(maxQueued > 0)) throw new AttestError('USAGE', 'a bound is not positive')
    this.#cacheBytes = cacheBytes
    this.#maxQueued = maxQueued
    for (let i = 0; i < threads; i++) this.#start()
  }

  /** Sends collateral or roots to every worker once, for use in the options of {@link verify}. They stay until the pool is closed. */
  load(items: readonly Uint8Array[]): LoadedItems {
    const id = this.#loaded.push(items.map((bytes) => bytes.slice())) - 1
    for (const { worker } of this.#members) send(worker, { kind: 'load', id, items: this.#loaded[id] ?? [] })
    return { loaded: id }
  }

  /**
   * As `verifyEvidence`, in a worker.
   * @throws AttestError `USAGE`, `LIMIT_EXCEEDED` when too many wait, `INTERNAL` when the worker ended or the pool was closed.
   */
  verify(input: Uint8Array, options: PoolVerifyOptions): Promise<EvidenceVerdict> {
    if (this.#isClosed) return Promise.reject(new AttestError('USAGE', 'the pool is closed'))
    if (this.#members.length === 0) return Promise.reject(new AttestError('INTERNAL', 'no worker is left'))
    if (this.#queue.length >= this.#maxQueued)
      return Promise.reject(new AttestError('LIMIT_EXCEEDED', `more than ${this.#maxQueued} verifications wait`))
    return new Promise((resolve, reject) => {
      this.#queue.push({ input: input.slice(), options, resolve, reject })
      // Together with what else is asked for in this turn.
      if (this.#queue.length === 1) queueMicrotask(() => this.#feed())
    })
  }

  /** Ends the workers. What they had not answered is rejected. */
  async close(): Promise<void> {
    this.#isClosed = true
    const members = this.#members.splice(0)
    refuse([...this.#queue.splice(0), ...members.flatMap((m) => m.batches.splice(0).flat())], 'the pool was closed')
    await Promise.all(members.map((m) => m.worker.terminate()))
  }

  #start(): void {
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: { cacheBytes: this.#cacheBytes } })
    const member: Member = { worker, batches: [], hasAnswered: false }
    this.#members.push(member)
    for (const [id, items] of this.#loaded.entries()) send(worker, { kind: 'load', id, items })
    worker.on('message', (answers: FromWorker) => this.#take(member, answers))
    // 'exit' follows: one place that cleans up.
    worker.on('error', () => undefined)
    worker.on('exit', () => this.#replace(member))
    // A pool that nobody uses keeps no process alive.
    worker.unref()
  }

  #take(member: Member, answers: FromWorker): void {
    member.hasAnswered = true
    const jobs = member.batches.shift() ?? []
    if (member.batches.length === 0) member.worker.unref()
    for (const [i, { resolve, reject }] of jobs.entries()) {
      const answer = answers[i]
      if (answer === undefined) reject(new AttestError('INTERNAL', 'a worker left out an answer'))
      else if ('verdict' in answer) resolve(answer.verdict)
      else reject(new AttestError(answer.code, answer.message, answer.at === undefined ? {} : { at: answer.at }))
    }
    this.#feed()
  }

  /** A worker that ended takes its answers with it; another one goes on with what waits. One that never worked is not tried again. */
  #replace(member: Member): void {
    if (this.#isClosed) return
    this.#members.splice(this.#members.indexOf(member), 1)
    refuse(member.batches.splice(0).flat(), 'a worker ended')
    if (member.hasAnswered) this.#start()
    if (this.#members.length === 0) refuse(this.#queue.splice(0), 'no worker is left')
    this.#feed()
  }

  /** Gives what waits to those who have least to do, in shares, so that a few are spread over all. */
  #feed(): void {
    while (this.#queue.length > 0) {
      const [idle] = this.#members.filter((m) => m.batches.length < MAX_BATCHES).sort((a, b) => a.batches.length - b.batches.length)
      if (idle === undefined) return
      const share = Math.ceil(this.#queue.length / this.#members.length)
      const jobs = this.#queue.splice(0, Math.min(share, MAX_BATCH))
      try {
        send(idle.worker, { kind: 'verify', jobs: jobs.map(({ input, options }) => ({ input, options })) })
      } catch (cause) {
        for (const { reject } of jobs) reject(new AttestError('USAGE', 'options that cannot be sent to a worker', { cause }))
        continue
      }
      idle.batches.push(jobs)
      idle.worker.ref()
    }
  }
}

function send(worker: Worker, message: ToWorker): void {
  worker.postMessage(message)
}

function refuse(jobs: readonly Job[], why: string): void {
  for (const { reject } of jobs) reject(new AttestError('INTERNAL', why))
}
