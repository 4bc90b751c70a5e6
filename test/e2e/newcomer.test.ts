import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createGatewayFolder } from '../../src/cli/folders/gateway-folder.ts'
import { createIdentityFolder } from '../../src/cli/folders/identity-folder.ts'
import { loadTrustFile } from '../../src/client/index.ts'
import { encodeIdentity } from '../../src/rpc/index.ts'
import { encodeTrustFile } from '../../src/verify/documents/trust.ts'
import { type Ended, type RunOptions, sealgate, sealgateJson } from '../support/processes.ts'
import { PURPOSE, World } from '../support/processes-world.ts'

let world: World

beforeAll(async () => {
  world = await World.start({ limits: { blobBytes: 200_000, placementSeconds: 60 } })
})
afterAll(() => world?.close())

/** One clear line, one line with what to do, the right exit code, nothing on stdout. */
function expectRefusal(ended: Ended, exitCode: number, code: string, text: RegExp): void {
  const { stdout, stderr } = ended
  expect({ exitCode: ended.exitCode, stdout, stderr }).toMatchObject({ exitCode, stdout: '' })
  const lines = stderr.trimEnd().split('\n')
  expect(lines).toEqual([expect.stringMatching(new RegExp(`^sealgate: ${code}: .`)), expect.stringMatching(/^fix: .{8,}/)])
  expect(lines[0]).toMatch(text)
}

const alice = (): readonly string[] => ['--folder', world.path('owner')]
const run = (...args: readonly string[]): Promise<Ended> => sealgate(args, { cwd: world.root })
const leftovers = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true }).filter((n) => String(n).includes('.part')) as string[]

/** Arguments of a job that would come through. */
const job = (...more: readonly string[]): readonly string[] => [
  'run',
  ...alice(),
  '--image',
  'tabular-inference',
  '--input',
  `data.csv=${world.dataset}`,
  '--purpose',
  PURPOSE,
  ...more,
]

describe('the command line', () => {
  it.each([
    [['verify', '--frobnicate', 'x'], /unknown option '--frobnicate'/],
    [['dataset', 'seal', 'x', '--ot', 'y'], /--out/],
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['verify'], /missing required argument/],
    [['grant', 'create', '--uses', 'many'], /--uses.*many/],
    [['run', '--runner', 'vm'], /--runner.*vm/],
    [['init', 'x', '--role', 'king'], /--role.*king/],
  ] as const)('%j is a usage error', async (args, text) => {
    expectRefusal(await run(...args), 2, 'USAGE', text)
  })

  it('answers errors as JSON on stdout with --json', async () => {
    const ended = await run('keys', 'show', 'missing', '--json')
    expect(ended.exitCode).toBe(2)
    expect(JSON.parse(ended.stdout)).toMatchObject({ error: { code: 'FILE_UNREADABLE' } })
  })

  it('shows help in less than 300 ms', async () => {
    const times: number[] = []
    for (let i = 0; i < 5; i++) {
      const ended = await run('--help')
      expect(ended.exitCode).toBe(0)
      expect(ended.stderr).toBe('')
      times.push(ended.ms)
    }
    expect(Math.min(...times)).toBeLessThan(300)
  })
})

describe('files', () => {
  it('an empty file', async () => {
    writeFileSync(world.path('empty.csv'), '')
    const ended = await run('dataset', 'seal', 'empty.csv', '--out', 'empty.sealed', '--purpose', PURPOSE, ...alice())
    expectRefusal(ended, 2, 'FILE_UNREADABLE', /empty\.csv is empty/)
    expect(existsSync(world.path('empty.sealed'))).toBe(false)
  })

  it('a missing file', async () => {
    const seal = (file: string): Promise<Ended> => run('dataset', 'seal', file, '--out', 'x.sealed', '--purpose', PURPOSE, ...alice())
    expectRefusal(await seal('nothing.csv'), 2, 'FILE_UNREADABLE', /nothing\.csv: no such file/)
  })

  it('a file that is too large for the disk', async () => {
    writeFileSync(world.path('huge.csv'), '')
    truncateSync(world.path('huge.csv'), 15 * 1024 ** 4)
    const ended = await run('dataset', 'seal', 'huge.csv', '--out', 'huge.sealed', '--purpose', PURPOSE, ...alice())
    truncateSync(world.path('huge.csv'), 0)
    expectRefusal(ended, 1, 'DISK_FULL', /huge\.sealed needs \d+ bytes, \d+ are free/)
    expect(leftovers(world.root)).toEqual([])
  })

  it('a file that is larger than the gateway takes', async () => {
    writeFileSync(world.path('large.csv'), Buffer.alloc(300_000))
    await sealgateJson(['dataset', 'seal', world.path('large.csv'), '--out', world.path('large.sealed'), '--purpose', PURPOSE, ...alice()])
    expectRefusal(await run('dataset', 'push', 'large.sealed', ...alice()), 5, 'LIMIT_EXCEEDED', /200000/)
  })

  it('a folder that exists is not overwritten', async () => {
    expectRefusal(await run('init', 'gw', '--role', 'gateway', '--name', 'x'), 5, 'ALREADY_EXISTS', /exists and is not overwritten/)
    const again = await run('init', 'owner', '--role', 'owner', '--trust', 'gw/trust.json')
    expectRefusal(again, 5, 'ALREADY_EXISTS', /grant\.key\.json/)
  })

  it('a folder without owner keys', async () => {
    expectRefusal(await run('dataset', 'list', '--folder', 'host'), 2, 'FILE_UNREADABLE', /grant\.key\.json/)
  })
})

describe('the gateway', () => {
  it('a port that is taken', async () => {
    const folder = world.path('gw2')
    await createGatewayFolder({ folder, name: 'second', listen: world.address, publicAddress: null, at: new Date() })
    expectRefusal(await run('gateway', 'start', 'gw2', '--log-level', 'silent'), 1, 'PORT_IN_USE', /is taken/)
    const doctor = await sealgate(['gateway', 'doctor', folder])
    expect(doctor.exitCode).toBe(1)
    expect(doctor.stderr).toMatch(/problem {2}port: PORT_IN_USE/)
  })

  it('a folder that another gateway uses', async () => {
    expectRefusal(await run('gateway', 'start', 'gw', '--log-level', 'silent'), 1, 'STORE_LOCKED', /.+/)
  })

  it('a gateway that is not there, told at once', async () => {
    cpSync(world.path('owner'), world.path('lonely'), { recursive: true })
    const identity = { v: 1, type: 'sealgate/identity/v1', role: 'client', name: 'alice', gateway: '127.0.0.1:1' } as const
    writeFileSync(world.path('lonely/identity.json'), encodeIdentity(identity))
    const ended = await run('job', 'list', '--folder', 'lonely')
    expectRefusal(ended, 1, 'GATEWAY_UNREACHABLE', /127\.0\.0\.1:1 \(ECONNREFUSED\)/)
    expect(ended.ms).toBeLessThan(5000)
  })

  it('a certificate of another gateway', async () => {
    const folder = world.path('stranger')
    await createIdentityFolder({ gateway: world.path('gw2'), folder, role: 'client', name: 'mallory', rsa: false, at: new Date() })
    expectRefusal(await run('job', 'list', '--folder', 'stranger'), 4, 'TLS_REJECTED', /.+/)
    // Right authority for the gateway, wrong one for the client: refused by the gateway then.
    cpSync(world.path('owner/ca.crt'), join(folder, 'ca.crt'))
    expectRefusal(await run('job', 'list', '--folder', 'stranger'), 4, 'TLS_REJECTED', /.+/)
  })

  it('a trust file that does not know the simulated root', async () => {
    cpSync(world.path('owner'), world.path('careful'), { recursive: true })
    const trust = await loadTrustFile(world.path('owner/trust.json'))
    writeFileSync(world.path('careful/trust.json'), encodeTrustFile({ ...trust, simulatedRoots: [] }))
    const args = job('--out', 'never').map((a) => (a === world.path('owner') ? world.path('careful') : a))
    const ended = await sealgate(args, { cwd: world.root })
    expect(ended.exitCode).toBe(5)
    expect(ended.stderr).toMatch(/EVIDENCE_REJECTED: .*chain/)
    expect(existsSync(world.path('never'))).toBe(false)
  })
})

describe('the engine', () => {
  it('is not there', async () => {
    const env = { DOCKER_HOST: `unix://${world.path('no.sock')}` }
    const ended = await sealgate(['host', 'start', world.path('host'), '--runner', 'docker', '--log-level', 'silent'], { env })
    expectRefusal(ended, 1, 'ENGINE_UNAVAILABLE', /no\.sock/)
  })

  it('may not be used by this user', async () => {
    const socket = world.path('docker.sock')
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(socket, resolve))
    chmodSync(socket, 0o600)
    const folder = world.path('nobody-host')
    cpSync(world.path('host'), folder, { recursive: true })
    const options: RunOptions = { env: { DOCKER_HOST: `unix://${socket}` }, ...asNobody(folder) }
    try {
      const ended = await sealgate(['host', 'start', folder, '--runner', 'docker', '--log-level', 'silent'], options)
      expectRefusal(ended, 1, 'ENGINE_PERMISSION', /docker\.sock/)
    } finally {
      server.close()
    }
  })
})

/** The owner of a socket may use it, and root any: then another user tries. */
function asNobody(folder: string): Pick<RunOptions, 'wrapper'> {
  if (process.getuid?.() !== 0) {
    chmodSync(world.path('docker.sock'), 0)
    return {}
  }
  const nobody = 65534
  for (const name of ['.', ...(readdirSync(folder, { recursive: true }) as string[])]) chownSync(join(folder, name), nobody, nobody)
  chmodSync(world.root, 0o711)
  return { wrapper: ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--'] }
}

describe('Ctrl-C', () => {
  it('in the middle of a job: exit code 130, nothing left, and the gateway knows', async () => {
    await world.host.stop()
    const out = world.path('interrupted')
    const ended = await sealgate(job('--out', out), {
      cwd: world.root,
      onStart: (child) => child.stderr?.on('data', (text: Buffer) => text.includes('is accepted') && child.kill('SIGINT')),
    })
    await world.host.start()
    expect(ended.exitCode).toBe(130)
    expect(ended.stderr.trim().split('\n').at(-1)).toBe('sealgate: CANCELLED: interrupted; nothing is left behind')
    expect(existsSync(out)).toBe(false)
    expect(leftovers(world.root)).toEqual([])
    const jobs = await world.client.listJobs()
    expect(jobs.at(-1)?.state ?? jobs[0]?.state).toBeDefined()
    expect(jobs.map((j) => j.state)).toContain('cancelled')
  })

  it('while sealing a large file: exit code 130 and nothing left', async () => {
    mkdirSync(world.path('sealing'))
    writeFileSync(world.path('sealing/in'), '')
    truncateSync(world.path('sealing/in'), 2 * 1024 ** 3)
    const ended = await sealgate(
      ['dataset', 'seal', world.path('sealing/in'), '--out', world.path('sealing/out'), '--purpose', PURPOSE, ...alice()],
      {
        onStart: (child) => {
          const timer = setInterval(() => {
            if (readdirSync(world.path('sealing')).length < 2) return
            clearInterval(timer)
            child.kill('SIGINT')
          }, 20)
        },
      },
    )
    expect(ended.exitCode).toBe(130)
    expect(readdirSync(world.path('sealing'))).toEqual(['in'])
  })

  it('stops gateway and host cleanly, with exit code 0', async () => {
    expect(await world.host.stop('SIGINT')).toBe(0)
    expect(await world.gateway.stop('SIGINT')).toBe(0)
    await Promise.all([world.gateway.start(), world.host.start()])
    await world.attested()
  })
})
