import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { filesHolding } from '../support/canary.ts'
import { type Ended, sealgate } from '../support/processes.ts'
import { PURPOSE, World } from '../support/processes-world.ts'

let world: World

beforeAll(async () => {
  world = await World.start({ witnesses: ['w1', 'w2', 'w3'] })
})
afterAll(() => world?.close())

const owner = (...args: readonly string[]): Promise<Ended> => sealgate([...args, '--folder', world.path('owner')])
const verify = (file: string): Promise<Ended> =>
  sealgate(['receipt', 'verify', world.path(file), '--trust', world.path('owner/trust.json'), '--json'])

async function json<T>(...args: readonly string[]): Promise<T> {
  const { exitCode, stdout, stderr } = await owner(...args, '--json')
  expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' })
  return JSON.parse(stdout) as T
}

interface Listed {
  readonly receipts: readonly { readonly jobId: string; readonly type: string; readonly logIndex: number }[]
}

describe('a dataset that its owner erases', () => {
  let wrapped: string
  let jobId: string

  it('has a job whose receipt somebody keeps', async () => {
    const run = ['run', '--image', 'tabular-inference', '--runner', 'wasm', '--input', `data.csv=${world.dataset}`, '--purpose', PURPOSE]
    expect(await owner(...run, '--out', world.path('out'), '--receipt', world.path('kept.json'))).toMatchObject({ exitCode: 0 })
    const { receipts } = await json<Listed>('receipt', 'list', '--type', 'execution')
    jobId = receipts[0]?.jobId ?? ''
    await json('receipt', 'fetch', jobId, '--out', world.path('job.sealgate-receipt.json'))
    expect((await verify('job.sealgate-receipt.json')).exitCode).toBe(0)
    expect((await owner('dataset', 'open', world.path('data.sealed'), '--out', world.path('before.csv'))).exitCode).toBe(0)
    const key = JSON.parse(readFileSync(world.path(`owner/keyring/dataset-${world.dataset}.json`), 'utf8')) as {
      wrapped: { ciphertext: string }
    }
    wrapped = key.wrapped.ciphertext
    cpSync(world.path('owner'), world.path('backup'), { recursive: true })
  })

  it('loses its key first: a gateway that is down can be told later', async () => {
    await world.gateway.stop()
    const { exitCode, stderr } = await owner('dataset', 'erase', world.dataset, '--reason', 'Art. 17 GDPR')
    expect(exitCode).toBe(1)
    expect(stderr).toContain('is destroyed')
    expect(stderr).not.toContain('Erased.')
    expect(filesHolding(world.path('owner'), [Buffer.from(wrapped)])).toEqual([])
    await world.gateway.start()
    await world.attested()
  })

  it('is erased, with a receipt that verifies offline', async () => {
    const told = await owner('dataset', 'erase', world.dataset, '--receipt', world.path('erased.sealgate-receipt.json'))
    expect(told.stderr).toContain('Erased.')
    expect(told.stderr).toContain('Backups and other copies of this folder still hold the key')
    expect(told.exitCode).toBe(0)
    const { exitCode, stdout } = await verify('erased.sealgate-receipt.json')
    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      decision: 'accept',
      claims: {
        type: 'erasure',
        dataset: world.dataset,
        reason: 'Art. 17 GDPR',
        log: { witnesses: '2 of 3' },
        destroyed: { jobs: 1, results: 1, grants: 1, openings: 2 },
      },
    })
    expect((await sealgate(['receipt', 'verify', world.path('erased.sealgate-receipt.json')])).exitCode).toBe(5)
    expect((await sealgate(['receipt', 'show', world.path('erased.sealgate-receipt.json')])).stderr).toContain(
      `erased       dataset ${world.dataset}`,
    )
  })

  it('is erased once, however often that is asked', async () => {
    const [first, second] = await Promise.all([1, 2].map(() => json<{ logIndex: number }>('dataset', 'erase', world.dataset)))
    expect(first?.logIndex).toBe(second?.logIndex)
    expect((await json<Listed>('receipt', 'list', '--type', 'erasure')).receipts).toHaveLength(1)
  })

  it('is opened, pushed, granted and run no more, also not from a backup that has the key', async () => {
    const run = ['run', '--image', 'tabular-inference', '--runner', 'wasm', '--input', `data.csv=${world.dataset}`, '--purpose', PURPOSE]
    for (const args of [
      ['dataset', 'open', world.path('data.sealed'), '--out', world.path('after.csv')],
      ['dataset', 'push', world.path('data.sealed')],
      [...run, '--out', world.path('out2'), '--receipt', world.path('none.json')],
    ]) {
      const { exitCode, stderr } = await owner(...args)
      expect([args[0], exitCode, stderr.includes('DATASET_ERASED')]).toEqual([args[0], 5, true])
    }
    expect(existsSync(world.path('after.csv'))).toBe(false)
    const push = await sealgate(['dataset', 'push', world.path('data.sealed'), '--folder', world.path('backup')])
    expect([push.exitCode, push.stderr.includes('DATASET_ERASED')]).toEqual([5, true])
    const { erased, datasets } = await json<{ erased: readonly object[]; datasets: readonly object[] }>('dataset', 'list')
    expect([erased.length, datasets.length]).toEqual([1, 0])
    expect(readdirSync(world.path('gw/data/blobs'))).toEqual([])
  })

  it('leaves the receipt of its job as good as it was, and the gateway without it', async () => {
    expect((await verify('job.sealgate-receipt.json')).exitCode).toBe(0)
    const { exitCode, stderr } = await owner('receipt', 'fetch', jobId, '--out', world.path('again.json'))
    expect([exitCode, stderr.includes('DATASET_ERASED')]).toEqual([5, true])
  })

  it('leaves the log whole: watch and verify find nothing, witnesses go on, doctor and the next start are content', async () => {
    expect((await owner('log', 'watch', '--once')).exitCode).toBe(0)
    expect((await owner('log', 'verify')).exitCode).toBe(0)
    const { receipts } = await json<Listed>('receipt', 'list', '--type', 'onboard')
    await json('receipt', 'fetch', String(receipts[0]?.logIndex), '--out', world.path('host.sealgate-receipt.json'))
    const { exitCode, stdout } = await verify('host.sealgate-receipt.json')
    expect({ exitCode, verdict: JSON.parse(stdout) as object }).toMatchObject({
      exitCode: 0,
      verdict: { claims: { type: 'onboard', simulated: true } },
    })
    await world.gateway.stop()
    expect((await sealgate(['gateway', 'doctor', world.path('gw')])).exitCode).toBe(0)
    await world.gateway.start()
    await world.attested()
    expect((await owner('log', 'verify')).exitCode).toBe(0)
  })
})
