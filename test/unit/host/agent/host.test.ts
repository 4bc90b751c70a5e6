import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createAuthority, issueIdentity } from '../../../../src/cli/folders/authority.ts'
import { agentName, encodeAgentConfig } from '../../../../src/host/agent/config.ts'
import { HOST_FILES, loadHostIdentity, tlsKeyDigest } from '../../../../src/host/agent/folder.ts'
import { lockFolder } from '../../../../src/host/agent/folder-lock.ts'
import { type HostOptions, startHost } from '../../../../src/host/agent/host.ts'
import { jobIdFromWire, releaseFromWire } from '../../../../src/host/agent/wire.ts'
import { describeError } from '../../../../src/host/job/log-error.ts'
import { fromUtf8 } from '../../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { until } from '../fake-gateway.ts'
import { FakeRunner, fakeAttester, fakeDevices } from '../fakes.ts'

const AT = new Date(Date.now() - 1000)

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'host-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

async function makeFolder(gateway: string, role: 'host' | 'client' = 'host'): Promise<string> {
  const authority = await createAuthority('test', AT)
  const { cert, key } = await issueIdentity(authority, { role, name: 'host1', addresses: [], rsa: false }, AT)
  const identity = `{"gateway":"${gateway}","name":"host1","role":"${role}","type":"sealgate/identity/v1","v":1}`
  const files = { [HOST_FILES.ca]: authority.cert, [HOST_FILES.cert]: cert, [HOST_FILES.key]: key, [HOST_FILES.identity]: identity }
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  return cert
}

function options(changes: Partial<HostOptions> = {}): HostOptions {
  return { folder, attester: fakeAttester, runner: new FakeRunner(() => ({})), logger: pino({ enabled: false }), ...changes }
}

/** A port where somebody listens who does not speak TLS. */
async function deaf(): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => socket.on('error', () => {}).end('HTTP/1.0 400 Bad Request\r\n\r\n'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return { server, port: typeof address === 'object' ? (address?.port ?? 0) : 0 }
}

describe('folder of a host', () => {
  it('is read with its identity', async () => {
    await makeFolder('gateway.example:7443')
    expect(await loadHostIdentity(folder)).toMatchObject({ name: 'host1', gateway: 'gateway.example:7443' })
  })

  it('is refused when a file is missing, naming it, or when it is a client’s', async () => {
    await expect(loadHostIdentity(folder)).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
      message: expect.stringContaining('identity.json'),
    })
    await makeFolder('gateway.example:7443', 'client')
    await expect(loadHostIdentity(folder)).rejects.toMatchObject({ code: 'USAGE' })
    await makeFolder('gateway.example')
    await expect(loadHostIdentity(folder)).rejects.toMatchObject({ code: 'USAGE' })
  })

  it('names its TLS key by the digest of its SPKI', async () => {
    const cert = await makeFolder('gateway.example:7443')
    expect(tlsKeyDigest(cert)).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(() => tlsKeyDigest('nonsense')).toThrow(expect.objectContaining({ code: 'CERTIFICATE_MALFORMED' }))
  })
})

describe('state folder', () => {
  it('has one agent at a time', async () => {
    const unlock = await lockFolder(folder)
    await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    await expect(lockFolder(`${folder}/../${folder.split('/').at(-1)}`)).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    unlock()
    await until(() => true)
    ;(await lockFolder(folder))()
  })
})

describe('startHost', () => {
  it('keeps dialling a gateway that is away, holds its folder, and stops when told', async () => {
    const { server, port } = await deaf()
    await new Promise<void>((resolve) => server.close(() => resolve()))
    await makeFolder(`127.0.0.1:${port}`)
    const host = await startHost(options())
    expect(host).toMatchObject({ name: 'host1', gateway: `127.0.0.1:${port}`, state: 'connecting' })
    await expect(startHost(options())).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    expect((await stat(join(folder, 'state'))).mode & 0o777).toBe(0o700)
    await host.close()
    await host.ended
    expect(host.state).toBe('stopped')
    const again = await startHost(options({ gateway: '127.0.0.1:1' }))
    expect(again.gateway).toBe('127.0.0.1:1')
    await again.close()
    expect(await readdir(join(folder, 'state'))).toEqual([])
  })

  it('tells its operator which devices give no evidence', async () => {
    const { server, port } = await deaf()
    await makeFolder(`127.0.0.1:${port}`)
    const lines: string[] = []
    const logger = pino({ level: 'warn' }, { write: (line: string) => lines.push(line) })
    const host = await startHost(options({ logger, devices: { ...fakeDevices(0), unattested: ['2 GPUs: off'] } }))
    await host.close()
    server.close()
    expect(JSON.parse(lines[0] ?? '{}')).toMatchObject({ what: '2 GPUs: off', msg: 'these devices give no evidence' })
  })

  it('ends when what answers is no gateway of ours', async () => {
    const { server, port } = await deaf()
    await makeFolder(`127.0.0.1:${port}`)
    const host = await startHost(options())
    await expect(host.ended).rejects.toMatchObject({ code: 'TLS_REJECTED' })
    server.close()
    await host.close()
  })
})

describe('small parts', () => {
  it('names itself and its configuration', async () => {
    const agent = await agentName()
    expect(agent).toMatch(/^sealgate\/\d+\.\d+\.\d+/)
    const config = encodeAgentConfig(agent, fakeAttester, new FakeRunner(() => ({})), {
      region: 'DE',
      memoryLeaks: ['swap'],
      limits: { memoryBytes: 5, jobs: 3, releaseWaitMs: 7 },
    })
    expect(JSON.parse(fromUtf8(config))).toEqual({
      v: 1,
      agent,
      attester: { format: 'sev-snp', simulated: true },
      region: 'DE',
      runner: { kind: 'wasm', grade: 'wasm-process', isolations: ['sealgate-wasm-v1'] },
      registries: [],
      memoryLeaks: ['swap'],
      limits: { memoryBytes: 5, jobs: 3, releaseWaitMs: 7 },
    })
  })

  it('tells a log the code and place of an error, never its words', () => {
    expect(describeError(new AttestError('GRANT_DENIED', 'SECRET', { at: 'policy.grant-argv' }))).toEqual({
      code: 'GRANT_DENIED',
      at: 'policy.grant-argv',
    })
    const unknown = describeError(Object.assign(new Error('ENOENT: /in/SECRET'), { code: 'ENOENT' }))
    expect(unknown.code).toBe('ENOENT')
    expect(unknown.stack).toContain('host.test.ts')
    expect(JSON.stringify(unknown)).not.toContain('SECRET')
    expect(describeError('SECRET')).toEqual({ code: 'INTERNAL' })
  })

  it('takes only job ids that name a file safely', () => {
    expect(jobIdFromWire('AAECAwQFBgcICQoLDA0ODw')).toBe('AAECAwQFBgcICQoLDA0ODw')
    for (const id of [null, undefined, '', '..', 'a/b', 'AAECAwQFBgcICQoLDA0ODw==', `${'A'.repeat(22)}\n`]) {
      expect(() => jobIdFromWire(id)).toThrow(expect.objectContaining({ code: 'DOCUMENT_INVALID' }))
    }
  })

  it('refuses a release without an entry, or with a suite that it does not know', () => {
    expect(() => releaseFromWire({ parts: [{}] })).toThrow(expect.objectContaining({ code: 'DOCUMENT_INVALID' }))
    const keys = [{ suite: 'ROT13' }]
    expect(() => releaseFromWire({ parts: [{ entry: {}, keys }] })).toThrow(expect.objectContaining({ code: 'SUITE_UNSUPPORTED' }))
  })
})
