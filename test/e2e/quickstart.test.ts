import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { REPO } from '../support/processes.ts'
import { freePort } from '../support/proxies.ts'

/** A block of the document: commands, what kind they are (after ```sh), and the line where they stand. */
interface Block {
  readonly kind: string
  readonly line: number
  readonly text: string
}

const root = mkdtempSync(join(tmpdir(), 'sealgate-quickstart-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

function blocksOf(markdown: string): readonly Block[] {
  return [...markdown.matchAll(/^```sh ?(.*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    kind: match[1] ?? '',
    line: markdown.slice(0, match.index).split('\n').length,
    text: match[2] ?? '',
  }))
}

/** One script of all blocks: those that a person would leave running go to the background until the end. */
function scriptOf(blocks: readonly Block[]): string {
  const parts = blocks.map(({ kind, line, text }) => {
    const head = `echo "--- docs/quickstart.md:${line}" >&2\n`
    if (kind === 'gateway' || kind === 'host') {
      const wait = `until grep -q "Ctrl-C stops it" ${kind}.log; do kill -0 $! || { cat ${kind}.log >&2; exit 1; }; sleep 0.05; done\n`
      return `${head}(exec 2>${kind}.log; ${text.trim().replace(/^sealgate /, 'exec node "$SEALGATE_REPO/bin/sealgate.js" ')}) &\n${wait}`
    }
    if (kind === 'fails') return `${head}if ${text.trim()}; then echo "this must fail" >&2; exit 1; fi\n`
    return `${head}${text}`
  })
  const begin = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"
  const end = 'kill -INT $(jobs -p)\nfor pid in $(jobs -p); do wait "$pid"; done\n'
  return [begin, ...parts, end].join('')
}

describe('docs/quickstart.md', () => {
  it('works as written, from the first command to the last', async () => {
    const markdown = readFileSync(join(REPO, 'docs/quickstart.md'), 'utf8')
    const blocks = blocksOf(markdown)
    expect(blocks.map((b) => b.kind)).toContain('gateway')
    const script = scriptOf(blocks)
      .replaceAll('127.0.0.1:7443', `127.0.0.1:${await freePort()}`)
      .replace('SEALGATE_REPO=$PWD', `SEALGATE_REPO=${REPO}`)
    writeFileSync(join(root, 'quickstart.sh'), script)
    const { DOCKER_HOST: _, ...env } = process.env
    const run = spawnSync('bash', ['quickstart.sh'], { cwd: root, env, encoding: 'utf8', timeout: 120_000 })
    expect({ status: run.status, stderr: run.status === 0 ? '' : run.stderr }).toEqual({ status: 0, stderr: '' })
    expect(run.stdout).toContain('"heldOut"')
    expect(readdirSync(join(root, 'quickstart')).sort()).toEqual([
      'clinic',
      'data.csv',
      'data.sealed',
      'gateway.log',
      'gw',
      'host.log',
      'host1',
      'job.sealgate-receipt.json',
      'results',
    ])
    expect(run.stderr).toContain('SIMULATED')
    expect(run.stderr).toContain('policy.grant-purpose')
    expect(run.stderr).toContain('signers unknown')
  })
})
