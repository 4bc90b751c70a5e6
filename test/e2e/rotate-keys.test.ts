import { cpSync, writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Ended, sealgate, sealgateJson } from '../support/processes.ts'
import { World } from '../support/processes-world.ts'

let world: World

beforeAll(async () => {
  world = await World.start({
    witnesses: ['w1.example', 'w2.example', 'w3.example'],
    limits: { placementSeconds: 60, reconnectSeconds: 60 },
  })
})
afterAll(() => world?.close())

const verify = (receipt: Uint8Array, trust: string): Promise<Ended> => {
  writeFileSync(world.path('receipt.json'), receipt)
  return sealgate(['receipt', 'verify', world.path('receipt.json'), '--trust', trust])
}

async function queuedJob(): Promise<string> {
  for (let i = 0; i < 600; i++) {
    const waiting = (await world.client.listJobs()).find((j) => j.state === 'created')
    if (waiting !== undefined) return waiting.jobId
    await delay(50)
  }
  throw new Error('no job waits')
}

describe('a gateway whose keys are rotated while a job is queued', () => {
  it('finishes the job, and both receipts verify for who took in the succession', async () => {
    const [trust, before] = [world.path('owner', 'trust.json'), world.path('before.json')]
    cpSync(trust, before)
    const first = (await world.runJob()).receipt.bytes

    await world.host.stop()
    const ended = world.runJob({ signal: AbortSignal.timeout(90_000) }).then(
      () => 'accepted',
      (error: { readonly code?: string }) => error.code,
    )
    const jobId = await queuedJob()
    const running = await sealgate(['gateway', 'rotate-keys', world.path('gw')])
    expect(running).toMatchObject({ exitCode: 1, stdout: '' })
    expect(running.stderr).toMatch(/^sealgate: STORE_LOCKED: /)
    await world.gateway.stop()
    const { succession, from } = await sealgateJson<{ succession: string; from: string }>(['gateway', 'rotate-keys', world.path('gw')])
    await world.gateway.start()
    await world.host.start()
    // The trust file that the client went into the job with knows nothing of the new key.
    expect(await ended).toBe('SIGNER_UNKNOWN')
    const second = await world.client.receipt(jobId)

    await sealgateJson(['trust', 'add', trust, '--succession', succession])
    for (const receipt of [first, second]) expect(await verify(receipt, trust)).toMatchObject({ exitCode: 0 })
    expect(await verify(first, before)).toMatchObject({ exitCode: 0 })
    const refused = await verify(second, before)
    expect(refused.exitCode).toBe(5)
    expect(refused.stdout + refused.stderr).toMatch(/SIGNER_UNKNOWN: consistent, signers unknown: policy\.trusted-gateway/)
    expect((await world.runJob()).receipt.statement.predicate.outcome.kind).toBe('succeeded')

    // An auditor who learns that the old key was stolen before the first job.
    const auditor = world.path('auditor.json')
    cpSync(trust, auditor)
    await sealgateJson(['trust', 'retire', auditor, from, '--at', '2020-01-01T00:00:00Z', '--compromised'])
    const stolen = await verify(first, auditor)
    expect(stolen.exitCode).toBe(5)
    expect(stolen.stdout + stolen.stderr).toMatch(/KEY_COMPROMISED: .*somebody else may have signed this/)
    expect(await verify(second, auditor)).toMatchObject({ exitCode: 0 })
    const shown = await sealgate(['trust', 'show', auditor])
    expect(shown.stdout + shown.stderr).toMatch(/COMPROMISED +2020-01-01T00:00:00Z gateway/)
  })
})
