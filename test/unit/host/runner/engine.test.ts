import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  connectEngine,
  type EngineInfo,
  engineError,
  gvisorObstacle,
  missingFeatures,
  socketFrom,
} from '../../../../src/host/runner/docker-engine.ts'
import { createRunner } from '../../../../src/host/runner/index.ts'

const GOOD: EngineInfo = {
  OSType: 'linux',
  Architecture: 'x86_64',
  NCPU: 2,
  ServerVersion: '20.10.24',
  MemoryLimit: true,
  SwapLimit: true,
  PidsLimit: true,
  CpuCfsQuota: true,
  SecurityOptions: ['name=seccomp,profile=default'],
  Runtimes: { runc: { path: 'runc' } },
}

const unavailable = (message: string) => expect.objectContaining({ code: 'ENGINE_UNAVAILABLE', message: expect.stringContaining(message) })

let folder: string
let server: Server | null = null
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'engine-'))
})
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
  server = null
  rmSync(folder, { recursive: true })
})

/** An engine that answers `GET /info` and nothing else. */
async function fakeEngine(info: unknown, status = 200): Promise<string> {
  const socketPath = join(folder, 'docker.sock')
  server = createServer((_, response) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(info)))
  await new Promise<void>((resolve) => server?.listen(socketPath, resolve))
  return socketPath
}

describe('socketFrom', () => {
  it('takes unix addresses and the usual place', () => {
    expect(socketFrom(undefined)).toBe('/var/run/docker.sock')
    expect(socketFrom('')).toBe('/var/run/docker.sock')
    expect(socketFrom('unix:///run/user/1000/docker.sock')).toBe('/run/user/1000/docker.sock')
  })

  it.each(['tcp://127.0.0.1:2375', 'ssh://host', 'unix://docker.sock', '/var/run/docker.sock'])(
    'refuses %s, which cannot share memory with us',
    (host) => {
      expect(() => socketFrom(host)).toThrow(unavailable('only unix:// engines'))
    },
  )
})

describe('connectEngine', () => {
  it('takes an engine that can apply every limit', async () => {
    const socketPath = await fakeEngine(GOOD)
    expect(await connectEngine(socketPath)).toMatchObject({ socketPath, version: '20.10.24', cpus: 2 })
  })

  it.each([
    [{ MemoryLimit: false }, 'a memory limit'],
    [{ SwapLimit: false }, 'a swap limit'],
    [{ PidsLimit: false }, 'a process limit'],
    [{ CpuCfsQuota: false }, 'a CPU limit'],
    [{ SecurityOptions: null }, 'seccomp'],
    [{ SecurityOptions: ['name=apparmor'] }, 'seccomp'],
    [{ Runtimes: { runsc: { path: '/usr/bin/runsc' } } }, 'the runtime runc'],
    [{ Architecture: 'aarch64' }, 'linux/amd64'],
    [{ OSType: 'windows' }, 'linux/amd64'],
  ] as [Partial<EngineInfo>, string][])('refuses one that would drop a limit: %j', async (change, message) => {
    const socketPath = await fakeEngine({ ...GOOD, ...change })
    await expect(connectEngine(socketPath)).rejects.toEqual(unavailable(message))
  })

  it('takes nothing for granted that the engine does not say', () => {
    expect(missingFeatures({} as EngineInfo)).toHaveLength(7)
    expect(missingFeatures(GOOD)).toEqual([])
  })

  it('says when nothing answers, or answers with an error', async () => {
    await expect(connectEngine(join(folder, 'none.sock'))).rejects.toEqual(unavailable('no container engine answers at'))
    await expect(connectEngine(await fakeEngine({ message: 'no' }, 500))).rejects.toEqual(unavailable('status 500'))
  })
})

describe('gvisorObstacle', () => {
  const withRunsc = (path: string, runtimeArgs?: readonly string[]): EngineInfo => ({
    ...GOOD,
    Runtimes: { ...GOOD.Runtimes, runsc: { path, ...(runtimeArgs === undefined ? {} : { runtimeArgs }) } },
  })

  it('takes gVisor as its vendor sets it up', () => {
    expect(gvisorObstacle(withRunsc('/usr/bin/runsc'))).toBeNull()
    expect(gvisorObstacle(withRunsc('runsc', ['--platform=ptrace', '--network=none']))).toBeNull()
  })

  it('does without where the engine has none, or something else of that name', () => {
    expect(gvisorObstacle(GOOD)).toContain('no runtime runsc')
    expect(gvisorObstacle(withRunsc('/usr/bin/runc'))).toContain('something else')
    expect(gvisorObstacle(withRunsc(''))).toContain('something else')
  })

  it.each([
    '--network=host',
    '--debug',
    '--debug-log=/var/log/',
    '--strace',
    '--log-packets',
    '--fsgofer-host-uds',
    '--TESTONLY-unsafe-nonroot',
  ])('refuses %s, which opens the sandbox or writes down what happens in it', (argument) => {
    expect(gvisorObstacle(withRunsc('/usr/bin/runsc', ['--platform=ptrace', argument]))).toContain(argument)
  })
})

describe('engineError', () => {
  it('tells a lack of permission from a lack of an engine, and keeps the cause', () => {
    const cause = Object.assign(new Error('connect EACCES'), { code: 'EACCES' })
    expect(engineError(cause, '/s')).toMatchObject({ code: 'ENGINE_PERMISSION', cause })
    expect(engineError(Object.assign(new Error(), { code: 'ECONNREFUSED' }), '/s')).toMatchObject({ code: 'ENGINE_UNAVAILABLE' })
    const own = engineError(cause, '/s')
    expect(engineError(own, '/s')).toBe(own)
  })
})

describe('createRunner', () => {
  it('falls back to WebAssembly only with auto, and says why', async () => {
    const docker = { socketPath: join(folder, 'none.sock') }
    const auto = await createRunner({ kind: 'auto', docker })
    expect(auto).toMatchObject({ kind: 'wasm', grade: 'wasm-process', recovered: [] })
    expect(auto.reason).toBe(
      `WebAssembly in a process of its own, weaker than a container: no container engine answers at ${docker.socketPath}`,
    )
    await auto.close()
    await expect(createRunner({ kind: 'docker', docker })).rejects.toEqual(unavailable('no container engine answers'))
  })

  it('falls back when decrypted data would reach a disk', async () => {
    const docker = { socketPath: await fakeEngine(GOOD) }
    server?.removeAllListeners('request')
    server?.on('request', (request, response) => response.end(JSON.stringify(request.url?.includes('/containers/') ? [] : GOOD)))
    await expect(createRunner({ kind: 'docker', docker, memoryFolder: '/proc' })).rejects.toEqual(unavailable('not a memory file system'))
    expect((await createRunner({ kind: 'auto', docker, memoryFolder: '/proc' })).reason).toContain('not a memory file system')
  })
})
