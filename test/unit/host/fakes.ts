import type { AttestationSubject, Attester, DeviceAttester } from '../../../src/host/attesters/attester.ts'
import type { Clock } from '../../../src/host/job/clock.ts'
import type { SealedResults } from '../../../src/host/job/outbox.ts'
import type { Transfers } from '../../../src/host/job/transfers.ts'
import { isolationOf, wasmProfile } from '../../../src/host/runner/profiles.ts'
import type { LoadedJob, RunEnd, RunInput, Runner, RunOutcome, RunRequest } from '../../../src/host/runner/types.ts'
import { AttestError } from '../../../src/verify/errors.ts'
import { testBytes } from '../../support/keys.ts'

/** Time that passes when a test says so. */
export class FakeClock implements Clock {
  #now = 1000
  readonly #sleepers = new Set<{ readonly at: number; readonly wake: () => void }>()

  nowMs(): number {
    return this.#now
  }

  sleep(timeMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const sleeper = { at: this.#now + timeMs, wake: resolve }
      const giveUp = (): void => {
        this.#sleepers.delete(sleeper)
        resolve()
      }
      this.#sleepers.add(sleeper)
      signal.addEventListener('abort', giveUp, { once: true })
      if (signal.aborted) giveUp()
    })
  }

  /** Lets just so much time pass that somebody wakes who sleeps for less than `maxMs`. */
  wakeNext(maxMs = 2000): void {
    const at = Math.min(...[...this.#sleepers].map((s) => s.at))
    if (at <= this.#now + maxMs) this.advance(Math.max(0, at - this.#now))
  }

  advance(timeMs: number): void {
    this.#now += timeMs
    for (const sleeper of this.#sleepers) {
      if (sleeper.at > this.#now) continue
      this.#sleepers.delete(sleeper)
      sleeper.wake()
    }
  }
}

/** What an attester is asked to bind, with these 64 bytes as report data. */
export function subjectOf(reportData: Uint8Array): AttestationSubject {
  const [bindingDigest, nonce, publicKey] = [testBytes('binding', 32), testBytes('nonce', 32), testBytes('kem', 65)]
  return { reportData, bindingDigest, nonce, publicKey }
}

/** Bytes with the shape of a report; nobody here verifies it. */
export const fakeAttester: Attester = {
  format: 'sev-snp',
  simulated: true,
  attest: ({ reportData }) => {
    const report = new Uint8Array(1184)
    report.set(reportData, 0x50)
    return Promise.resolve({ report, endorsements: [testBytes('vek', 100)] })
  },
}

export const GPU_IDS: readonly string[] = Array.from({ length: 4 }, (_, i) => `GPU-0000000${i}-0000-0000-0000-000000000000`)

/** Devices whose reports begin with their nonce: a GPU, a switch, a GPU, ... */
export function fakeDevices(count: number): DeviceAttester {
  return {
    unattested: [],
    endorsements: [],
    simulated: false,
    count: () => Promise.resolve(count),
    engineIds: () => Promise.resolve(Array.from({ length: count }, (_, i) => GPU_IDS[i] ?? '').filter((_, i) => i % 2 === 0)),
    attestDevices: (nonces) =>
      Promise.resolve(
        nonces.map((nonce, i) => ({
          type: i % 2 === 0 ? 'gpu' : 'nvswitch',
          report: new Uint8Array([...nonce, ...testBytes(`device ${i}`, 50)]),
          certificateChain: testBytes(`chain ${i}`, 90),
        })),
      ),
  }
}

/** What a fake workload does with its plaintext inputs. */
export type Workload = (
  inputs: ReadonlyMap<string, Uint8Array>,
  argv: readonly string[],
) => {
  readonly kind?: RunEnd
  readonly outputs?: Readonly<Record<string, Uint8Array>>
  readonly stdout?: Uint8Array
}

/** A runner without isolation. Counts what it holds, so that a test sees what is left behind. */
export class FakeRunner implements Runner {
  readonly kind = 'wasm'
  readonly grade = 'wasm-process'
  readonly isolations = ['sealgate-wasm-v1'] as const
  readonly registries: readonly string[] = []
  readonly reason = 'a fake'
  readonly recovered: readonly string[] = []
  readonly #workload: Workload
  /** Outcomes that still hold plaintext. */
  held = 0
  /** Of each input: what it holds, or null for a file. */
  archives: readonly (readonly string[] | null)[] = []
  runs = 0
  prepared = 0
  /** GPUs of each run. */
  readonly given: (readonly string[])[] = []
  /** Fails before the workload is started. */
  failure: AttestError | null = null
  /** Resolved when a run has read its inputs; the workload waits for `proceed`. */
  onRunning: () => void = () => {}
  proceed: Promise<void> = Promise.resolve()

  constructor(workload: Workload) {
    this.#workload = workload
  }

  prepare(): Promise<void> {
    this.prepared++
    return Promise.resolve()
  }

  async run(request: RunRequest, signal: AbortSignal): Promise<RunOutcome> {
    if (this.failure !== null) throw this.failure
    const inputs = new Map<string, Uint8Array>()
    for (const input of request.inputs) inputs.set(input.name, await readAll(input))
    this.archives = request.inputs.map((input) => input.archive?.entries.map((entry) => entry.path) ?? null)
    this.runs++
    this.given.push(request.gpus)
    this.onRunning()
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    await Promise.race([this.proceed, aborted])
    this.held++
    const {
      kind = 'succeeded',
      outputs = {},
      stdout = new Uint8Array(),
    } = signal.aborted ? { kind: 'cancelled' as const } : this.#workload(inputs, request.argv)
    return {
      kind,
      exitCode: kind === 'succeeded' ? 0 : null,
      code: kind === 'succeeded' ? null : kind === 'cancelled' ? 'CANCELLED' : 'JOB_FAILED',
      reason: `the workload ${kind}`,
      isolation: isolationOf(wasmProfile(request.limits)),
      outputs: Object.entries(outputs).map(([path, bytes]) => ({ path, size: bytes.length, read: () => [bytes] })),
      stdout: { bytes: stdout, totalBytes: stdout.length },
      stderr: { bytes: new Uint8Array(), totalBytes: 0 },
      usage: { wallMs: 5, cpuMs: 4, memoryPeakBytes: 1000, bytesIn: 10, bytesOut: 20 },
      release: () => {
        this.held--
        return Promise.resolve()
      },
    }
  }

  /** Thrown when inputs are to be erased. */
  unloadFailure: AttestError | null = null
  /** Inputs that are loaded now. */
  loaded = 0

  async load(request: RunRequest): Promise<LoadedJob> {
    if (this.failure !== null) throw this.failure
    const inputs: RunInput[] = []
    for (const input of request.inputs) {
      const bytes = await readAll(input)
      inputs.push({ ...input, read: () => [bytes] })
    }
    this.loaded++
    return {
      run: (item, signal) => this.run({ ...request, ...item, inputs }, signal),
      unload: () => {
        this.loaded--
        return this.unloadFailure === null ? Promise.resolve() : Promise.reject(this.unloadFailure)
      },
    }
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

async function readAll(input: RunInput): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of input.read()) parts.push(part)
  return Buffer.concat(parts)
}

/** A gateway's blobs in memory. */
export class FakeTransfers implements Transfers {
  readonly headers = new Map<string, Uint8Array>()
  readonly files = new Map<string, Uint8Array>()
  readonly uploads = new Map<string, Uint8Array>()
  downloads = 0
  /** Thrown by the next uploads, one each. */
  uploadFailures: AttestError[] = []

  describe(blobId: string): Promise<{ header: Uint8Array; sizeBytes: number }> {
    const header = this.headers.get(blobId)
    const file = this.files.get(blobId)
    if (!header || !file) return Promise.reject(new AttestError('NOT_FOUND', 'no such blob'))
    return Promise.resolve({ header, sizeBytes: file.length })
  }

  async *download(blobId: string, _sizeBytes: number, offset: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    this.downloads++
    const file = this.files.get(blobId) ?? new Uint8Array()
    for (let at = offset; at < file.length; at += 60_000) {
      if (signal.aborted) throw new AttestError('CANCELLED', 'the transfer was cancelled')
      yield file.subarray(at, at + 60_000)
    }
    await Promise.resolve()
  }

  async upload(jobId: string, _results: SealedResults, from: (offset: number) => AsyncIterable<Uint8Array>): Promise<string> {
    const failure = this.uploadFailures.shift()
    if (failure) throw failure
    const parts: Uint8Array[] = []
    for await (const part of from(0)) parts.push(part)
    this.uploads.set(jobId, Buffer.concat(parts))
    return `blob-of-${jobId}`
  }
}

/** A machine on which the job is alone. */
export const wholeRoom = {
  addInputs: (): void => {},
  takeGpus: (ids: readonly string[], wanted: number): readonly string[] => ids.slice(0, wanted),
}
