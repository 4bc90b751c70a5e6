import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

/** A line of the table that scripts/fuzz.mjs writes. */
interface Row {
  readonly target: string
  readonly inputs: number
  readonly points: number
  readonly findings: readonly { readonly kind: string; readonly message: string }[]
}

const root = fileURLToPath(new URL('../..', import.meta.url))
const script = join(root, 'scripts/fuzz.mjs')
const regressions = join(root, 'test/fuzz/regressions')
const RUNS = 150
const TIMEOUT_MS = 180_000

/** The built code, as users have it: each target replays what once broke it, then judges a few hundred inputs of seed 1. */
describe('fuzz targets', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sealgate-fuzz-test-'))
  let rows: readonly Row[] = []

  beforeAll(async () => {
    const table = join(folder, 'table.json')
    const args = ['--runs', String(RUNS), '--seed', '1', '--json', table]
    await promisify(execFile)(process.execPath, [script, ...args], { cwd: root }).catch((error: unknown) => {
      // Findings are told below, target by target.
      if (!existsSync(table)) throw error
    })
    rows = JSON.parse(readFileSync(table, 'utf8')) as readonly Row[]
  }, TIMEOUT_MS)
  afterAll(() => rmSync(folder, { recursive: true }))

  it('all ran', () => {
    expect(rows.length).toBeGreaterThanOrEqual(41)
    expect(rows.filter((row) => row.inputs < RUNS || row.points === 0)).toEqual([])
  })

  it('keep their promises, also for inputs that once broke them', () => {
    expect(rows.filter((row) => row.findings.length > 0)).toEqual([])
  })

  it('still exist for every kept input', () => {
    const names = new Set(rows.map((row) => row.target))
    expect(readdirSync(regressions).filter((name) => !names.has(name))).toEqual([])
  })
})
