import type { Socket } from 'node:net'
import type { ArchiveEntry } from '../../seal/index.ts'
import type { ImageRef, Limits, RunnerKind } from '../../verify/documents/contract.ts'
import type { IsolationGrade, IsolationName } from '../../verify/documents/isolation.ts'
import type { OutcomeKind, Predicate } from '../../verify/documents/statement.ts'
import type { ErrorCode } from '../../verify/errors.ts'

/** What a receipt says about isolation. */
export type AppliedIsolation = NonNullable<Predicate['isolation']>

/** One decrypted input. It is read once, straight into memory-backed storage; it must yield exactly `size` bytes. */
export interface RunInput {
  /** Name of the file, or of an archive's folder, under /in. */
  readonly name: string
  readonly size: number
  /** For an archive: what it holds, read beforehand, so that room can be made for it. Absent for a file. */
  readonly archive?: InputArchive
  read(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

export interface InputArchive {
  readonly entries: readonly ArchiveEntry[]
  /** SHA-256 of the manifest: what `read` yields must begin with it. */
  readonly manifestDigest: Uint8Array
}

/** A workload that answers on a port of its own loopback interface until it is ended. */
export interface RunService {
  readonly port: number
  /** Called once, when it takes connections. @param connect - Opens one more. */
  readonly onReady: (connect: () => Promise<Socket>) => void
  /** Aborting it ends the run with the outcome `idle`. */
  readonly idle: AbortSignal
}

/** What to run. `argv` follows the program's own name; `env` is the whole environment that the job asks for. */
export interface RunRequest {
  readonly jobId: string
  readonly image: ImageRef
  readonly isolation: IsolationName
  readonly argv: readonly string[]
  readonly env: { readonly [name: string]: string }
  readonly limits: Limits
  readonly inputs: readonly RunInput[]
  /** GPUs by the name that the engine knows them by (UUID). Only such as gave evidence for this job. */
  readonly gpus: readonly string[]
  /** Absent for a batch job. */
  readonly service?: RunService
}

/** One file of /out, still in memory-backed storage. `read` may be called more than once, until the outcome is released. */
export interface RunOutput {
  /** Relative to /out, segments of letters, digits, `.`, `_` and `-`. */
  readonly path: string
  readonly size: number
  read(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

/** The first bytes of a stream, and how many there were. */
export interface CapturedStream {
  readonly bytes: Uint8Array
  readonly totalBytes: number
}

/** How a run can end once it was tried. Refusals and lost jobs are decided elsewhere. */
export type RunEnd = Exclude<OutcomeKind, 'refused' | 'lost'>

export interface RunUsage {
  readonly wallMs: number
  readonly cpuMs: number | null
  /** `wallMs` times the GPUs that were given; absent for none. What a job keeps from others counts, whether it used it or not. */
  readonly gpuMs?: number
  readonly memoryPeakBytes: number | null
  readonly bytesIn: number
  readonly bytesOut: number
}

/** What came of a run. Holds plaintext until {@link RunOutcome.release}. */
export interface RunOutcome {
  readonly kind: RunEnd
  /** 0 to 255; null when the program did not end by itself. */
  readonly exitCode: number | null
  readonly code: ErrorCode | null
  /** For people; never holds data of the job. */
  readonly reason: string
  readonly isolation: AppliedIsolation
  /** Sorted by path. Empty unless the program ended by itself. */
  readonly outputs: readonly RunOutput[]
  readonly stdout: CapturedStream
  readonly stderr: CapturedStream
  readonly usage: RunUsage
  /** Erases what the run left in memory-backed storage. */
  readonly release: () => Promise<void>
}

/** What differs between the runs of an array job. */
export type RunItem = Pick<RunRequest, 'argv' | 'limits'>

/** A job whose inputs lie in memory-backed storage, for runs one after the other, each in a fresh container with a fresh /out. */
export interface LoadedJob {
  run(item: RunItem, signal: AbortSignal): Promise<RunOutcome>
  /** Erases the inputs. Outcomes stay until each is released. */
  unload(): Promise<void>
}

/** Runs workloads in isolation. Every started run ends in an outcome; what throws is the machinery, with an `AttestError`. */
export interface Runner {
  readonly kind: RunnerKind
  /** Of the profile that it applies where a contract names the runner's usual one. */
  readonly grade: IsolationGrade
  /** Profiles that it can apply. */
  readonly isolations: readonly IsolationName[]
  /** Registries that it may pull images from, sorted: part of the configuration that the evidence binds. */
  readonly registries: readonly string[]
  /** Why this runner, for people: what was found, or why a stronger one could not be had. */
  readonly reason: string
  /** Jobs of which a dead predecessor had left containers or plaintext; all of it is removed by now. */
  readonly recovered: readonly string[]
  /**
   * Loads the image and checks its digest, so that a job that cannot run here is declined before any key is asked for.
   * @param service - True: it is to be reached by clients too.
   * @param source - Where it may be pulled from if no recipe has it, `HOST/NAME@sha256:DIGEST`.
   * @throws AttestError `IMAGE_UNAVAILABLE`, `IMAGE_DIGEST_MISMATCH`, `ENGINE_*`; `NO_HOST` for a service that cannot be had here.
   */
  prepare(image: ImageRef, service?: boolean, source?: string): Promise<void>
  /**
   * Runs one job. Aborting `signal` ends it with the outcome `cancelled`. Errors of an input's `read` pass through.
   * @throws AttestError as `prepare`, `DOCUMENT_INVALID` for limits or names that cannot be applied, `LIMIT_EXCEEDED` for
   * inputs that do not fit in memory here.
   */
  run(request: RunRequest, signal: AbortSignal): Promise<RunOutcome>
  /**
   * Reads the inputs once, for several runs that differ from `request` in what {@link RunItem} holds. Not for a service.
   * @throws AttestError as `run`; nothing is left then.
   */
  load(request: RunRequest, signal: AbortSignal): Promise<LoadedJob>
  /** Waits for nothing: aborts what runs, and removes it. */
  close(): Promise<void>
}
