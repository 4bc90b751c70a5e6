import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import { AttestError } from '../../verify/errors.ts'
import { nodesOf, readNodes } from './input-tree.ts'
import type { Ended, Stop } from './outcome.ts'
import { OUTPUT_DEPTH, OUTPUT_ENTRIES, STREAM_BYTES, type WasmProfile } from './profiles.ts'
import type { CapturedStream, RunRequest, RunUsage } from './types.ts'
import { residentBytes, startWasmProcess } from './wasm-process.ts'
import {
  ByteReader,
  encodeHead,
  MAX_RESULT_JSON,
  MAX_TASK_JSON,
  type WasmProblem,
  type WasmResult,
  type WasmTask,
} from './wasm-protocol.ts'

const WATCH_MS = 100
/** What the process may use beyond the module's memory and the files: V8, compiled code, buffers on their way. */
const OVERHEAD_BYTES = 256 * 1024 ** 2

export interface WasmRun {
  readonly ended: Ended
  /** As the process sent them: paths are not checked yet. */
  readonly outputs: readonly { readonly path: string; readonly bytes: Uint8Array }[]
  readonly tooDeep: boolean
  readonly stdout: CapturedStream
  readonly stderr: CapturedStream
  readonly usage: Pick<RunUsage, 'wallMs' | 'cpuMs' | 'memoryPeakBytes'>
}

/** Runs one module to its end. Errors of the inputs pass through; nothing of the process remains. */
export async function executeWasm(module: Uint8Array, profile: WasmProfile, request: RunRequest, signal: AbortSignal): Promise<WasmRun> {
  const process = startWasmProcess(profile)
  const gone = exitOf(process)
  const guard = new Guard(process, memoryCeiling(profile, request), signal)
  try {
    await feed(process, module, profile, request)
    const started = performance.now()
    guard.startClock(profile.timeMs)
    const answer = await readAnswer(process, profile.output.bytes)
    const wallMs = Math.round(performance.now() - started)
    if (answer !== null) process.kill('SIGKILL')
    const exit = await gone
    // What ended the process outweighs what it still could say.
    const ended =
      guard.stop !== null ? { stop: guard.stop, exitCode: null } : answer === null ? endWithoutAnswer(exit) : endOfAnswer(answer.result)
    const usage = { wallMs, cpuMs: answer?.result.cpuMs ?? null, memoryPeakBytes: answer?.result.memoryPeakBytes ?? guard.peakBytes }
    const silence = { bytes: new Uint8Array(0), totalBytes: 0 }
    return {
      ended,
      outputs: answer?.outputs ?? [],
      tooDeep: answer?.result.tooDeep ?? false,
      stdout: answer?.stdout ?? silence,
      stderr: answer?.stderr ?? silence,
      usage,
    }
  } finally {
    guard.release()
    process.kill('SIGKILL')
    await gone
  }
}

/** Files may take twice their size while they grow. */
function memoryCeiling(profile: WasmProfile, { inputs }: RunRequest): number {
  return profile.linearMemoryBytes + inputs.reduce((sum, i) => sum + i.size, 0) + 2 * profile.output.bytes + OVERHEAD_BYTES
}

interface Exit {
  readonly signal: NodeJS.Signals | null
  readonly error: Error | null
}

function exitOf(process: ChildProcess): Promise<Exit> {
  return once(process, 'exit').then(
    ([, signal]) => ({ signal: signal as NodeJS.Signals | null, error: null }),
    (error: Error) => ({ signal: null, error }),
  )
}

/** Hands over task, module and inputs. A process that dies meanwhile is dealt with where its answer is awaited. */
async function feed(process: ChildProcess, module: Uint8Array, profile: WasmProfile, request: RunRequest): Promise<void> {
  const task: WasmTask = {
    moduleBytes: module.length,
    argv: request.argv,
    env: request.env,
    inputs: request.inputs.flatMap(nodesOf).map(({ path, size }) => ({ path, size })),
    memoryBytes: profile.linearMemoryBytes,
    outputBytes: profile.output.bytes,
    outputEntries: OUTPUT_ENTRIES,
    outputDepth: OUTPUT_DEPTH,
    streamBytes: STREAM_BYTES,
  }
  const head = encodeHead(task)
  if (head.length - 4 > MAX_TASK_JSON) {
    throw new AttestError('LIMIT_EXCEEDED', `${task.inputs.length} input files are more than a WebAssembly process can be told of`)
  }
  let failure: { readonly error: unknown } | null = null
  async function* parts(): AsyncGenerator<Uint8Array> {
    yield head
    yield module
    try {
      for (const input of request.inputs) for await (const { content } of readNodes(input)) yield* content
    } catch (error) {
      failure = { error }
      throw error
    }
  }
  if (process.stdin === null) throw new AttestError('INTERNAL', 'the process has no stdin')
  await pipeline(parts(), process.stdin).catch(() => {})
  if (failure !== null) throw (failure as { readonly error: unknown }).error
}

const size = z.number().int().min(0)
const capturedSchema = z.strictObject({ kept: size.max(STREAM_BYTES), total: size })
const resultSchema: z.ZodType<WasmResult> = z.strictObject({
  end: z.enum(['exit', 'trap', 'out-of-memory', 'not-a-module', 'imports', 'memory', 'no-start']),
  exitCode: z.number().int(),
  outputFull: z.boolean(),
  tooDeep: z.boolean(),
  outputs: z.array(z.strictObject({ path: z.string(), size })).max(OUTPUT_ENTRIES),
  stdout: capturedSchema,
  stderr: capturedSchema,
  cpuMs: size,
  memoryPeakBytes: size,
})

interface Answer {
  readonly result: WasmResult
  readonly stdout: CapturedStream
  readonly stderr: CapturedStream
  readonly outputs: readonly { readonly path: string; readonly bytes: Uint8Array }[]
}

/** Null for anything but a whole answer within its bounds. */
async function readAnswer(process: ChildProcess, maxOutputBytes: number): Promise<Answer | null> {
  if (process.stdout === null) return null
  const reader = new ByteReader(process.stdout)
  const parsed = resultSchema.safeParse(await reader.readHead(MAX_RESULT_JSON))
  if (!parsed.success) return null
  const result = parsed.data
  if (result.outputs.reduce((sum, o) => sum + o.size, 0) > maxOutputBytes) return null
  const [stdout, stderr] = [await reader.read(result.stdout.kept), await reader.read(result.stderr.kept)]
  if (stdout === null || stderr === null) return null
  const outputs: { path: string; bytes: Uint8Array }[] = []
  for (const output of result.outputs) {
    const bytes = await reader.read(output.size)
    if (bytes === null) return null
    outputs.push({ path: output.path, bytes })
  }
  return {
    result,
    stdout: { bytes: stdout, totalBytes: result.stdout.total },
    stderr: { bytes: stderr, totalBytes: result.stderr.total },
    outputs,
  }
}

const PROBLEMS: Record<WasmProblem | 'trap', string> = {
  trap: 'the module ended with a trap',
  'not-a-module': 'the image is not a WebAssembly module that this engine can run',
  imports: 'the module imports something else than WASI preview 1',
  memory: 'the module does not have exactly one plain, exported memory',
  'no-start': 'the module exports no _start',
}

function endOfAnswer({ end, exitCode, outputFull }: WasmResult): Ended {
  if (end === 'out-of-memory') return { stop: 'out-of-memory', exitCode: null }
  if (outputFull) return { stop: 'output-too-large', exitCode: null }
  return end === 'exit' ? { stop: null, exitCode } : { stop: null, exitCode: null, problem: PROBLEMS[end] }
}

/** V8 aborts when its heap is full, the kernel kills when memory is, and ends what has used up its CPU time. */
function endWithoutAnswer({ signal, error }: Exit): Ended {
  if (error !== null) throw new AttestError('ENGINE_UNAVAILABLE', 'the WebAssembly process could not be started', { cause: error })
  if (signal === 'SIGXCPU') return { stop: 'timeout', exitCode: null }
  if (signal === 'SIGABRT' || signal === 'SIGTRAP' || signal === 'SIGKILL') return { stop: 'out-of-memory', exitCode: null }
  return { stop: null, exitCode: null, problem: 'the WebAssembly process ended without an answer' }
}

/** Ends a running process for the first reason there is. */
class Guard {
  stop: Stop | null = null
  peakBytes: number | null = null
  readonly #process: ChildProcess
  readonly #signal: AbortSignal
  readonly #watch: NodeJS.Timeout
  #clock: NodeJS.Timeout | undefined
  readonly #onAbort = () => this.#end('cancelled')

  constructor(process: ChildProcess, ceiling: number, signal: AbortSignal) {
    this.#process = process
    this.#signal = signal
    this.#watch = setInterval(() => void this.#look(ceiling), WATCH_MS)
    signal.addEventListener('abort', this.#onAbort, { once: true })
    if (signal.aborted) this.#onAbort()
  }

  startClock(timeMs: number): void {
    this.#clock = setTimeout(() => this.#end('timeout'), timeMs)
  }

  release(): void {
    clearInterval(this.#watch)
    clearTimeout(this.#clock)
    this.#signal.removeEventListener('abort', this.#onAbort)
  }

  async #look(ceiling: number): Promise<void> {
    const { pid } = this.#process
    const bytes = pid === undefined ? null : await residentBytes(pid)
    if (bytes === null) return
    this.peakBytes = Math.max(this.peakBytes ?? 0, bytes)
    if (bytes > ceiling) this.#end('out-of-memory')
  }

  #end(stop: Stop): void {
    this.stop ??= stop
    this.#process.kill('SIGKILL')
  }
}
