import { writeFileSync } from 'node:fs'
import { connect as tcpConnect } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, createSecureContext, connect as tlsConnect } from 'node:tls'
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GATEWAY_FILES, startGateway } from '../../../../src/gateway/index.ts'
import {
  AttestationService,
  DatasetService,
  fromServiceError,
  GrantService,
  google,
  HostService,
  JobService,
  LogService,
  parseAddress,
} from '../../../../src/rpc/index.ts'
import { testKey } from '../../../support/keys.ts'
import { testAuthority } from '../../../support/pki.ts'
import { FakeHost } from '../fake-host.ts'
import { TestGateway } from '../fixture.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await TestGateway.start()
})
afterAll(() => gateway.end())

async function handshake(options: ConnectionOptions): Promise<string> {
  const { host, port } = parseAddress(gateway.running.address)
  return new Promise((resolve) => {
    const socket = tlsConnect({ host, port, ca: gateway.authority.ca, ALPNProtocols: ['h2'], ...options })
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'))
    socket.on('close', () => resolve('closed'))
    // With TLS 1.3 the server's refusal comes after the client is done: ask for an answer.
    socket.on('secureConnect', () => socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'))
    socket.on('data', () => {
      resolve(`served ${socket.getProtocol()}`)
      socket.destroy()
    })
  })
}

describe('the port', () => {
  it('serves TLS 1.3 to a certificate of its authority', async () => {
    const { cert, key } = await gateway.identity('client', 'alice')
    expect(await handshake({ cert, key })).toBe('served TLSv1.3')
  })

  it('refuses TLS 1.2', async () => {
    const { cert, key } = await gateway.identity('client', 'alice')
    expect(await handshake({ cert, key, maxVersion: 'TLSv1.2' })).toMatch(/ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/)
  })

  it('refuses a connection without a certificate', async () => {
    expect(await handshake({})).toMatch(/CERTIFICATE_REQUIRED|closed|ECONNRESET/)
  })

  it('refuses a certificate of another authority', async () => {
    const { cert, key } = await (await testAuthority('stranger')).issue(['urn:sealgate:client:alice'])
    expect(await handshake({ cert, key })).toMatch(/UNKNOWN_CA|closed|ECONNRESET|DECRYPT/)
  })

  it("refuses a gateway's own certificate as a client's", async () => {
    const { cert, key } = await gateway.authority.issue(['urn:sealgate:client:alice'], 'server')
    expect(await handshake({ cert, key })).toMatch(/UNSUPPORTED_CERTIFICATE|CERTIFICATE|closed|ECONNRESET/)
  })

  it('ends a connection that does not speak TLS, and goes on', async () => {
    const { host, port } = parseAddress(gateway.running.address)
    const ended = new Promise((resolve) => {
      const socket = tcpConnect({ host, port }, () => socket.write('GET / HTTP/1.0\r\n\r\n'))
      socket.on('close', resolve)
      socket.on('error', () => {})
      socket.resume()
    })
    await ended
    const channel = await gateway.dial('client', 'alice')
    expect((await channel.unary(LogService.getCheckpoint, {})).checkpoint).toContain('log.example')
  })

  it('says so when another program has it', async () => {
    const second = await TestGateway.start()
    await second.stop()
    await expect(startGateway({ folder: second.folder, listen: gateway.running.address })).rejects.toMatchObject({ code: 'PORT_IN_USE' })
    await second.restart()
    await second.end()
  })

  it('says so when key and certificate do not belong together', async () => {
    const other = await TestGateway.start()
    await other.stop()
    const { key } = await gateway.identity('client', 'alice')
    writeFileSync(join(other.folder, GATEWAY_FILES.tlsKey), key, { mode: 0o600 })
    await expect(other.restart()).rejects.toMatchObject({ code: 'TLS_REJECTED' })
    await other.end()
  })

  it('says so when the data folder is in use', async () => {
    await expect(startGateway({ folder: gateway.folder })).rejects.toMatchObject({ code: 'STORE_LOCKED' })
  })
})

describe('identities', () => {
  it.each([
    ['none', []],
    ['two', ['urn:sealgate:client:alice', 'urn:sealgate:client:bob']],
    ['that of a gateway', ['urn:sealgate:gateway:gw']],
    ['one of another form', ['urn:sealgate:client:Alice']],
    ['one of another role', ['urn:sealgate:admin:alice']],
  ])('answers UNAUTHENTICATED to a certificate with %s', async (_what, uris) => {
    const channel = gateway.channel(await gateway.authority.issue(uris))
    await expect(channel.unary(LogService.getCheckpoint, {})).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
  })

  it('keeps hosts out of what is for clients', async () => {
    const host = await gateway.dial('host', 'h1')
    await expect(host.unary(JobService.listJobs, {})).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    await expect(host.unary(DatasetService.listDatasets, {})).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
    await expect(host.unary(HostService.listHosts, {})).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })
  })

  it('keeps clients out of what is for hosts', async () => {
    const client = await gateway.dial('client', 'alice')
    const stream = client.bidi(HostService.connect)
    const error = await new Promise<ServiceError>((resolve) => stream.on('error', resolve).on('data', () => {}))
    expect(fromServiceError(error)).toMatchObject({ code: 'PERMISSION_DENIED' })
  })
})

it('lets no identity take all connections', async () => {
  const own = await TestGateway.start({ connectionsPerIdentity: 2 })
  const { host, port } = parseAddress(own.running.address)
  const { cert, key } = await own.identity('client', 'alice')
  const open = (): Promise<string> =>
    new Promise((resolve) => {
      const socket = tlsConnect({ host, port, ca: own.authority.ca, cert, key, ALPNProtocols: ['h2'] })
      socket.on('error', () => resolve('closed'))
      socket.on('close', () => resolve('closed'))
      socket.on('data', () => resolve('served'))
    })
  expect([await open(), await open(), await open()]).toEqual(['served', 'served', 'closed'])
  const bob = await own.dial('client', 'bob')
  expect((await bob.unary(LogService.getCheckpoint, {})).checkpoint).not.toBe('')
  await own.end()
})

it('stops at once even while streams are open, and can be started again', async () => {
  const own = await TestGateway.start()
  const host = new FakeHost(await own.dial('host', 'h1'))
  host.hello()
  await host.next('challenge')
  const started = performance.now()
  await own.running.close()
  expect(performance.now() - started).toBeLessThan(1500)
  expect(await host.ended()).toMatchObject({ code: 'GATEWAY_UNREACHABLE' })
  await own.restart()
  await own.end()
})

it('writes no secret and no body into its log', async () => {
  const own = await TestGateway.start()
  const alice = await own.dial('client', 'alice')
  const marker = 'canary-of-the-log'
  await alice.unary(JobService.getJob, { jobId: marker }).catch(() => {})
  await alice.unary(GrantService.putGrant, { jws: Buffer.from(`{"payload":"${marker}"}`), policy: Buffer.from(marker) }).catch(() => {})
  const text = own.logged.join('')
  expect(text).toContain('/sealgate.v1.JobService/GetJob')
  expect(text).not.toContain(marker)
  expect(text).not.toContain(testKey('gateway').jwk.d)
  await own.end()
})

describe('answers', () => {
  it('carry google.rpc.ErrorInfo with our code, domain and place', async () => {
    const client = await gateway.dial('client', 'alice')
    const error = await client.unary(AttestationService.verifyEvidence, {}).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'DOCUMENT_INVALID', at: 'evidence' })
    const raw = (error as Error).cause as ServiceError
    expect(raw.code).toBe(status.INVALID_ARGUMENT)
    const [details] = raw.metadata.get('grpc-status-details-bin')
    const decoded = google.rpc.Status.decode(details as Buffer)
    const info = google.rpc.ErrorInfo.decode(decoded.details?.[0]?.value ?? new Uint8Array())
    expect(info).toMatchObject({ reason: 'DOCUMENT_INVALID', domain: 'sealgate', metadata: { at: 'evidence' } })
  })

  it('refuse a message over 4 MiB', async () => {
    const client = await gateway.dial('client', 'alice')
    const identity = await gateway.identity('client', 'alice')
    // Our own client refuses to send it; one without that limit is refused by the gateway.
    const raw = new Client(gateway.running.address, credentials.createFromSecureContext(createSecureContext(identity)))
    const { path, requestSerialize, responseDeserialize } = AttestationService.verifyEvidence
    const huge = { nonce: new Uint8Array(4 * 1024 * 1024 + 1) }
    const error = await new Promise<ServiceError | null>((resolve) =>
      raw.makeUnaryRequest(path, requestSerialize, responseDeserialize, huge, resolve),
    )
    raw.close()
    expect(error?.code).toBe(status.RESOURCE_EXHAUSTED)
    expect((await client.unary(LogService.getCheckpoint, {})).checkpoint).not.toBe('')
  })

  it('tell the health of the gateway', async () => {
    const raw = new Client(
      gateway.running.address,
      credentials.createFromSecureContext(createSecureContext(await gateway.identity('client', 'alice'))),
    )
    const answer = await new Promise<Buffer | undefined>((resolve) =>
      raw.makeUnaryRequest(
        '/grpc.health.v1.Health/Check',
        () => Buffer.alloc(0),
        (b) => b,
        {},
        (_error, response) => resolve(response),
      ),
    )
    raw.close()
    // HealthCheckResponse { status = SERVING (1) }
    expect(answer?.toString('hex')).toBe('0801')
  })
})
