import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type TestEngine, testEngine } from '../support/docker-engine.ts'
import { World } from '../support/processes-world.ts'

const JOBS = 50
const engine: TestEngine | null = await testEngine()

describe.skipIf(engine === null)('many small jobs on one host', () => {
  let world: World
  beforeAll(async () => {
    world = await World.start({ docker: (engine as TestEngine).socketPath, hostArgs: ['--jobs', '8'] })
  }, 60_000)
  afterAll(async () => {
    await world?.close()
    await engine?.stop()
  })

  it(`${JOBS} at once, sharing it: each waits for its turn, runs once, and has a receipt`, async () => {
    const limits = { timeMs: 60_000, memoryBytes: 64 * 1024 ** 2, outputBytes: 4 * 1024 ** 2, pids: 32, cpuMillis: 1000 }
    const run = () => world.runJob({ exclusive: 'none', limits, signal: AbortSignal.timeout(170_000) })
    const reports = await Promise.all(Array.from({ length: JOBS }, run))
    const outcomes = reports.map(({ receipt }) => receipt.statement.predicate.outcome.kind)
    expect(outcomes).toEqual(Array.from({ length: JOBS }, () => 'succeeded'))
    expect(new Set(reports.map(({ job }) => job.jobId)).size).toBe(JOBS)
    // Side by side, and never more than the host said.
    const jobs = await world.client.listJobs()
    expect(jobs.filter((job) => job.state === 'succeeded')).toHaveLength(JOBS)
    const begun = world.host.log.split('\n').filter((line) => line.includes('"job begun"'))
    expect(begun).toHaveLength(JOBS)
    expect(world.host.log).not.toContain('HOST_BUSY')
    expect(mostAtOnce(world.host.log)).toBeGreaterThan(1)
    expect(mostAtOnce(world.host.log)).toBeLessThanOrEqual(8)
  }, 175_000)
})

function mostAtOnce(log: string): number {
  let [now, most] = [0, 0]
  for (const line of log.split('\n')) {
    if (line.includes('"job begun"')) most = Math.max(most, ++now)
    if (line.includes('"job ended"')) now--
  }
  return most
}
