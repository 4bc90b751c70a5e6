import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JobReport } from '../../src/client/index.ts'
import { filesHolding, memoryHolding, settledFile } from '../support/canary.ts'
import { DATA, World } from '../support/processes-world.ts'

/** Stands in the data as the name of a patient, and comes back in the results. */
const CANARY = 'canary-5f1c9e27-patient'
/** What stands in memory as it is, and what Node writes of a Buffer in other places. */
const spellings = (bytes: Buffer): readonly Buffer[] => [
  bytes,
  Buffer.from(bytes.toString('base64url')),
  Buffer.from(bytes.toString('hex')),
]

let world: World
let report: JobReport
let needles: readonly Buffer[]
const scratch = join(tmpdir(), `sealgate-canary-${process.pid}`)

beforeAll(async () => {
  mkdirSync(scratch)
  const data = readFileSync(DATA, 'utf8').replace('wdbc-001', CANARY)
  writeFileSync(join(scratch, 'data.csv'), data)
  const shm = readdirSync('/dev/shm')
  world = await World.start({
    data: join(scratch, 'data.csv'),
    gatewayNode: ['--heapsnapshot-signal=SIGUSR2', `--diagnostic-dir=${scratch}`],
  })
  report = await world.runJob()
  const dek = await world.owner.keyring.datasetKey(world.dataset)
  const { useKey } = await world.owner.keyring.grant(world.grant)
  needles = [Buffer.from(CANARY), ...spellings(Buffer.from(dek.expose())), ...spellings(Buffer.from(useKey.expose()))]
  expect(readdirSync('/dev/shm')).toEqual(shm)
})
afterAll(async () => {
  await world?.close()
  rmSync(scratch, { recursive: true, force: true })
})

describe('a canary in the data', () => {
  it('comes back in the results, so it was really there', () => {
    const folder = report.results?.folder ?? ''
    expect(readFileSync(join(folder, 'out/predictions.csv'), 'utf8')).toContain(CANARY)
  })

  it('is in no file and no log of gateway, host or owner, nor are the keys; only in the opened results', () => {
    const results = world.path('results-0')
    expect(filesHolding(world.root, needles).filter((path) => !path.startsWith(results))).toEqual([])
  })

  it('is in no heap snapshot of the gateway, nor are the keys', async () => {
    world.gateway.signal('SIGUSR2')
    const snapshot = await settledFile(scratch, /\.heapsnapshot$/, 60_000)
    const bytes = readFileSync(snapshot)
    expect(bytes.includes('sealgate')).toBe(true)
    expect(needles.filter((needle) => bytes.includes(needle))).toEqual([])
  })

  it('is nowhere in the memory of the gateway, nor are the keys', () => {
    const control = Buffer.from(report.job.jobId)
    const found = memoryHolding(world.gateway.pid, [control, ...needles])
    // Where another process's memory cannot be read there is nothing to check; elsewhere the job's own id must be found.
    if (found !== null) expect(found).toEqual([0])
  })
})
