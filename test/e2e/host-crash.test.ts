import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import Docker from 'dockerode'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JobEvent, JobReport } from '../../src/client/index.ts'
import { type TestEngine, testEngine } from '../support/docker-engine.ts'
import { writeBusybox } from '../support/images.ts'
import { World } from '../support/processes-world.ts'

const engine: TestEngine | null = await testEngine()
const MEMORY = `/dev/shm/sealgate-${process.getuid?.() ?? -1}`

/** Lets the host go on for long enough to be struck, and leaves something behind in every place that it may write to. */
const SLOW = 'busybox cp /in/data.csv /out/copy; busybox cp /in/data.csv /tmp/copy; busybox sleep 8; true'

describe.skipIf(engine === null || engine.restart === null)('a host on which something dies', () => {
  const { socketPath, kill, restart } = engine as TestEngine
  const docker = new Docker({ socketPath })
  let world: World
  let images: string

  beforeAll(async () => {
    images = await mkdtemp(join(tmpdir(), 'images-'))
    const image = await writeBusybox(images, { Entrypoint: ['/bin/sh', '-c', SLOW] })
    const limits = { answerSeconds: 10, placementSeconds: 10, releaseSeconds: 10, reconnectSeconds: 2 }
    world = await World.start({ docker: socketPath, images: { folder: images, image }, limits })
  }, 60_000)
  afterAll(async () => {
    await world?.close()
    await engine?.stop()
    await rm(images, { recursive: true, force: true })
  })

  /** A job during which something happens. */
  async function jobStruck(at: (event: JobEvent) => boolean, strike: () => Promise<unknown>): Promise<JobReport> {
    let struck: Promise<unknown> | null = null
    const running = world.runJob({
      signal: AbortSignal.timeout(60_000),
      onEvent: (event) => {
        if (struck !== null || !at(event)) return
        struck = strike()
        struck.catch(() => undefined)
      },
    })
    const report = await running
    await struck
    return report
  }

  const isRunning = (event: JobEvent): boolean => event.kind === 'state' && event.job.state === 'running'

  /** Waits until the container's program is at work. */
  async function atWork(): Promise<void> {
    await expect.poll(() => workloads(), { timeout: 10_000 }).toBeGreaterThan(0)
    await delay(300)
  }

  async function remains(): Promise<{ containers: number; mounts: number; jobs: number; processes: number }> {
    const containers = await docker.listContainers({ all: true, filters: { label: ['sealgate.owner'] } })
    const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').filter((line) => line.includes(' /dev/shm/sealgate-'))
    const owners = await readdir(MEMORY).catch(() => [])
    const jobs = await Promise.all(owners.map((owner) => readdir(join(MEMORY, owner)).catch(() => [])))
    return { containers: containers.length, mounts: mounts.length, jobs: jobs.flat().length, processes: await workloads() }
  }

  async function workloads(): Promise<number> {
    let count = 0
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
      if (command.includes(SLOW) && command.startsWith('/bin/sh')) count++
    }
    return count
  }

  const NOTHING = { containers: 0, mounts: 0, jobs: 0, processes: 0 }

  it('the agent, before it has keys: the job ends without them', async () => {
    const struck = jobStruck(
      (event) => event.kind === 'state' && event.job.state === 'placed',
      async () => {
        await world.host.stop('SIGKILL')
        await world.host.start()
      },
    )
    await expect(struck.then(({ receipt }) => receipt.statement.predicate.outcome.kind)).resolves.toMatch(/^(refused|lost|succeeded)$/)
    await world.attested()
    expect(await remains()).toEqual(NOTHING)
  }, 90_000)

  it('the agent, in mid-run: what it left is found and cleared, the job is lost and not run again', async () => {
    const report = await jobStruck(isRunning, async () => {
      await atWork()
      await world.host.stop('SIGKILL')
      expect(await remains()).toMatchObject({ containers: 1, processes: 1 })
      await world.host.start()
      expect(await remains()).toEqual(NOTHING)
    })
    expect(report.receipt.statement.predicate).toMatchObject({ type: 'lost', outcome: { kind: 'lost', code: 'JOB_LOST' } })
    await world.attested()
    expect(world.host.log.split(report.job.jobId).length).toBeGreaterThan(1)
    expect(world.host.log.split('\n').filter((l) => l.includes('"job begun"') && l.includes(report.job.jobId))).toHaveLength(1)
    expect(await remains()).toEqual(NOTHING)
  }, 90_000)

  it('the engine, in mid-run: the workload does not go on, the outcome says why, and the next job runs', async () => {
    const report = await jobStruck(isRunning, async () => {
      await atWork()
      await kill?.()
      await expect.poll(() => workloads(), { timeout: 15_000 }).toBe(0)
      await restart?.()
    })
    expect(report.receipt.statement.predicate).toMatchObject({ outcome: { kind: 'refused', code: 'ENGINE_UNAVAILABLE' } })
    await expect.poll(() => remains(), { timeout: 20_000 }).toEqual(NOTHING)
    expect((await world.runJob({ signal: AbortSignal.timeout(60_000) })).receipt.statement.predicate.outcome.kind).toBe('succeeded')
  }, 120_000)

  it('its disk, which is full: results that cannot be kept are told of, and a job that cannot be begun is declined', async () => {
    await world.host.stop()
    const state = world.path('host', 'state')
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=96k', 'full', state])
    try {
      await world.host.start()
      await world.attested()
      const cutOff = await world.runJob({ signal: AbortSignal.timeout(60_000) })
      expect(cutOff.receipt.statement.predicate).toMatchObject({ type: 'execution', outcome: { kind: 'failed', code: 'DISK_FULL' } })
      expect(await remains()).toEqual(NOTHING)
      execFileSync('sh', ['-c', `dd if=/dev/zero of=${state}/ballast bs=1k count=200 2>/dev/null || true`])
      const declined = await world.runJob({ signal: AbortSignal.timeout(60_000) })
      expect(declined.receipt.statement.predicate).toMatchObject({ type: 'refusal', outcome: { code: 'NO_HOST' } })
      expect(declined.receipt.statement.predicate.outcome.reason).toContain('no space is left')
    } finally {
      await world.host.stop()
      execFileSync('umount', [state])
      expect(existsSync(join(state, 'ballast'))).toBe(false)
    }
  }, 150_000)
})
