// Measures sealgate against a named limit or peer in the same run. A table goes to stderr, JSON rows to a file.
//   npm run build && npm run bench -- [--only PREFIX]… [--json FILE]
// Each row runs in a process of its own, so that none inherits the heap, caches or warm code of another. docs/performance.md says what the rows mean.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { rows } from './bench/rows.mjs'
import { printHead, printRow } from './bench/table.mjs'

const HELP = `Usage: npm run bench -- [options]

  --only PREFIX  run only the rows whose id starts with PREFIX; may be repeated
  --json FILE    write the rows as JSON: {id, value, unit, against, ratio}
  --help

Rows: ${rows.map((row) => row.id).join(', ')}
Example: npm run bench -- --only seal. --json seal.json
`

const self = fileURLToPath(import.meta.url)

/** Runs a row in as many processes as it asks for and keeps the one whose ratio lies in the middle. */
async function runRow(row) {
  const results = []
  for (let i = 0; i < (row.processes ?? 1); i++) results.push(await runOnce(row))
  if (results.includes(null)) return null
  results.sort((a, b) => a.ratio - b.ratio)
  const spread = [Math.min(...results.map((r) => r.spread[0])), Math.max(...results.map((r) => r.spread[1]))]
  return { ...results[results.length >> 1], spread }
}

/** The result comes back over IPC, everything that is printed goes to stderr. Null when it failed. */
async function runOnce(row) {
  const child = spawn(process.execPath, [...(row.args ?? []), self, '--row', row.id], {
    env: { ...process.env, ...row.env },
    stdio: ['ignore', 2, 2, 'ipc'],
  })
  let result = null
  child.on('message', (message) => {
    result = message
  })
  await once(child, 'close')
  return result
}

async function main() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      json: { type: 'string' },
      row: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  if (values.row !== undefined) {
    const measure = await rows.find((row) => row.id === values.row).load()
    process.send(await measure())
    return 0
  }
  const chosen = rows.filter((row) => values.only === undefined || values.only.some((prefix) => row.id.startsWith(prefix)))
  if (chosen.length === 0) {
    process.stderr.write(`no row has such an id\n${HELP}`)
    return 2
  }
  printHead()
  const results = []
  for (const row of chosen) {
    const measured = await runRow(row)
    printRow(row, measured)
    if (measured !== null) {
      const { value, ratio, against = row.against } = measured
      results.push({ id: row.id, value, unit: row.unit, against, ratio })
    }
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`)
  return results.length === chosen.length ? 0 : 1
}

process.exitCode = await main().catch((error) => {
  const usage = error.code?.startsWith('ERR_PARSE_ARGS')
  process.stderr.write(usage ? `${error.message}\n${HELP}` : `${error.stack}\n`)
  return usage ? 2 : 1
})
if (process.connected) process.disconnect()
