import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { gatewayIdentity, impersonator } from '../../src/cli/demo/attacks.ts'
import { type Relay, startRelay, type Tamper, type TamperBlob } from '../../src/cli/demo/relay.ts'
import { Client, type JobReport, loadIdentity } from '../../src/client/index.ts'
import { sealgate } from '../../src/rpc/index.ts'
import { AttestError } from '../../src/verify/errors.ts'
import type { Service } from '../support/processes.ts'
import { World } from '../support/processes-world.ts'
import { mutateOnce, type Recording, record, seeded, type Target } from '../support/proxies-mutators.ts'

const { ConnectRequest, ConnectResponse } = sealgate.v1
/** Short, so that what was dropped is missed soon. */
const LIMITS = { answerSeconds: 2, placementSeconds: 3, releaseSeconds: 4, reconnectSeconds: 2 }

let world: World
let right: Buffer
const recording: Recording = new Map()

beforeAll(async () => {
  world = await World.start({ limits: LIMITS })
  const report = await throughRelay(record(recording), (client) => world.runJob({ client }))
  right = predictionsOf(report)
})
afterAll(() => world?.close())

function predictionsOf(report: JobReport): Buffer {
  if (report.results === null) throw new Error('no results')
  return readFileSync(join(report.results.folder, 'out/predictions.csv'))
}

async function relayWith(tamper: Tamper, tamperBlob?: TamperBlob): Promise<Relay> {
  return startRelay({
    identity: await gatewayIdentity(world.path('gw')),
    upstream: world.address,
    impersonate: impersonator(world.path('gw')),
    tamper,
    ...(tamperBlob === undefined ? {} : { tamperBlob }),
  })
}

async function throughRelay<T>(tamper: Tamper, work: (client: Client) => Promise<T>, tamperBlob?: TamperBlob): Promise<T> {
  const relay = await relayWith(tamper, tamperBlob)
  const client = new Client(relay.address, (await loadIdentity(world.path('owner'))).tls)
  try {
    return await work(client)
  } finally {
    client.close()
    await relay.close()
  }
}

/** Either the right results, or a refusal, or a clean failure: never anything else. @returns which. */
async function endOf(job: Promise<JobReport>): Promise<string> {
  let report: JobReport
  try {
    report = await job
  } catch (error) {
    if (!(error instanceof AttestError)) throw error
    return error.code
  }
  const { outcome } = report.receipt.statement.predicate
  if (outcome.kind !== 'succeeded') return `receipt: ${outcome.code ?? outcome.kind}`
  expect(predictionsOf(report).equals(right)).toBe(true)
  return 'right'
}

const MUTATIONS = ['flip', 'flip', 'drop', 'duplicate', 'replay'] as const
/** Messages after which the sender waits: to hold one of them back is to drop it. */
const ALONE: ReadonlySet<string> = new Set(['jobOffer', 'keyRelease', 'jobOutcome'])
const CLIENT_METHODS = ['CreateJob', 'WatchJob', 'GetJobEvidence', 'LogReleaseIntent', 'ReleaseKeys', 'GetReceipt', 'GetResults'] as const

describe('between owner and gateway', () => {
  for (const method of CLIENT_METHODS) {
    for (const direction of ['up', 'down'] as const) {
      it(`never yields a wrong result: ${method} ${direction}`, async () => {
        const random = seeded(method.length * 7 + direction.length)
        const ends: string[] = []
        for (const mutation of method === 'WatchJob' && direction === 'down' ? [...MUTATIONS, 'swap' as const] : MUTATIONS) {
          const tamper = mutateOnce({ method, direction }, mutation, recording, random)
          ends.push(`${mutation}: ${await endOf(throughRelay(tamper, (client) => world.runJob({ client })))}`)
          expect(tamper.done()).toBe(true)
        }
        // A lost message is noticed, or asked for again; it is never a success that skipped something.
        expect(ends.length).toBeGreaterThanOrEqual(MUTATIONS.length)
      })
    }
  }

  it('notices every flipped byte of the results', async () => {
    for (const at of [0, 100, 700]) {
      let seen = 0
      const tamperBlob: TamperBlob = (direction, chunk) => {
        const start = seen
        if (direction === 'down') seen += chunk.length
        if (direction !== 'down' || at < start || at >= start + chunk.length) return chunk
        const changed = Buffer.from(chunk)
        changed[at - start] = (changed[at - start] ?? 0) ^ 1
        return changed
      }
      const end = await endOf(
        throughRelay(
          (m) => [m.bytes],
          (client) => world.runJob({ client }),
          tamperBlob,
        ),
      )
      expect(end).toBe('RECEIPT_INCONSISTENT')
    }
  })

  it('an honest job comes through afterwards', async () => {
    await world.attested()
    expect(await endOf(world.runJob())).toBe('right')
  })
})

/** The kinds of message on the stream between host and gateway. */
const HOST_TARGETS: readonly (readonly [string, Target])[] = [
  ...(['jobEvidence', 'jobProgress', 'jobOutcome'] as const).map(
    (kind) => [kind, { method: 'Connect', direction: 'up', matches: (b: Buffer) => decodes(ConnectRequest, b, kind) }] as const,
  ),
  ...(['jobOffer', 'keyRelease', 'outcomeAccepted'] as const).map(
    (kind) => [kind, { method: 'Connect', direction: 'down', matches: (b: Buffer) => decodes(ConnectResponse, b, kind) }] as const,
  ),
]

function decodes(codec: { decode(bytes: Uint8Array): { readonly body?: string } }, bytes: Buffer, kind: string): boolean {
  try {
    return codec.decode(bytes).body === kind
  } catch {
    return false
  }
}

describe('between host and gateway', () => {
  let relay: Relay
  let host: Service
  let tamper: Tamper = (message) => [message.bytes]
  let tamperBlob: TamperBlob = (_, chunk) => chunk
  const fromHost: Recording = new Map()

  beforeAll(async () => {
    await world.host.stop()
    const own = (await loadIdentity(world.path('host'))).tls
    relay = await startRelay({
      identity: await gatewayIdentity(world.path('gw')),
      upstream: world.address,
      // Even the host's own TLS key is in the wrong hands.
      impersonate: () => Promise.resolve(own),
      tamper: (message) => tamper(message),
      tamperBlob: (direction, chunk) => tamperBlob(direction, chunk),
    })
    host = world.hostThrough(relay.address)
    tamper = record(fromHost)
    await host.start()
    await world.attested()
    expect(await endOf(world.runJob())).toBe('right')
  })
  afterAll(async () => {
    await host?.stop('SIGKILL')
    await relay?.close()
  })

  for (const [kind, target] of HOST_TARGETS) {
    it(`never yields a wrong result: ${kind}`, async () => {
      const random = seeded(kind.length)
      const ends: string[] = []
      for (const mutation of ALONE.has(kind) ? MUTATIONS : [...MUTATIONS, 'swap' as const]) {
        await world.attested()
        const once = mutateOnce(target, mutation, fromHost, random)
        tamper = once
        ends.push(await endOf(world.runJob({ signal: AbortSignal.timeout(3000) })))
        tamper = (message) => [message.bytes]
        // No single message is lost on a connection that lives; with it gone, both ends take up where they were.
        if (!once.done() || ends.at(-1) === 'CANCELLED') relay.cut()
      }
      await world.attested()
      expect(await endOf(world.runJob())).toBe('right')
    })
  }

  it('notices flipped bytes of data and of results on their way', async () => {
    for (const direction of ['down', 'up'] as const) {
      await world.attested()
      let flips = 0
      tamperBlob = (way, chunk) => {
        if (way !== direction || flips++ > 0 || chunk.length < 10) return chunk
        const changed = Buffer.from(chunk)
        changed[chunk.length - 1] = (changed[chunk.length - 1] ?? 0) ^ 1
        return changed
      }
      const end = await endOf(world.runJob())
      tamperBlob = (_, chunk) => chunk
      expect(flips).toBeGreaterThan(0)
      // A changed upload is refused by the gateway and sent again.
      expect(end).toMatch(direction === 'down' ? /^receipt: (ROOT_MISMATCH|SEGMENT_INVALID)$/ : /^(right|[A-Z_]+|receipt: .*)$/)
    }
  })

  it('an honest job comes through afterwards', async () => {
    await world.attested()
    expect(await endOf(world.runJob())).toBe('right')
  })
})

describe('a gateway that makes up a host', () => {
  it('cannot use an identity with another TLS key: its evidence is refused', async () => {
    const relay = await relayWith((message) => [message.bytes])
    const host = world.hostThrough(relay.address)
    try {
      await host.start()
      await expect.poll(() => host.log, { timeout: 10_000 }).toContain('refused our evidence')
      expect(await endOf(world.runJob())).toBe('receipt: NO_HOST')
    } finally {
      await host.stop('SIGKILL')
      await relay.close()
    }
  })
})
