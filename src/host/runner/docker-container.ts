import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { Container, ContainerCreateOptions } from 'dockerode'
import { AttestError } from '../../verify/errors.ts'
import { CappedSink } from './captured.ts'
import { type SampledUsage, UsageSampler } from './cgroup-usage.ts'
import { discard } from './discard.ts'
import { type Engine, engineError, statusOf } from './docker-engine.ts'
import { type ServedContainer, serveContainer } from './docker-service.ts'
import type { Ended, Stop } from './outcome.ts'
import type { CapturedStream, RunService, RunUsage } from './types.ts'

const WATCH_MS = 100
const ENGINE_MS = 1000
/** How long an engine may take to end a container, or to hand over the last of its output. */
const GRACE_MS = 10_000

export interface ContainerWatch {
  readonly timeMs: number
  readonly signal: AbortSignal
  readonly outputIsFull: () => Promise<boolean>
  readonly service?: RunService
}

export interface ContainerRun {
  readonly ended: Ended
  readonly stdout: CapturedStream
  readonly stderr: CapturedStream
  readonly usage: SampledUsage & Pick<RunUsage, 'wallMs'>
}

/** Runs one container to its end and removes it. @throws AttestError `ENGINE_UNAVAILABLE` when the engine fails. */
export async function runContainer(engine: Engine, options: ContainerCreateOptions, watch: ContainerWatch): Promise<ContainerRun> {
  try {
    const container = await engine.docker.createContainer(options)
    let pid = 0
    try {
      return await supervise(engine, container, watch, (started) => {
        pid = started
      })
    } finally {
      await discard(container, pid)
    }
  } catch (error) {
    throw engineError(error, engine.socketPath)
  }
}

async function supervise(
  { docker }: Engine,
  container: Container,
  watch: ContainerWatch,
  onStarted: (pid: number) => void,
): Promise<ContainerRun> {
  const [stdout, stderr] = [new CappedSink(), new CappedSink()]
  // The engine keeps no log: what is not read here is lost, so attach before the start.
  const stream = (await container.attach({ stream: true, stdout: true, stderr: true, hijack: true })) as Duplex
  const drained = new Promise<void>((resolve) => {
    for (const event of ['end', 'close', 'error']) stream.on(event, resolve)
  })
  docker.modem.demuxStream(stream, stdout, stderr)
  const begun = performance.now()
  try {
    const refusal = watch.signal.aborted ? CANCELLED : await start(container)
    if (refusal !== null) return ranNothing(refusal)
    const { ended, used } = await waitFor(container, watch, onStarted)
    const wallMs = Math.round(performance.now() - begun)
    await Promise.race([drained, delay(GRACE_MS, undefined, { ref: false })])
    return { ended, stdout: stdout.captured(), stderr: stderr.captured(), usage: { wallMs, ...used } }
  } finally {
    stream.destroy()
  }
}

const CANCELLED: Ended = { stop: 'cancelled', exitCode: null }

function ranNothing(ended: Ended): ContainerRun {
  const silence = new CappedSink().captured()
  return { ended, stdout: silence, stderr: silence, usage: { wallMs: 0, cpuMs: null, memoryPeakBytes: null } }
}

/** Null when it runs; status 400 speaks of the image or the arguments, not of the engine. */
async function start(container: Container): Promise<Ended | null> {
  try {
    await container.start()
    return null
  } catch (error) {
    if (statusOf(error) === 400) return { stop: null, exitCode: null, problem: 'the program could not be started' }
    throw error
  }
}

async function waitFor(
  container: Container,
  watch: ContainerWatch,
  onStarted: (pid: number) => void,
): Promise<{ ended: Ended; used: SampledUsage }> {
  const guard = new Guard(container, watch)
  const sampler = new UsageSampler()
  let served: ServedContainer | null = null
  try {
    const { Pid } = (await container.inspect()).State
    onStarted(Pid)
    void sampler.start(Pid, container.id)
    if (watch.service !== undefined && Pid > 0) {
      served = serveContainer(container, Pid, watch.service)
      void served.failed.then((problem) => guard.giveUp(problem))
    }
    const { StatusCode } = (await Promise.race([container.wait(), guard.gaveUp])) as { StatusCode: number }
    const used = sampler.stop()
    if (guard.stop !== null) return { ended: { stop: guard.stop, exitCode: null }, used }
    if (guard.problem !== null) return { ended: { stop: null, exitCode: null, problem: guard.problem }, used }
    const { State } = await container.inspect()
    if (State.OOMKilled && StatusCode !== 0) return { ended: { stop: 'out-of-memory', exitCode: null }, used }
    // Full, and nobody knows what of it is missing.
    if (await watch.outputIsFull()) return { ended: { stop: 'output-too-large', exitCode: null }, used }
    return { ended: { stop: null, exitCode: StatusCode }, used }
  } finally {
    served?.close()
    sampler.stop()
    guard.release()
  }
}

/** Ends a running container for the first reason there is. */
class Guard {
  stop: Stop | null = null
  /** Why the run is worth nothing, where that is no stop. */
  problem: string | null = null
  /** Rejects when the engine is gone, or does not end a container that it was told to end. */
  readonly gaveUp: Promise<never>
  readonly #container: Container
  readonly #timers: NodeJS.Timeout[]
  readonly #signal: AbortSignal
  readonly #onAbort = () => this.#end('cancelled')
  readonly #idle: AbortSignal | undefined
  readonly #onIdle = () => this.#end('idle')
  #reject: (reason: unknown) => void = () => {}

  constructor(container: Container, { timeMs, signal, outputIsFull, service }: ContainerWatch) {
    this.#container = container
    this.#signal = signal
    this.#idle = service?.idle
    this.#idle?.addEventListener('abort', this.#onIdle, { once: true })
    this.gaveUp = new Promise((_, reject) => {
      this.#reject = reject
    })
    this.gaveUp.catch(() => {})
    const look = () => outputIsFull().then((full) => full && this.#end('output-too-large'))
    this.#timers = [
      setTimeout(() => this.#end('timeout'), timeMs),
      setInterval(() => void look().catch(() => {}), WATCH_MS),
      setInterval(() => this.#askEngine(), ENGINE_MS),
    ]
    signal.addEventListener('abort', this.#onAbort, { once: true })
    if (signal.aborted) this.#onAbort()
  }

  release(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#signal.removeEventListener('abort', this.#onAbort)
    this.#idle?.removeEventListener('abort', this.#onIdle)
  }

  giveUp(problem: string): void {
    if (this.stop !== null || this.problem !== null) return
    this.problem = problem
    this.#kill()
  }

  /** A call that waits for a container's end does not fail when the engine dies, so ask it something now and then. */
  #askEngine(): void {
    this.#container.inspect().catch((error) => {
      if (statusOf(error) === null) this.#reject(error)
    })
  }

  #end(stop: Stop): void {
    if (this.stop !== null || this.problem !== null) return
    this.stop = stop
    this.#kill()
  }

  #kill(): void {
    // A container that has just ended by itself cannot be killed: waiting for it gives the answer either way.
    this.#container.kill({ signal: 'SIGKILL' }).catch(() => {})
    const late = () => this.#reject(new AttestError('ENGINE_UNAVAILABLE', 'the container engine did not end a container'))
    this.#timers.push(setTimeout(late, GRACE_MS))
  }
}
