import { copyFileSync, cpSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LogPrivateKey } from '../../src/gateway/index.ts'
import { checkpointSigner } from '../../src/gateway/log/index.ts'
import { parseCheckpoint } from '../../src/verify/tlog/index.ts'
import { testBytes } from '../support/keys.ts'
import { type Ended, sealgate } from '../support/processes.ts'
import { World } from '../support/processes-world.ts'
import { freePort } from '../support/proxies.ts'

let world: World
let url: string

beforeAll(async () => {
  world = await World.start()
  await world.runJob()
  const path = world.path('gw/gateway.json')
  const config = JSON.parse(readFileSync(path, 'utf8')) as object
  const publicListen = `127.0.0.1:${await freePort()}`
  writeFileSync(path, JSON.stringify({ ...config, log: { publicListen } }))
  url = `http://${publicListen}`
  await world.gateway.stop()
  await world.gateway.start()
  await world.attested()
})
afterAll(() => world?.close())

const log = (...args: readonly string[]): Promise<Ended> => sealgate(['log', ...args, '--folder', world.path('owner')])

interface Pass {
  readonly size: number
  readonly ownReleases: number
  readonly findings: readonly { readonly kind: string; readonly index: number }[]
  readonly forks: readonly { readonly reason: string; readonly checkpoints: readonly string[] }[]
}

async function watch(
  ...args: readonly string[]
): Promise<{ readonly exitCode: number | null; readonly pass: Pass; readonly stderr: string }> {
  const { exitCode, stdout, stderr } = await log('watch', '--once', '--json', ...args)
  return { exitCode, pass: JSON.parse(stdout) as Pass, stderr }
}

/** A checkpoint that the log's key signs although the log has no such tree: what a dishonest gateway shows to one of two. */
async function forged(size: number): Promise<string> {
  const signer = await checkpointSigner(JSON.parse(readFileSync(world.path('gw/log.key.json'), 'utf8')) as LogPrivateKey)
  return signer.sign(size, testBytes('another tree', 32), Math.floor(Date.now() / 1000))
}

describe('an owner who watches the log', () => {
  it('finds nothing wrong where nothing is, at the gateway and where anybody can look', async () => {
    for (const args of [[], ['--url', url], ['--compare', url], ['--url', `${url}/`, '--compare', url]]) {
      const { exitCode, pass, stderr } = await watch(...args)
      expect({ args, exitCode, stderr }).toEqual({ args, exitCode: 0, stderr: '' })
      expect(pass).toMatchObject({ ownReleases: 1, findings: [], forks: [], releasesChecked: true })
    }
    expect((await log('watch', '--once', '--url', url)).stderr).toContain('Your client made all 1 releases of your grants.')
  })

  it('proves and verifies from tiles what the gateway proves', async () => {
    const [there, here] = [await log('prove', '1', '--json'), await log('prove', '1', '--url', url, '--json')]
    expect(JSON.parse(here.stdout)).toMatchObject({ index: 1, leaf: (JSON.parse(there.stdout) as { leaf: object }).leaf })
    expect(await log('verify', '--url', url, '--json')).toMatchObject({ exitCode: 0, stderr: '' })
    expect((await log('checkpoint', '--url', url)).stdout).toMatch(/^sealgate\/e2e\n/)
    expect((await log('prove', '1', '--url', `${url}/elsewhere`)).exitCode).toBe(5)
  })

  it('is told of a release that the owner’s client did not make: exit 5', async () => {
    // The same log, seen by an owner whose client has no record of the release: to it, a thief of the use key made it.
    renameSync(world.path('owner/releases'), world.path('owner/elsewhere'))
    try {
      const { exitCode, pass } = await watch()
      expect([exitCode, pass.findings.map((f) => f.kind)]).toEqual([5, ['unexpected-release']])
      expect((await log('watch', '--once', '--url', url)).exitCode).toBe(5)
    } finally {
      renameSync(world.path('owner/elsewhere'), world.path('owner/releases'))
    }
  })

  it('is told of a split view against what another client saw: exit 4, with both checkpoints', async () => {
    const { pass } = await watch()
    for (const size of [pass.size - 1, pass.size, pass.size + 1]) {
      const note = await forged(size)
      writeFileSync(world.path('bob.note'), note)
      const found = await watch('--compare', world.path('bob.note'))
      expect([found.exitCode, found.pass.forks.length]).toEqual([4, 1])
      expect(found.pass.forks[0]?.checkpoints[1]).toBe(note)
      expect(parseCheckpoint(found.pass.forks[0]?.checkpoints[0] ?? '').size).toBe(pass.size)
    }
    const genuine = (await log('checkpoint')).stdout
    writeFileSync(world.path('bob.note'), genuine)
    expect((await watch('--compare', world.path('bob.note'))).exitCode).toBe(0)
    expect((await log('watch', '--once', '--compare', world.path('nobody.note'))).exitCode).toBe(2)
  })

  it('is told of a history that does not continue what was seen: exit 4', async () => {
    const memory = world.path('owner/log-memory.json')
    copyFileSync(memory, world.path('memory.json'))
    try {
      const seen = JSON.parse(readFileSync(memory, 'utf8')) as { logs: { checkpoint: string }[] }
      for (const entry of seen.logs) entry.checkpoint = await forged(2)
      writeFileSync(memory, JSON.stringify(seen))
      const { exitCode, pass } = await watch('--url', url)
      expect([exitCode, pass.forks.length]).toEqual([4, 1])
    } finally {
      copyFileSync(world.path('memory.json'), memory)
    }
  })

  it('is told in the course of a watch, which goes on while the gateway is away and ends with Ctrl-C', async () => {
    let text = ''
    const watching = sealgate(['log', 'watch', '--json', '--every', '1s', '--folder', world.path('owner'), '--url', url], {
      onStart: (child) => {
        child.stdout?.on('data', (chunk: Buffer) => {
          text += chunk.toString()
        })
        void (async () => {
          await expect.poll(() => text.split('\n').length, { timeout: 20_000 }).toBeGreaterThan(2)
          await world.gateway.stop()
          await expect.poll(() => text, { timeout: 20_000 }).toContain('GATEWAY_UNREACHABLE')
          await world.gateway.start()
          const before = text.length
          await expect.poll(() => text.slice(before), { timeout: 20_000 }).toContain('"forks":[]')
          child.kill('SIGINT')
        })()
      },
    })
    const { exitCode, stdout } = await watching
    expect(exitCode).toBe(0)
    const passes = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Partial<Pass>)
    expect(passes.filter((pass) => pass.findings !== undefined).length).toBeGreaterThan(2)
  })
})

describe('an owner who cannot look', () => {
  it('is not told that all is well', async () => {
    expect((await watch('--compare', 'http://127.0.0.1:1')).exitCode).toBe(1)
    let text = ''
    const watching = sealgate(['log', 'watch', '--json', '--every', '1s', '--folder', world.path('owner'), '--url', url], {
      onStart: (child) => {
        child.stdout?.on('data', (chunk: Buffer) => {
          text += chunk.toString()
        })
        void (async () => {
          await expect.poll(() => text, { timeout: 20_000 }).toContain('"forks":[]')
          await world.gateway.stop()
          await expect.poll(() => text, { timeout: 20_000 }).toContain('GATEWAY_UNREACHABLE')
          child.kill('SIGINT')
        })()
      },
    })
    expect((await watching).exitCode).toBe(1)
    expect((await log('watch', '--once', '--url', url)).exitCode).toBe(1)
    await world.gateway.start()
  })
})

describe('a gateway whose database was rolled back', () => {
  it('does not serve, says why, and is taken up again with the newest database', async () => {
    await world.gateway.stop()
    cpSync(world.path('gw/data'), world.path('old-data'), { recursive: true })
    await world.gateway.start()
    await world.attested()
    await world.runJob()
    await world.gateway.stop()
    renameSync(world.path('gw/data'), world.path('new-data'))
    cpSync(world.path('old-data'), world.path('gw/data'), { recursive: true })

    const refused = await sealgate(['gateway', 'start', world.path('gw')])
    expect(refused.exitCode).toBe(1)
    expect(refused.stderr).toMatch(/LOG_ROLLED_BACK: .*older copy.*\n.*put the newest one back/)
    const doctor = await sealgate(['gateway', 'doctor', world.path('gw')])
    expect(doctor.exitCode).toBe(1)
    expect(doctor.stderr).toMatch(/problem {2}log: LOG_ROLLED_BACK/)
    const renewed = await sealgate(['gateway', 'renew-head', world.path('gw'), '--dangerously-trust-database'])
    expect(renewed.stderr).toContain('ALREADY_EXISTS')

    rmSync(world.path('gw/data'), { recursive: true })
    renameSync(world.path('new-data'), world.path('gw/data'))
    expect((await sealgate(['gateway', 'doctor', world.path('gw')])).stderr).toMatch(/ok {7}log: \d+ entries/)
    await world.gateway.start()
    expect((await watch()).pass).toMatchObject({ ownReleases: 2, findings: [], forks: [] })
  })

  it('needs somebody’s word when the head file is lost', async () => {
    await world.gateway.stop()
    rmSync(world.path('gw/log.head'))
    expect((await sealgate(['gateway', 'start', world.path('gw')])).stderr).toMatch(/LOG_ROLLED_BACK.*is missing/)
    expect((await sealgate(['gateway', 'renew-head', world.path('gw')])).exitCode).toBe(2)
    expect((await sealgate(['gateway', 'renew-head', world.path('gw'), '--dangerously-trust-database'])).exitCode).toBe(0)
    await world.gateway.start()
    expect((await watch()).exitCode).toBe(0)
  })
})
