import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TlsIdentity } from '../../../../src/rpc/index.ts'
import { dialRelay, relayPath, servicePath, spkiDigest } from '../../../../src/rpc/service/index.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { testBytes } from '../../../support/keys.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { FakeHost } from '../fake-host.ts'
import { TestGateway, until } from '../fixture.ts'
import { Scenario } from '../scenario.ts'

const IMAGE = { runner: 'docker', digest: `sha256:${'5e'.repeat(32)}` } as const
const TLS = toBase64Url(testBytes('service tls', 32))

let gateway: TestGateway
let host: FakeHost
let scenario: Scenario
const ends: Duplex[] = []

const digest = ({ cert }: TlsIdentity): string => spkiDigest(new X509Certificate(cert))

beforeEach(async () => {
  gateway = await TestGateway.start()
  const clients = [digest(await gateway.identity('client', 'carol'))]
  const service = { protocol: 'http', port: 8000, clients, idleMs: null } as const
  scenario = await Scenario.prepare(gateway, {
    contract: { image: IMAGE, isolation: 'sealgate-container-v1', service },
    grant: { images: [IMAGE], clients },
  })
  host = new FakeHost(await gateway.dial('host', 'host1'))
  host.hello([], ['docker'])
  await host.attest({ tls: digest(await gateway.identity('host', 'host1')) })
  await scenario.create()
})

afterEach(async () => {
  for (const end of ends.splice(0)) end.destroy()
  await gateway.end()
})

async function run(): Promise<void> {
  const evidence = await host.accept(await host.next('jobOffer'), { tls: TLS })
  await until(async () => (await scenario.state()) === 'attested', 'the job is attested')
  await scenario.release(await scenario.log(await scenario.intent(evidence)))
  await host.next('keyRelease')
  host.send({ jobProgress: { jobId: scenario.jobId, phase: 'running' } })
  await until(async () => (await scenario.state()) === 'running', 'the job runs')
}

async function dial(role: 'client' | 'host', name: string, path: string): Promise<Duplex> {
  const channel = await gateway.dial(role, name)
  const end = await dialRelay(channel, path)
  ends.push(end.on('error', () => undefined))
  return end
}

const told = async (): Promise<string> => (await host.next('serviceConnection')).connectionId ?? ''
const read = async (end: Duplex): Promise<string> => String((await once(end, 'data'))[0])

describe('a relay', () => {
  it('joins a client that the contract lists with the host of the job, and passes bytes both ways', async () => {
    await run()
    const waiting = dial('client', 'carol', servicePath(scenario.jobId))
    const inside = await dial('host', 'host1', relayPath(await told()))
    const client = await waiting
    client.write('to the enclave')
    expect(await read(inside)).toBe('to the enclave')
    inside.write('and back')
    expect(await read(client)).toBe('and back')
    const closed = once(inside, 'close')
    client.destroy()
    await closed
  })

  it('does not exist for a client that is neither submitter nor listed', async () => {
    await run()
    expect(await outcomeOf(() => dial('client', 'mallory', servicePath(scenario.jobId)))).toBe('NOT_FOUND')
    expect(await outcomeOf(() => dial('client', 'carol', servicePath('A'.repeat(22))))).toBe('NOT_FOUND')
    expect(await outcomeOf(() => dial('host', 'host1', servicePath(scenario.jobId)))).toBe('NOT_FOUND')
  })

  it('does not open before the job runs', async () => {
    expect(await outcomeOf(() => dial('client', 'alice', servicePath(scenario.jobId)))).toBe('JOB_CONFLICT')
  })

  it('is for the host of the job alone, once', async () => {
    await run()
    const waiting = dial('client', 'alice', servicePath(scenario.jobId))
    const connection = await told()
    expect(await outcomeOf(() => dial('host', 'host2', relayPath(connection)))).toBe('NOT_FOUND')
    expect(await outcomeOf(() => dial('client', 'alice', relayPath(connection)))).toBe('NOT_FOUND')
    await dial('host', 'host1', relayPath(connection))
    await waiting
    expect(await outcomeOf(() => dial('host', 'host1', relayPath(connection)))).toBe('NOT_FOUND')
  })

  it('is given up when the host does not open its end', async () => {
    await run()
    const outcome = outcomeOf(() => dial('client', 'alice', servicePath(scenario.jobId)))
    await told()
    gateway.clock.advance(16)
    expect(await outcome).toBe('GATEWAY_UNREACHABLE')
  })

  it('has room for so many of one caller', async () => {
    await run()
    for (let i = 0; i < 40; i++) {
      const waiting = dial('client', 'alice', servicePath(scenario.jobId))
      await dial('host', 'host1', relayPath(await told()))
      await waiting
    }
    expect(await outcomeOf(() => dial('client', 'alice', servicePath(scenario.jobId)))).toBe('LIMIT_EXCEEDED')
    ends[0]?.destroy()
    ends[1]?.destroy()
    await until(
      async () => (await outcomeOf(() => Promise.race([dial('client', 'alice', servicePath(scenario.jobId)), told()]))) === 'accepted',
      'room again',
    )
  })
})
