import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'
import { hit } from './coverage.mjs'
import { fuzz } from './loop.mjs'
import { Random } from './random.mjs'
import { loadRegressions } from './regressions.mjs'
import { targets } from './targets.mjs'

const { folder, words, plan, shared } = workerData
globalThis.__hit = hit
globalThis.__believe = false

const load = (path) => import(pathToFileURL(join(folder, 'dist', path)).href)
const { AttestError } = await load('verify/errors.js')
const isInputError = (error) => error instanceof AttestError && error.code !== 'INTERNAL' && error.code !== 'USAGE'

/** Runs one of several parsers of one input: that it refuses does not keep the others from trying. */
function tolerate(work) {
  try {
    work()
  } catch (error) {
    if (!isInputError(error)) throw error
  }
}

/** Shared with the watchdog: number of inputs begun, 0 between targets; size of the current one; its bytes. */
const progress = new Int32Array(shared, 0, 2)
const current = Buffer.from(shared, 8)

async function runTarget(name, milliseconds) {
  const started = performance.now()
  const target = targets.find((t) => t.name === name)
  const { seeds, run } = await target.open({ load, tolerate })
  let begun = 0
  const stats = await fuzz({
    target,
    run,
    seeds,
    regressions: loadRegressions(name),
    words,
    random: Random.named(plan.seed, name),
    runs: plan.runs,
    deadline: started + milliseconds,
    isInputError,
    announce: (input) => {
      current.set(input)
      progress[1] = input.length
      Atomics.store(progress, 0, ++begun)
      return current.subarray(0, input.length)
    },
    report: (finding) => parentPort.postMessage({ finding }),
  })
  Atomics.store(progress, 0, 0)
  parentPort.postMessage({ stats: { ...stats, seconds: (performance.now() - started) / 1000 } })
}

for (const [i, name] of plan.names.entries()) {
  await runTarget(name, Math.max(0, plan.end - Date.now()) / (plan.names.length - i))
}
