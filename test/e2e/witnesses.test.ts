import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JobReport } from '../../src/client/index.ts'
import { cosign } from '../../src/seal/note.ts'
import { encodeTrustFile, parseTrustFile } from '../../src/verify/documents/trust.ts'
import { parseAddCheckpoint, parseCheckpoint } from '../../src/verify/tlog/index.ts'
import { noteSigner } from '../support/keys.ts'
import { sealgate } from '../support/processes.ts'
import { World } from '../support/processes-world.ts'

const NAMES = ['w1.example', 'w2.example', 'w3.example'] as const
const [W1, W2, W3] = NAMES
let world: World

beforeAll(async () => {
  world = await World.start({ witnesses: NAMES, limits: { placementSeconds: 6, answerSeconds: 5, witnessSeconds: 2 } })
})
afterAll(() => world?.close())

const stop = (...names: readonly string[]): Promise<unknown> =>
  Promise.all(names.map((name) => world.witness(name).service.stop('SIGKILL')))
const start = (...names: readonly string[]): Promise<unknown> => Promise.all(names.map((name) => world.witness(name).service.start()))

function outcomeOf(report: JobReport): string {
  return report.receipt.statement.predicate.outcome.kind
}

/** Names of the witnesses that cosigned the ending of a job, sorted. */
function cosigners({ receipt }: JobReport): readonly string[] {
  const { signatures } = parseCheckpoint(receipt.file.log.ending.checkpoint).note
  return signatures
    .map((s) => s.name)
    .filter((name) => name.endsWith('.example'))
    .sort()
}

async function verifyByCommand(report: JobReport, trust: string): Promise<number | null> {
  const file = world.path('receipt.json')
  writeFileSync(file, report.receipt.bytes)
  return (await sealgate(['receipt', 'verify', file, '--trust', trust])).exitCode
}

describe('a log with three witnesses, and a policy that demands two', () => {
  it('lets a job through, and its receipt verifies for whoever trusts the witnesses', async () => {
    const report = await world.runJob()
    expect(outcomeOf(report)).toBe('succeeded')
    expect(cosigners(report).length).toBeGreaterThanOrEqual(2)
    expect(await verifyByCommand(report, world.path('owner', 'trust.json'))).toBe(0)
    const trust = parseTrustFile(new Uint8Array(readFileSync(world.path('owner', 'trust.json'))))
    writeFileSync(world.path('no-witnesses.json'), encodeTrustFile({ ...trust, witnesses: [] }))
    expect(await verifyByCommand(report, world.path('no-witnesses.json'))).toBe(5)
  })

  it('shows the cosignatures in its newest checkpoint', async () => {
    const { exitCode, stdout } = await sealgate(['log', 'checkpoint', '--folder', world.path('owner')])
    expect(exitCode).toBe(0)
    expect(parseCheckpoint(stdout).size).toBeGreaterThan(0)
  })

  it('does without one that was killed', async () => {
    await stop(W3)
    try {
      const report = await world.runJob()
      expect(outcomeOf(report)).toBe('succeeded')
      expect(cosigners(report)).toEqual([W1, W2])
      expect(await verifyByCommand(report, world.path('owner', 'trust.json'))).toBe(0)
    } finally {
      await start(W3)
    }
  })

  it('waits in the middle of a job when two are dead, and goes on with the same entry when one is back', async () => {
    const before = (await world.client.leaves(0, 1000)).length
    let back: Promise<unknown> | null = null
    const report = await world.runJob({
      signal: AbortSignal.timeout(60_000),
      onEvent: (event) => {
        if (event.kind !== 'attested') return
        // The intent is logged meanwhile; its cosignatures come when one is back.
        back = stop(W2, W3).then(async () => {
          await new Promise((resolve) => setTimeout(resolve, 1500))
          await start(W2)
        })
      },
    })
    await back
    expect(outcomeOf(report)).toBe('succeeded')
    expect(cosigners(report)).toEqual([W1, W2])
    const leaves = (await world.client.leaves(0, 1000))
      .slice(before)
      .map((leaf) => (JSON.parse(Buffer.from(leaf).toString()) as { type: string }).type)
    expect(leaves.filter((type) => type === 'release')).toHaveLength(1)
    await start(W3)
  })

  it('takes no job on while two are dead, says whom it misses, and recovers', async () => {
    await stop(W1, W2)
    // The log grows by an entry about the host, so that no earlier cosignatures are as good.
    await world.host.stop()
    await world.host.start()
    await world.attested()
    const states: string[] = []
    const job = world.runJob({
      signal: AbortSignal.timeout(60_000),
      onEvent: (event) => {
        if (event.kind === 'state') states.push(`${event.job.state}: ${event.job.transitions.at(-1)?.reason ?? ''}`)
        if (event.kind === 'state' && event.job.state === 'refused') void start(W1)
      },
    })
    const report = await job
    expect(outcomeOf(report)).toBe('refused')
    expect(states.at(-1)).toMatch(/refused: .*want 2 of 3 witnesses, 1 cosigned; missing: .*w1\.example \(.*w2\.example \(/)
    expect(await verifyByCommand(report, world.path('owner', 'trust.json'))).toBe(0)
    await start(W2)
    await world.attested()
    expect(outcomeOf(await world.runJob())).toBe('succeeded')
  })

  it('takes no harm from one that signs anything, under a key of its own', async () => {
    await stop(W1)
    const [host = '', port] = world.witness(W1).address.split(':')
    let asked = 0
    const liar = createServer((request, response) => {
      asked++
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const { note } = parseAddCheckpoint(new Uint8Array(Buffer.concat(chunks)))
        void cosign(note, noteSigner(W1), 1).then((cosigned) => response.end(cosigned.slice(note.length)))
      })
    })
    await new Promise<void>((resolve) => liar.listen(Number(port), host, resolve))
    try {
      const report = await world.runJob()
      expect(outcomeOf(report)).toBe('succeeded')
      expect(cosigners(report)).toEqual([W2, W3])
      expect(asked).toBeGreaterThan(0)
    } finally {
      liar.closeAllConnections()
      await new Promise((resolve) => liar.close(resolve))
      await start(W1)
    }
  })
})

describe('a gateway with two histories', () => {
  it('gets cosignatures for one of them: the other is not served, and no job opens data under it', async () => {
    await world.gateway.stop()
    cpSync(world.path('gw', 'data'), world.path('gw-data-copy'), { recursive: true })
    cpSync(world.path('gw', 'log.head'), world.path('gw-head-copy'))
    await world.gateway.start()
    await world.attested()
    expect(outcomeOf(await world.runJob())).toBe('succeeded')

    // The same keys, another history.
    await world.gateway.stop()
    cpSync(world.path('gw', 'data'), world.path('gw-data-honest'), { recursive: true })
    cpSync(world.path('gw', 'log.head'), world.path('gw-head-honest'))
    rmSync(world.path('gw', 'data'), { recursive: true })
    cpSync(world.path('gw-data-copy'), world.path('gw', 'data'), { recursive: true })
    // Together with the head file: else the gateway finds it out by itself.
    cpSync(world.path('gw-head-copy'), world.path('gw', 'log.head'))
    await expect(world.gateway.start()).rejects.toThrow('did not start')
    await expect.poll(() => world.gateway.log).toMatch(/rolled back or replaced: w\d\.example has cosigned \d+ entries/)

    // It may start when nobody tells; then it goes on alone.
    await stop(...NAMES)
    await world.gateway.start()
    await start(...NAMES)
    await world.attested()
    const refused = world.runJob({ signal: AbortSignal.timeout(12_000) })
    await expect(refused).rejects.toMatchObject({ code: expect.stringMatching(/^(WITNESS_QUORUM|CANCELLED)$/) })
    expect(world.gateway.log).toContain('a witness holds against this log')

    await world.gateway.stop()
    rmSync(world.path('gw', 'data'), { recursive: true })
    cpSync(world.path('gw-data-honest'), world.path('gw', 'data'), { recursive: true })
    cpSync(world.path('gw-head-honest'), world.path('gw', 'log.head'))
    await world.gateway.start()
    await world.attested()
    expect(outcomeOf(await world.runJob())).toBe('succeeded')
  })
})
