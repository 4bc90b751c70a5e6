import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { gatewayIdentity } from '../../src/cli/demo/attacks.ts'
import { startRelay, type Tamper } from '../../src/cli/demo/relay.ts'
import { Client, isFinal, type JobReport, loadIdentity } from '../../src/client/index.ts'
import { sealgate as wire } from '../../src/rpc/index.ts'
import { AttestError } from '../../src/verify/errors.ts'
import type { Service } from '../support/processes.ts'
import { World } from '../support/processes-world.ts'
import { startFlipper } from '../support/proxies.ts'

const { ConnectResponse } = wire.v1

let world: World
let right: Buffer

beforeAll(async () => {
  world = await World.start({ limits: { answerSeconds: 3, placementSeconds: 5, releaseSeconds: 5, reconnectSeconds: 2 } })
  right = predictionsOf(await world.runJob())
})
afterAll(() => world?.close())

function predictionsOf(report: JobReport): Buffer {
  if (report.results === null) throw new Error('no results')
  return readFileSync(join(report.results.folder, 'out/predictions.csv'))
}

describe('a bit that flips on the wire', () => {
  // In the handshake, in the first messages, and later.
  it.each([
    ['up', 40],
    ['up', 700],
    ['up', 2500],
    ['down', 90],
    ['down', 1500],
    ['down', 6000],
  ] as const)('%s, byte %i: breaks the connection, never a result', async (direction, offset) => {
    const flipper = await startFlipper(world.address, direction, offset)
    const client = new Client(flipper.address, (await loadIdentity(world.path('owner'))).tls)
    try {
      const report = await world.runJob({ client, signal: AbortSignal.timeout(3000) })
      expect(predictionsOf(report).equals(right)).toBe(true)
    } catch (error) {
      expect(error).toBeInstanceOf(AttestError)
      expect((error as AttestError).code).toMatch(/^(TLS_REJECTED|GATEWAY_UNREACHABLE|CANCELLED)$/)
    } finally {
      client.close()
      expect(flipper.flipped).toBeGreaterThan(0)
      await flipper.close()
    }
  })
})

/** Calls `strike` when the host is about to get its keys: the middle of the job. */
function atKeyRelease(strike: () => void): Tamper {
  let struck = false
  return ({ method, direction, bytes }) => {
    if (struck || method !== 'Connect' || direction !== 'down' || ConnectResponse.decode(bytes).body !== 'keyRelease') return [bytes]
    struck = true
    strike()
    return []
  }
}

/** Puts a relay between host and gateway while `work` goes on. */
async function withRelayedHost(tamper: Tamper, work: (host: Service) => Promise<void>): Promise<void> {
  await world.host.stop()
  const own = (await loadIdentity(world.path('host'))).tls
  const identity = await gatewayIdentity(world.path('gw'))
  const relay = await startRelay({ identity, upstream: world.address, impersonate: () => Promise.resolve(own), tamper })
  const host = world.hostThrough(relay.address)
  try {
    await host.start()
    await world.attested()
    await work(host)
  } finally {
    await host.stop('SIGKILL')
    await relay.close()
    await world.host.start()
    await world.attested()
  }
}

describe('kill -9 in the middle of a job', () => {
  it('of the host: the job is lost, and a signed and logged receipt says so', async () => {
    const struck = withResolvers()
    await withRelayedHost(atKeyRelease(struck.resolve), async (host) => {
      const job = world.runJob()
      await struck.promise
      await host.stop('SIGKILL')
      await host.start()
      const report = await job
      const { outcome, type } = report.receipt.statement.predicate
      expect({ state: report.job.state, type, kind: outcome.kind, code: outcome.code }).toEqual({
        state: 'lost',
        type: 'lost',
        kind: 'lost',
        code: 'JOB_LOST',
      })
      expect(report.results).toBeNull()
      await world.attested()
      expect(predictionsOf(await world.runJob()).equals(right)).toBe(true)
    })
  })

  it('of the gateway: it takes the job up again, and nothing is run twice', async () => {
    const struck = withResolvers()
    const kill = (): void => {
      world.gateway.signal('SIGKILL')
      struck.resolve()
    }
    await withRelayedHost(atKeyRelease(kill), async () => {
      const job = world.runJob()
      await struck.promise
      await world.gateway.stop('SIGKILL')
      await world.gateway.start()
      const report = await job
      expect(report.receipt.statement.predicate.outcome.kind).toBe('succeeded')
      expect(predictionsOf(report).equals(right)).toBe(true)
      expect((await world.client.listJobs()).filter((j) => !isFinal(j.state))).toEqual([])
      expect((await world.client.listReceipts()).filter((r) => r.jobId === report.job.jobId)).toHaveLength(1)
    })
  })

  it('leaves a world in which an honest job comes through', async () => {
    expect(predictionsOf(await world.runJob()).equals(right)).toBe(true)
  })
})

/** Promise.withResolvers of newer runtimes. */
function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {}
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}
