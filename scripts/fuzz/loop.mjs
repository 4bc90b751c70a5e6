import { Coverage } from './coverage.mjs'
import { Violation } from './invariants.mjs'
import { mutate } from './mutate.mjs'

/** Longest that one input may take. */
const LIMIT_MS = 250
const MAX_FINDINGS = 5
const MAX_CORPUS = 4096
const MINIMIZE_RUNS = 2000
const DEFAULT_MAX_SIZE = 32 * 1024

/**
 * Mutates inputs, keeps those that reach something new, and judges every one: only an input error may come out, in time, and the
 * input stays as it was.
 * @param isInputError - Whether an error is an answer about the input.
 * @param announce - Told every input before it runs, in case it never ends.
 * @param report - Told every finding once: `{kind, message, input}`.
 */
export async function fuzz({ target, run, seeds, regressions, words, random, runs, deadline, isInputError, announce, report }) {
  const coverage = new Coverage()
  const corpus = []
  const known = new Set()
  const stats = { inputs: 0, slowestMs: 0, findings: 0 }

  async function judge(input) {
    const before = announce(input)
    coverage.begin()
    const started = performance.now()
    let problem = null
    try {
      const pending = run(input)
      if (pending instanceof Promise) await pending
    } catch (error) {
      problem = problemOf(error, isInputError)
    }
    const ms = performance.now() - started
    if (Buffer.compare(before, input) !== 0) problem ??= { kind: 'input-changed', message: 'the input is another one afterwards' }
    return { ms, problem }
  }

  /** A machine that is busy is slow now and then; an input that is slow takes the processor every time. */
  async function isSlow(input) {
    for (let i = 0; i < 3; i++) {
      const before = process.cpuUsage()
      await judge(input)
      if (process.cpuUsage(before).user / 1000 <= LIMIT_MS) return false
    }
    return true
  }

  async function examine(input) {
    stats.inputs++
    const { ms, problem } = await judge(input)
    const isNews = coverage.isNews()
    if (ms > LIMIT_MS && problem === null && (await isSlow(input))) await found(input, { kind: 'slow', message: `${Math.round(ms)} ms` })
    else stats.slowestMs = Math.max(stats.slowestMs, ms <= LIMIT_MS ? ms : 0)
    if (problem !== null) await found(input, problem)
    return isNews
  }

  /** Places are not worked out for the many errors that are answers. */
  async function traced(input) {
    Error.stackTraceLimit = 10
    const { problem } = await judge(input)
    Error.stackTraceLimit = 0
    return problem
  }

  async function found(input, first) {
    const problem = first.kind === 'slow' ? first : ((await traced(input)) ?? first)
    const key = keyOf(problem)
    if (known.has(key) || known.size >= MAX_FINDINGS) return
    known.add(key)
    stats.findings++
    const small = problem.kind === 'slow' ? input : await minimize(input, async (other) => keyOf(await traced(other)) === key)
    report({ kind: problem.kind, message: problem.message, input: small })
  }

  Error.stackTraceLimit = 0
  for (const input of regressions) await examine(input)
  for (const input of seeds) if ((await examine(input)) || corpus.length === 0) corpus.push(input)
  const maxSize = target.maxSize ?? DEFAULT_MAX_SIZE
  while (stats.inputs < runs && performance.now() < deadline) {
    const parent = choose(corpus, random)
    const input = mutate(parent, random, { donor: random.pick(corpus), words, maxSize })
    if ((await examine(input)) && corpus.length < MAX_CORPUS) corpus.push(input)
  }
  return { ...stats, corpus: corpus.length, points: coverage.points }
}

/** What came last leads on more often; of two, the smaller one is quicker. */
function choose(corpus, random) {
  const [a, b] = [
    random.pick(corpus),
    random.chance(30) ? corpus[corpus.length - 1 - random.below(Math.min(16, corpus.length))] : random.pick(corpus),
  ]
  return random.chance(70) ? (a.length < b.length ? a : b) : b
}

function problemOf(error, isInputError) {
  if (error instanceof Violation) return { kind: error.kind, message: error.message }
  if (isInputError(error)) return null
  const text = error instanceof Error ? `${error.name}${error.code === undefined ? '' : ` ${error.code}`}: ${error.message}` : String(error)
  const frames = error instanceof Error ? (error.stack ?? '').split('\n').filter((line) => line.includes('/dist/')) : []
  const place = frames[0]?.match(/dist\/(.*?):/)?.[1] ?? 'unknown place'
  return { kind: 'wrong-error', message: `${text} in ${place}` }
}

/** One defect has many inputs: numbers in a message do not tell defects apart. */
function keyOf(problem) {
  return problem === null ? null : `${problem.kind} ${problem.message.replace(/\d+/g, '#').slice(0, 120)}`
}

/** Leaves out pieces, large ones first, as long as the same thing is wrong. */
async function minimize(input, isSame) {
  let best = input
  let left = MINIMIZE_RUNS
  for (let size = best.length >> 1; size >= 1 && left > 0; size >>= 1) {
    for (let at = 0; at < best.length && left > 0; left--) {
      const shorter = Buffer.concat([best.subarray(0, at), best.subarray(at + size)])
      if (await isSame(new Uint8Array(shorter))) best = new Uint8Array(shorter)
      else at += size
    }
  }
  return best
}
