import type { ArrayTerms, ItemKind, ItemOutcome } from '../../verify/documents/array.ts'
import type { Limits } from '../../verify/documents/contract.ts'
import { AttestError } from '../../verify/errors.ts'
import type { LoadedJob, RunOutcome, RunUsage } from '../runner/types.ts'
import { outcomeOfError } from './statement.ts'

/** Outputs of all items together, stdout and stderr among them; no item is begun above it. */
const MAX_FILES = 16_384

export interface ArrayJob {
  readonly argv: readonly string[]
  /** Of all items together. */
  readonly limits: Limits
  readonly array: ArrayTerms
  /** Monotonic. */
  readonly nowMs: () => number
  /** After each item. */
  readonly onItem: (done: number) => void
}

/** An outcome of a whole array job. `release` erases what every item left. */
export interface ArrayOutcome extends Omit<RunOutcome, 'outputs' | 'stdout' | 'stderr'> {
  /** In the contract's order, of every item. */
  readonly items: readonly ItemOutcome[]
  /** Of those that were run. */
  readonly ran: readonly RunOutcome[]
}

type End = Pick<RunOutcome, 'kind' | 'code' | 'reason'>

/**
 * Runs the items one after the other. What one leaves does not depend on how another ends: the job ends early when it is
 * cancelled, its limits are reached, the runner fails, or an item fails and the contract says stop.
 * @throws AttestError what the runner throws at the first item: then nothing was run.
 */
export async function runItems(loaded: LoadedJob, job: ArrayJob, signal: AbortSignal): Promise<ArrayOutcome> {
  const { items } = job.array
  const until = job.nowMs() + job.limits.timeMs
  const ran: RunOutcome[] = []
  let kept = { bytes: 0, files: 0 }
  let end: End | null = null
  for (const item of items) {
    // The first one is run in any case: a job that was begun has an outcome of its runner.
    if (ran.length > 0) end = endBefore(job, kept, until - job.nowMs(), signal)
    if (end !== null) break
    const limits = {
      ...job.limits,
      timeMs: Math.max(1, Math.min(job.array.itemLimits.timeMs, Math.floor(until - job.nowMs()))),
      outputBytes: Math.min(job.array.itemLimits.outputBytes, job.limits.outputBytes - kept.bytes),
    }
    try {
      ran.push(await loaded.run({ argv: [...job.argv, ...item], limits }, signal))
    } catch (error) {
      if (ran.length === 0) throw error
      const { code, reason } = outcomeOfError('failed', error)
      end = { kind: 'failed', code, reason }
      break
    }
    const last = ran[ran.length - 1] as RunOutcome
    kept = { bytes: kept.bytes + bytesOf(last), files: kept.files + last.outputs.length + 2 }
    job.onItem(ran.length)
    if (last.kind === 'cancelled' || (last.kind !== 'succeeded' && job.array.onItemFailure === 'stop')) break
  }
  const outcomes = items.map((_, i) => outcomeOfItem(ran[i]))
  return { ...summary(ran, outcomes, end), items: outcomes, ran, release: () => releaseAll(ran) }
}

/** Why the next item is not begun. */
function endBefore({ limits }: ArrayJob, kept: { bytes: number; files: number }, leftMs: number, signal: AbortSignal): End | null {
  if (signal.aborted) return { kind: 'cancelled', code: 'CANCELLED', reason: 'the job was cancelled' }
  if (leftMs < 1) return { kind: 'timeout', code: 'DEADLINE', reason: 'the time limit of all items was reached' }
  if (kept.bytes >= limits.outputBytes || kept.files >= MAX_FILES) {
    return { kind: 'output-too-large', code: 'LIMIT_EXCEEDED', reason: 'the output limit of all items was reached' }
  }
  return null
}

function bytesOf({ outputs, stdout, stderr }: RunOutcome): number {
  return outputs.reduce((sum, o) => sum + o.size, 0) + stdout.bytes.length + stderr.bytes.length
}

function outcomeOfItem(ran: RunOutcome | undefined): ItemOutcome {
  if (ran === undefined) return { kind: 'not-run', exitCode: null }
  if (ran.kind === 'idle') throw new AttestError('INTERNAL', 'an item that ended as a service')
  return { kind: ran.kind satisfies ItemKind, exitCode: ran.exitCode }
}

/** How the whole ended: the first reason that ended it early, else how many items succeeded. */
function summary(
  ran: readonly RunOutcome[],
  items: readonly ItemOutcome[],
  end: End | null,
): Omit<ArrayOutcome, 'items' | 'ran' | 'release'> {
  const [first] = ran
  if (first === undefined) throw new AttestError('INTERNAL', 'an array job without items')
  const succeeded = items.filter(({ kind }) => kind === 'succeeded').length
  const tally = `${succeeded} of ${items.length} items succeeded`
  const base = { isolation: first.isolation, usage: totalUsage(ran) }
  if (succeeded === items.length) return { ...base, kind: 'succeeded', exitCode: 0, code: null, reason: tally }
  const cancelled = ran[ran.length - 1]?.kind === 'cancelled'
  const early: End | null = cancelled ? { kind: 'cancelled', code: 'CANCELLED', reason: 'the job was cancelled' } : end
  if (early === null) return { ...base, kind: 'failed', exitCode: null, code: 'JOB_FAILED', reason: tally }
  return { ...base, kind: early.kind, exitCode: null, code: early.code, reason: `${early.reason}; ${tally}` }
}

/** The inputs are read once. A sum of unknowns is unknown. */
function totalUsage(ran: readonly RunOutcome[]): RunUsage {
  const usages = ran.map((r) => r.usage)
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)
  const known = (values: readonly (number | null)[]): readonly number[] | null => (values.every((v) => v !== null) ? values : null)
  const cpuMs = known(usages.map((u) => u.cpuMs))
  const peaks = known(usages.map((u) => u.memoryPeakBytes))
  const gpuMs = usages.flatMap((u) => u.gpuMs ?? [])
  return {
    wallMs: sum(usages.map((u) => u.wallMs)),
    cpuMs: cpuMs === null ? null : sum(cpuMs),
    ...(gpuMs.length === 0 ? {} : { gpuMs: sum(gpuMs) }),
    memoryPeakBytes: peaks === null ? null : Math.max(...peaks),
    bytesIn: usages[0]?.bytesIn ?? 0,
    bytesOut: sum(usages.map((u) => u.bytesOut)),
  }
}

async function releaseAll(ran: readonly RunOutcome[]): Promise<void> {
  const released = await Promise.allSettled(ran.map((r) => r.release()))
  const failed = released.find((r) => r.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
