import { readFileSync } from 'node:fs'
import type { Runner, RunOutcome, RunRequest } from '../../src/host/runner/index.ts'
import type { ImageRef, Limits } from '../../src/verify/documents/contract.ts'
import { DEFAULT_ISOLATION, type IsolationName } from '../../src/verify/documents/isolation.ts'

const MiB = 1024 ** 2

export const LIMITS: Limits = { timeMs: 60_000, memoryBytes: 64 * MiB, outputBytes: 4 * MiB, pids: 32, cpuMillis: 1000 }

/** A request with everything filled in. Inputs are given as bytes by name. */
export function requestOf(
  image: ImageRef,
  {
    inputs = {},
    limits = {},
    ...rest
  }: {
    argv?: string[]
    env?: Record<string, string>
    jobId?: string
    isolation?: IsolationName
    gpus?: readonly string[]
    inputs?: Record<string, Uint8Array>
    limits?: Partial<Limits>
  } = {},
): RunRequest {
  const files = Object.entries(inputs).map(([name, bytes]) => ({ name, size: bytes.length, read: () => [bytes] }))
  return {
    jobId: 'AAAAAAAAAAAAAAAAAAAAAA',
    isolation: DEFAULT_ISOLATION[image.runner],
    argv: [],
    env: {},
    gpus: [],
    ...rest,
    image,
    limits: { ...LIMITS, ...limits },
    inputs: files,
  }
}

/** What a test wants to know of an outcome; the outcome itself is released. */
export interface Ran extends Omit<RunOutcome, 'outputs' | 'stdout' | 'stderr' | 'release'> {
  readonly files: { readonly [path: string]: string }
  readonly stdout: string
  readonly stderr: string
}

export async function runOnce(runner: Runner, request: RunRequest, signal: AbortSignal = new AbortController().signal): Promise<Ran> {
  const { outputs, stdout, stderr, release, ...rest } = await runner.run(request, signal)
  try {
    const files: Record<string, string> = {}
    for (const output of outputs) {
      const chunks: Uint8Array[] = []
      for await (const chunk of output.read()) chunks.push(chunk)
      const content = Buffer.concat(chunks)
      if (content.length !== output.size) throw new Error(`${output.path} has ${content.length} bytes, not ${output.size}`)
      files[output.path] = content.toString()
    }
    return { ...rest, files, stdout: Buffer.from(stdout.bytes).toString(), stderr: Buffer.from(stderr.bytes).toString() }
  } finally {
    await release()
  }
}

const root = new URL('../../enclave-images/tabular-inference/', import.meta.url)

/** The shipped example: its images by runner, and its data. */
export const TABULAR: { readonly images: Readonly<Record<'docker' | 'wasm', ImageRef>>; readonly data: Uint8Array } = {
  images: Object.fromEntries(
    (JSON.parse(readFileSync(new URL('measurement.golden.json', root), 'utf8')) as { images: ImageRef[] }).images.map(
      ({ runner, digest }) => [runner, { runner, digest }],
    ),
  ) as Record<'docker' | 'wasm', ImageRef>,
  data: readFileSync(new URL('data/wdbc.csv', root)),
}
