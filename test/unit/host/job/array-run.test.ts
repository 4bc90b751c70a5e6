import { describe, expect, it } from 'vitest'
import { type ArrayJob, type ArrayOutcome, runItems } from '../../../../src/host/job/array-run.ts'
import type { LoadedJob, RunEnd, RunItem, RunOutcome } from '../../../../src/host/runner/types.ts'
import type { ArrayTerms } from '../../../../src/verify/documents/array.ts'
import type { Limits } from '../../../../src/verify/documents/contract.ts'
import { AttestError } from '../../../../src/verify/errors.ts'

const LIMITS: Limits = { timeMs: 1000, memoryBytes: 1_000_000, outputBytes: 100, pids: 1, cpuMillis: 1000 }

/** What one run does: how it ends, what it writes, how long it takes. */
interface Run {
  readonly kind?: RunEnd
  readonly bytes?: number
  readonly ms?: number
  readonly throws?: AttestError
  readonly before?: () => void
}

interface Scene {
  readonly outcome: ArrayOutcome
  readonly asked: readonly RunItem[]
  readonly told: readonly number[]
  /** Outcomes that hold plaintext still. */
  readonly held: () => number
}

async function run(runs: readonly Run[], terms: Partial<ArrayTerms> = {}, signal = new AbortController().signal): Promise<Scene> {
  let now = 0
  let held = 0
  const asked: RunItem[] = []
  const told: number[] = []
  const loaded: LoadedJob = {
    run: (item) => {
      const { kind = 'succeeded', bytes = 1, ms = 10, throws, before } = runs[asked.length] ?? {}
      asked.push(item)
      before?.()
      if (throws !== undefined) return Promise.reject(throws)
      now += ms
      held++
      const ended = kind === 'succeeded' ? { exitCode: 0, code: null } : { exitCode: null, code: 'JOB_FAILED' as const }
      const nothing = { bytes: new Uint8Array(), totalBytes: 0 }
      return Promise.resolve<RunOutcome>({
        kind: signal.aborted ? 'cancelled' : kind,
        ...ended,
        reason: 'a test',
        isolation: { runner: 'wasm', profile: 'sealgate-wasm-v1', profileDigest: 'x', grade: 'wasm-process' },
        outputs: bytes === 0 ? [] : [{ path: 'f', size: bytes, read: () => [new Uint8Array(bytes)] }],
        stdout: nothing,
        stderr: nothing,
        usage: { wallMs: ms, cpuMs: 5, memoryPeakBytes: asked.length, bytesIn: 7, bytesOut: bytes },
        release: () => {
          held--
          return Promise.resolve()
        },
      })
    },
    unload: () => Promise.resolve(),
  }
  const array: ArrayTerms = {
    items: runs.map((_, i) => [String(i)]),
    itemLimits: { timeMs: 300, outputBytes: 60 },
    onItemFailure: 'continue',
    ...terms,
  }
  const job: ArrayJob = { argv: ['go'], limits: LIMITS, array, nowMs: () => now, onItem: (done) => told.push(done) }
  return { outcome: await runItems(loaded, job, signal), asked, told, held: () => held }
}

const kinds = ({ outcome }: Scene): readonly string[] => outcome.items.map((i) => i.kind)

describe('items of an array job', () => {
  it('run one after the other, each with the arguments of the job and its own', async () => {
    const scene = await run([{}, {}, {}])
    expect(scene.asked.map((a) => a.argv)).toEqual([
      ['go', '0'],
      ['go', '1'],
      ['go', '2'],
    ])
    expect(scene.told).toEqual([1, 2, 3])
    expect(scene.outcome).toMatchObject({ kind: 'succeeded', exitCode: 0, code: null, reason: '3 of 3 items succeeded' })
    expect(scene.outcome.usage).toEqual({ wallMs: 30, cpuMs: 15, memoryPeakBytes: 3, bytesIn: 7, bytesOut: 3 })
  })

  it('do not lose what the others left when one fails', async () => {
    const scene = await run([{}, { kind: 'failed' }, { kind: 'out-of-memory', bytes: 0 }, {}])
    expect(kinds(scene)).toEqual(['succeeded', 'failed', 'out-of-memory', 'succeeded'])
    expect(scene.outcome).toMatchObject({ kind: 'failed', code: 'JOB_FAILED', reason: '2 of 4 items succeeded' })
    expect(scene.outcome.ran.map((r) => r.outputs.length)).toEqual([1, 1, 0, 1])
  })

  it('are not run after a failed one where the contract says stop', async () => {
    const scene = await run([{}, { kind: 'timeout' }, {}], { onItemFailure: 'stop' })
    expect(kinds(scene)).toEqual(['succeeded', 'timeout', 'not-run'])
    expect(scene.outcome.kind).toBe('failed')
  })

  it('share the time of the job: none is given more than is left, none is begun when nothing is', async () => {
    const scene = await run([{ ms: 300 }, { ms: 300 }, { ms: 300 }, { ms: 100 }, {}])
    expect(scene.asked.map((a) => a.limits.timeMs)).toEqual([300, 300, 300, 100])
    expect(kinds(scene).at(-1)).toBe('not-run')
    expect(scene.outcome).toMatchObject({ kind: 'timeout', code: 'DEADLINE' })
  })

  it('share the output of the job', async () => {
    const scene = await run([{ bytes: 60 }, { bytes: 40 }, {}])
    expect(scene.asked.map((a) => a.limits.outputBytes)).toEqual([60, 40])
    expect(scene.outcome).toMatchObject({ kind: 'output-too-large', code: 'LIMIT_EXCEEDED' })
  })

  it('that were done stay when the job is cancelled in the middle', async () => {
    const stop = new AbortController()
    const scene = await run([{}, { before: () => stop.abort() }, {}], {}, stop.signal)
    expect(kinds(scene)).toEqual(['succeeded', 'cancelled', 'not-run'])
    expect(scene.outcome).toMatchObject({ kind: 'cancelled', code: 'CANCELLED' })
    expect(scene.outcome.ran).toHaveLength(2)
  })

  it('that were done stay when the engine goes away; a job of which nothing was run is the machinery failing', async () => {
    const gone = new AttestError('ENGINE_UNAVAILABLE', 'gone')
    const scene = await run([{}, { throws: gone }, {}])
    expect(kinds(scene)).toEqual(['succeeded', 'not-run', 'not-run'])
    expect(scene.outcome).toMatchObject({ kind: 'failed', code: 'ENGINE_UNAVAILABLE' })
    await expect(run([{ throws: gone }, {}])).rejects.toBe(gone)
  })

  it('are erased together', async () => {
    const scene = await run([{}, { kind: 'failed' }, {}])
    expect(scene.held()).toBe(3)
    await scene.outcome.release()
    expect(scene.held()).toBe(0)
  })
})
