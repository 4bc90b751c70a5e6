import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { register } from '../../../src/cli/commands/verify.ts'
import { forecastLines } from '../../../src/cli/forecast-lines.ts'
import { createOutput } from '../../../src/cli/output.ts'
import { LATEST, tcbLevel } from '../../../src/sim/index.ts'
import type { Forecast } from '../../../src/verify/evidence/forecast.ts'
import { collateralOf, SimulatedIntel, tcbInfoJson } from '../../support/intel.ts'
import { type Ran, runCommand } from './run-command.ts'

let folder: string
const file = (name: string): string => join(folder, name)
const args = (): readonly string[] => ['--collateral', file('now.json'), '--trust-anchor', file('root.der'), '--at', '2026-06-15T12:00:00Z']
const run = (...more: readonly string[]): Promise<Ran> => runCommand(register, 'verify', file('quote.bin'), ...args(), ...more)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-forecast-'))
  const intel = new SimulatedIntel()
  const made = await intel.make('sgx')
  const needed = LATEST.map((svn, i) => (i === 7 ? svn + 1 : svn))
  const levels = [tcbLevel(needed, 13, [], 'UpToDate'), tcbLevel(LATEST, 13, [], 'OutOfDate', ['INTEL-SA-00009'])]
  const coming = await intel.make('sgx', { tcbInfo: tcbInfoJson('sgx', { tcbEvaluationDataNumber: 21, tcbLevels: levels }) })
  const same = await intel.make('sgx', { tcbInfo: tcbInfoJson('sgx', { tcbEvaluationDataNumber: 21 }) })
  const foreign = await intel.make('sgx', { tcbInfo: tcbInfoJson('sgx', { fmspc: 'FFFFFFFFFFFF' }) })
  writeFileSync(file('quote.bin'), made.quote)
  writeFileSync(file('root.der'), made.root)
  writeFileSync(file('notes.txt'), 'notes')
  for (const [name, one] of Object.entries({ now: made, coming, same, foreign })) {
    writeFileSync(file(`${name}.json`), collateralOf(one)[0] ?? '')
  }
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('sealgate verify looks ahead', () => {
  it('to what expires first, in words for people and in the document', async () => {
    const { code, stderr } = await run()
    expect(code).toBe(0)
    const lines = stderr.slice(stderr.indexOf('forecast:')).split('\n')
    expect(lines[1]).toMatch(/^ {2}in 15 days +2026-07-01T00:00:00Z +(TCB info|QE identity|CRL of)/)
    expect(stderr).not.toContain('early TCB info')
    const document = JSON.parse((await run('--json')).stdout) as { forecast: Forecast }
    expect(document.forecast.expiries[0]?.expires).toBe('2026-07-01T00:00:00Z')
    expect(document.forecast.expiries.map((e) => e.expires)).toEqual(document.forecast.expiries.map((e) => e.expires).sort())
    expect(document.forecast.early).toBeNull()
  })

  it('to what early TCB info makes of the platform, and decides by today’s all the same', async () => {
    const { code, stderr } = await run('--early', file('coming.json'))
    expect(code).toBe(0)
    expect(stderr).toContain(
      'early TCB info (evaluation 21): fails from 2026-07-01T00:00:00Z (in 15 days), OutOfDate, because SGX component 8 is 5 and needs 6',
    )
    const document = JSON.parse((await run('--early', file('coming.json'), '--json')).stdout) as object
    expect(document).toMatchObject({
      decision: 'accept',
      claims: { tcbStatus: 'UpToDate', tcb: { tcbEvaluationDataNumber: 20 } },
      forecast: { early: { status: 'OutOfDate', changes: true, reasons: ['SGX component 8 is 5, needs 6'] } },
    })
  })

  it('and says where nothing changes, or nothing fits', async () => {
    expect((await run('--early', file('same.json'))).stderr).toContain('early TCB info (evaluation 21): no change, UpToDate')
    expect((await run('--early', file('foreign.json'))).stderr).toContain('early TCB info: none that is for this platform')
  })

  it('never takes early TCB info for what is missing today', async () => {
    const early = ['--trust-anchor', file('root.der'), '--at', '2026-06-15T12:00:00Z', '--early', file('now.json')]
    expect((await runCommand(register, 'verify', file('quote.bin'), ...early)).code).toBe(6)
  })

  it('names early collateral that it does not recognise by its path', async () => {
    const { stdout } = await run('--early', file('notes.txt'), '--json')
    expect((JSON.parse(stdout) as { notChecked: unknown }).notChecked).toContain(`${file('notes.txt')} (not recognised)`)
  })
})

describe('the forecast in words', () => {
  const { paint } = createOutput({ stdout: { write: () => true }, stderr: { write: () => true }, env: {} }, false)
  const at = new Date('2026-06-15T12:00:00Z')
  const first = (expires: string): string | undefined =>
    forecastLines({ expiries: [{ what: 'crl', name: 'CN=ARK', expires }], early: null }, at, false, paint)[1]?.trim()

  it.each([
    ['2026-06-25T12:00:00Z', 'in 10 days'],
    ['2026-06-17T11:00:00Z', 'in 47 hours'],
    ['2026-06-15T12:30:00Z', 'in 0 hours'],
    ['2026-06-15T10:00:00Z', '2 hours ago'],
    ['2026-06-10T10:00:00Z', '5 days ago'],
  ])('counts to %s: %s', (expires, text) => {
    expect(first(expires)).toBe(`${text}  ${expires}  CRL  ARK`)
  })

  it('has no heading where there is nothing to say', () => {
    expect(forecastLines({ expiries: [], early: null }, at, false, paint)).toEqual([])
  })

  it('says when early TCB info makes things worse, and why as far as it is known', () => {
    const early = { status: 'OutOfDate', tcbEvaluationDataNumber: 9, changes: true, from: '2026-06-25T12:00:00Z', reasons: [] } as const
    expect(forecastLines({ expiries: [], early }, at, true, paint)[1]).toBe(
      '  early TCB info (evaluation 9): fails from 2026-06-25T12:00:00Z (in 10 days), OutOfDate',
    )
  })

  it('says when early TCB info makes things better', () => {
    const early = { status: 'UpToDate', tcbEvaluationDataNumber: 9, changes: true, from: '2026-07-01T00:00:00Z', reasons: [] } as const
    expect(forecastLines({ expiries: [], early }, at, true, paint)[1]).toBe(
      '  early TCB info (evaluation 9): becomes UpToDate by 2026-07-01T00:00:00Z',
    )
  })
})
