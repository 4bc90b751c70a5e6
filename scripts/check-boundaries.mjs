// Runs dependency-cruiser and fails if it saw fewer modules than exist: with an unfit TypeScript it cruises none and is content.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'

const bin = 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs'
const run = spawnSync(process.execPath, [bin, 'src', '--config', '.dependency-cruiser.cjs', '--output-type', 'json'], {
  encoding: 'utf8',
  maxBuffer: 512 * 1024 * 1024,
  stdio: ['ignore', 'pipe', 'inherit'],
})
const { summary, modules } = JSON.parse(run.stdout)
for (const { rule, from, to } of summary.violations) console.error(`${rule.severity} ${rule.name}: ${from} -> ${to}`)

const isSource = (file) => /\.ts$/.test(file) && !file.endsWith('.d.ts')
const exist = readdirSync('src', { recursive: true }).filter((file) => isSource(file)).length
const seen = modules.filter((m) => m.source.startsWith('src/') && isSource(m.source)).length
if (seen < exist) console.error(`dependency-cruiser saw ${seen} of ${exist} modules`)
if (summary.error > 0 || seen < exist) process.exit(1)
console.log(`boundaries: ${seen} modules, ${summary.totalDependenciesCruised} dependencies, no violations`)
