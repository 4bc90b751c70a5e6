import { X509Certificate } from 'node:crypto'
import { getEventListeners, once } from 'node:events'
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

async function dial(role: 'client' | 'host', name: string, path: string, signal?: AbortSignal): Promise<Duplex> {
  const channel = await gateway.dial(role, name)
  const end = await dialRelay(channel, path, signal)
  ends.push(end.on('error', () => undefined))
  return end
}

/** Both ends of an open relay. */
async function joined(client = 'alice'): Promise<{ readonly client: Duplex; readonly inside: Duplex }> {
  const waiting = dial('client', client, servicePath(scenario.jobId))
  const inside = await dial('host', 'host1', relayPath(await told()))
  return { client: await waiting, inside }
}

const closed = (...of: readonly Duplex[]): Promise<unknown> =>
  Promise.all(of.map((end) => (end.destroyed ? null : once(end.resume(), 'close'))))

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

describe('a signal that has many relays', () => {
  it('is listened to by none that is open, and an open relay outlives it', async () => {
    await run()
    const over = new AbortController()
    const { signal } = over
    const first: Duplex[] = []
    for (let i = 0; i < 12; i++) {
      const waiting = dial('client', 'alice', servicePath(scenario.jobId), signal)
      const inside = await dial('host', 'host1', relayPath(await told()), signal)
      const client = await waiting
      expect(getEventListeners(signal, 'abort')).toEqual([])
      if (i === 0) first.push(client, inside)
    }
    over.abort()
    const [client, inside] = first as [Duplex, Duplex]
    client.write('still here')
    expect(await read(inside)).toBe('still here')
  })

  it('gives up a relay that nobody has joined yet, and one that was not dialled', async () => {
    await run()
    const over = new AbortController()
    const outcome = outcomeOf(() => dial('client', 'alice', servicePath(scenario.jobId), over.signal))
    await told()
    over.abort()
    expect(await outcome).toBe('CANCELLED')
    expect(await outcomeOf(() => dial('client', 'alice', servicePath(scenario.jobId), over.signal))).toBe('CANCELLED')
    expect(getEventListeners(over.signal, 'abort')).toEqual([])
  })
})

describe('a relay of a job that is to stop, though its host goes on', () => {
  const refused = (): Promise<string> => outcomeOf(() => dial('client', 'alice', servicePath(scenario.jobId)))

  it.each([
    ['a revocation with stopJobs', (): Promise<unknown> => scenario.revoke(undefined, true)],
    ['a hold with stopJobs', (): Promise<unknown> => scenario.hold({ stopJobs: true })],
    ['an erasure with stopJobs', (): Promise<unknown> => scenario.erase(undefined, { stopJobs: true })],
  ])('closes, and none opens again: %s', async (_, stop) => {
    await run()
    const { client, inside } = await joined()
    await stop()
    await closed(client, inside)
    expect(await refused()).toBe('JOB_CONFLICT')
    expect(await scenario.state()).toBe('running')
  })

  it('is refused when the job is to stop while the host has not joined yet', async () => {
    await run()
    const outcome = refused()
    const connection = await told()
    await scenario.revoke(undefined, true)
    expect(await outcome).toBe('JOB_CONFLICT')
    expect(await outcomeOf(() => dial('host', 'host1', relayPath(connection)))).toMatch(/^(NOT_FOUND|JOB_CONFLICT)$/)
  })

  it('closes when the job is lost: no outcome came in time', async () => {
    await run()
    const { client, inside } = await joined()
    gateway.clock.advance(2 * 24 * 3600)
    await closed(client, inside)
    await until(async () => (await scenario.state()) === 'lost', 'the job is lost')
    expect(await refused()).toBe('JOB_CONFLICT')
  })

  it('stays open under a revocation or a hold that lets jobs go on', async () => {
    await run()
    const { client, inside } = await joined()
    await scenario.hold()
    await scenario.revoke()
    client.write('goes on')
    expect(await read(inside)).toBe('goes on')
  })
})
