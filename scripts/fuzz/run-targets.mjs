import { Worker } from 'node:worker_threads'

/** Larger than any input of any target. */
const MAX_INPUT = 1024 * 1024
const HEAP_MB = 2048
const STUCK_MS = 20_000
const LOOK_MS = 1_000

/**
 * Fuzzes targets one after the other in a thread, under a watchdog: an input that never ends, that takes all memory or that leaves a
 * rejected promise behind is a finding too. It ends the thread; a new one goes on with the next target.
 * @param plan - `{names, seed, runs, end}`, the end in milliseconds since 1970.
 * @param onRow - Told `{name, inputs, seconds, corpus, points, slowestMs, findings: [{kind, message, input}]}` of each target.
 */
export async function runTargets(sandbox, plan, onRow) {
  let names = plan.names
  while (names.length > 0) {
    const done = await runThread(sandbox, { ...plan, names }, onRow)
    names = names.slice(done)
  }
}

/** @returns how many of the targets are done with. */
async function runThread({ folder, words }, plan, onRow) {
  const shared = new SharedArrayBuffer(8 + MAX_INPUT)
  const progress = new Int32Array(shared, 0, 2)
  let done = 0
  let findings = []
  let failure = null
  const worker = new Worker(new URL('worker.mjs', import.meta.url), {
    workerData: { folder, words, plan, shared },
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  })
  const finish = (stats) => {
    onRow({ name: plan.names[done], inputs: progress[0], seconds: 0, corpus: 0, points: 0, slowestMs: 0, ...stats, findings })
    done++
    findings = []
  }
  worker.on('message', ({ finding, stats }) => {
    if (finding !== undefined) findings.push(finding)
    if (stats !== undefined) finish(stats)
  })
  worker.on('error', (error) => {
    failure ??= { kind: 'crash', message: `${error.code ?? error.name}: ${error.message}`, error }
  })

  let [last, since] = [0, performance.now()]
  const watchdog = setInterval(() => {
    const begun = Atomics.load(progress, 0)
    if (begun !== last) [last, since] = [begun, performance.now()]
    if (begun === 0 || performance.now() - since < STUCK_MS) return
    failure ??= { kind: 'stuck', message: `no end after ${STUCK_MS} ms` }
    void worker.terminate()
  }, LOOK_MS)
  await new Promise((resolve) => worker.on('exit', resolve))
  clearInterval(watchdog)
  if (failure === null) return done
  if (progress[0] === 0) throw failure.error ?? new Error(failure.message)
  const input = Uint8Array.from(new Uint8Array(shared, 8, progress[1]))
  findings.push({ kind: failure.kind, message: failure.message, input })
  finish({})
  return done
}
