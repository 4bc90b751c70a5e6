import { freemem } from 'node:os'
import type { ImageRef } from '../../verify/documents/contract.ts'
import type { IsolationName } from '../../verify/documents/isolation.ts'
import { AttestError } from '../../verify/errors.ts'
import { loadImage } from './images.ts'
import { outcomeOf } from './outcome.ts'
import { OutputTally } from './outputs.ts'
import { isolationOf, OUTPUT_DEPTH, wasmProfile } from './profiles.ts'
import { checkRequest, exactly } from './request.ts'
import type { LoadedJob, RunInput, Runner, RunOutcome, RunOutput, RunRequest } from './types.ts'
import { executeWasm, type WasmRun } from './wasm-execute.ts'
import { permissionFlag } from './wasm-process.ts'

/** Longest array of bytes in the oldest supported Node.js (V8 11.3). A module could not address more anyway. */
const MAX_INPUT_BYTES = 2 ** 32 - 1

export interface WasmRunnerOptions {
  /** Folder of image recipes, see images.ts. */
  readonly images: string
  readonly reason?: string
}

/** Runs WASI commands, each in a process of its own (docs/formats/isolation.md). @throws AttestError `ENGINE_UNAVAILABLE`. */
export function createWasmRunner(options: WasmRunnerOptions): Runner {
  permissionFlag()
  return new WasmRunner(options)
}

class WasmRunner implements Runner {
  readonly kind = 'wasm'
  readonly grade = 'wasm-process'
  readonly isolations: readonly IsolationName[] = ['sealgate-wasm-v1']
  readonly registries: readonly string[] = []
  readonly reason: string
  readonly recovered: readonly string[] = []
  readonly #images: string
  readonly #closing = new AbortController()
  readonly #running = new Set<Promise<unknown>>()

  constructor({ images, reason }: WasmRunnerOptions) {
    this.#images = images
    this.reason = reason ?? 'WebAssembly in a process of its own'
  }

  async prepare(image: ImageRef, service = false): Promise<void> {
    if (service) throw new AttestError('NO_HOST', 'a WebAssembly module cannot serve: it has no sockets', { at: 'contract.service' })
    await this.#module(image)
  }

  async #module(image: ImageRef): Promise<Uint8Array> {
    const loaded = await loadImage(this.#images, image)
    if (loaded.runner !== 'wasm') throw new AttestError('IMAGE_UNAVAILABLE', 'this host runs wasm images')
    return loaded.module
  }

  /** The inputs stay in this process, and go to each run's own: they take twice their size while one runs. */
  async load(request: RunRequest, signal: AbortSignal): Promise<LoadedJob> {
    checkRequest(this, request)
    const room = Math.min(freemem() / 2, MAX_INPUT_BYTES)
    const bytesIn = request.inputs.reduce((sum, i) => sum + i.size, 0)
    if (bytesIn > room) throw new AttestError('LIMIT_EXCEEDED', `the inputs have ${bytesIn} bytes, there is room for ${room}`)
    const held: Uint8Array[] = []
    const unload = (): Promise<void> => {
      for (const bytes of held) bytes.fill(0)
      return Promise.resolve()
    }
    try {
      const inputs: RunInput[] = []
      for (const input of request.inputs) {
        const bytes = new Uint8Array(input.size)
        held.push(bytes)
        await fill(bytes, input, signal)
        inputs.push({ ...input, read: () => [bytes] })
      }
      return { run: (item, s) => this.run({ ...request, ...item, inputs }, s), unload }
    } catch (error) {
      await unload()
      throw error
    }
  }

  async run(request: RunRequest, signal: AbortSignal): Promise<RunOutcome> {
    checkRequest(this, request)
    const work = this.#run(request, AbortSignal.any([signal, this.#closing.signal]))
    this.#running.add(work)
    try {
      return await work
    } finally {
      this.#running.delete(work)
    }
  }

  async #run(request: RunRequest, signal: AbortSignal): Promise<RunOutcome> {
    const bytesIn = request.inputs.reduce((sum, i) => sum + i.size, 0)
    const room = Math.min(freemem(), MAX_INPUT_BYTES)
    if (bytesIn > room) throw new AttestError('LIMIT_EXCEEDED', `the inputs have ${bytesIn} bytes, there is room for ${room}`)
    const module = await this.#module(request.image)
    const profile = wasmProfile(request.limits)
    const ran = await executeWasm(module, profile, request, signal)
    const { end, outputs } = await outcomeOf(ran.ended, async () => takeOutputs(ran, profile.output.bytes))
    return {
      ...end,
      isolation: isolationOf(profile),
      outputs,
      stdout: ran.stdout,
      stderr: ran.stderr,
      usage: {
        ...ran.usage,
        bytesIn,
        bytesOut: outputs.reduce((sum, o) => sum + o.size, 0) + ran.stdout.totalBytes + ran.stderr.totalBytes,
      },
      release: async () => {
        for (const { bytes } of ran.outputs) bytes.fill(0)
      },
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.allSettled(this.#running)
  }
}

/** An input that is not whole when the job is cancelled is not missed: nothing is run on it. */
async function fill(bytes: Uint8Array, input: RunInput, signal: AbortSignal): Promise<void> {
  let at = 0
  try {
    for await (const chunk of exactly(input)) {
      bytes.set(chunk, at)
      at += chunk.length
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** The same rules as for a container's /out. */
function takeOutputs({ outputs, tooDeep }: WasmRun, maxBytes: number): readonly RunOutput[] {
  if (tooDeep) throw new AttestError('JOB_FAILED', `the outputs were refused: a folder more than ${OUTPUT_DEPTH} deep`)
  const tally = new OutputTally(maxBytes)
  for (const { path, bytes } of outputs) tally.file(path, bytes.length)
  const taken = outputs.map(({ path, bytes }) => ({ path, size: bytes.length, read: () => [bytes] }))
  return taken.sort((a, b) => (a.path < b.path ? -1 : 1))
}
