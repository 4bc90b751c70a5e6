// Fuzzes every parser and verifier over the built code: mutated inputs, chosen by which branches they reach, repeatable by seed.
//   npm run build && node scripts/fuzz.mjs [--seconds N] [--runs N] [--only TARGET]… [--seed N]
// Inputs that break a promise are written to test/fuzz/regressions/, which every run starts with. scripts/fuzz/targets.mjs says what is promised.
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { saveRegression } from './fuzz/regressions.mjs'
import { runTargets } from './fuzz/run-targets.mjs'
import { makeSandbox } from './fuzz/sandbox.mjs'
import { targets } from './fuzz/targets.mjs'

const HELP = `Usage: node scripts/fuzz.mjs [options]

  --seconds N    time for all targets together; what one leaves is for the next (default 120, or no end with --runs)
  --runs N       inputs for each target
  --only TARGET  only this one; may be repeated
  --seed N       of the random numbers (default 1)
  --json FILE    write the table as JSON
  --help

Targets: ${targets.map((t) => t.name).join(', ')}
Example: node scripts/fuzz.mjs --only dcap-quote --runs 1000000
`

const OPTIONS = {
  seconds: { type: 'string' },
  runs: { type: 'string' },
  only: { type: 'string', multiple: true },
  seed: { type: 'string', default: '1' },
  json: { type: 'string' },
  help: { type: 'boolean' },
}

const COLUMNS = ['target', 'inputs', 'inputs/s', 'corpus', 'points', 'slowest', 'findings']

function printRow(cells) {
  const [name, ...numbers] = cells
  process.stdout.write(`${String(name).padEnd(24)}${numbers.map((n) => String(n).padStart(11)).join('')}\n`)
}

function tell(name, finding) {
  const path = saveRegression(name, finding.input)
  process.stdout.write(`  ${finding.kind}: ${finding.message}\n    ${finding.input.length} bytes in ${path}\n`)
  return { kind: finding.kind, message: finding.message, path }
}

function chosenTargets(only) {
  const unknown = (only ?? []).find((name) => !targets.some((t) => t.name === name))
  if (unknown !== undefined) throw new RangeError(`no target is called ${unknown}`)
  return targets.filter((t) => only === undefined || only.includes(t.name))
}

function readCount(text, option) {
  if (!/^\d+$/.test(text)) throw new RangeError(`--${option} wants a number`)
  return Number(text)
}

async function main() {
  const { values } = parseArgs({ options: OPTIONS })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const chosen = chosenTargets(values.only)
  const seed = readCount(values.seed, 'seed')
  const runs = values.runs === undefined ? Number.POSITIVE_INFINITY : readCount(values.runs, 'runs')
  const seconds =
    values.seconds === undefined ? (values.runs === undefined ? 120 : Number.POSITIVE_INFINITY) : readCount(values.seconds, 'seconds')
  const sandbox = makeSandbox()
  const rows = []
  try {
    printRow(COLUMNS)
    const plan = { names: chosen.map((t) => t.name), seed, runs, end: Date.now() + 1000 * seconds }
    await runTargets(sandbox, plan, ({ name, inputs, seconds: took, corpus, points, slowestMs, findings }) => {
      const perSecond = took === 0 ? 0 : Math.round(inputs / took)
      printRow([name, inputs, perSecond, corpus, points, `${slowestMs.toFixed(1)} ms`, findings.length])
      rows.push({ target: name, inputs, perSecond, corpus, points, slowestMs, findings: findings.map((finding) => tell(name, finding)) })
    })
  } finally {
    sandbox.remove()
  }
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(rows, null, 2))
  const inputs = rows.reduce((n, row) => n + row.inputs, 0)
  const findings = rows.reduce((n, row) => n + row.findings.length, 0)
  process.stdout.write(`seed ${seed}: ${inputs} inputs for ${rows.length} targets, ${findings} findings\n`)
  return findings === 0 ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof RangeError) && error.code !== 'ERR_PARSE_ARGS_UNKNOWN_OPTION') throw error
  process.stderr.write(`${error.message}\n${HELP}`)
  process.exitCode = 2
}
