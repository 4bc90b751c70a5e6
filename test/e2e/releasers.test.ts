import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createIdentityFolder } from '../../src/cli/folders/identity-folder.ts'
import { createOwner } from '../../src/cli/folders/owner-folder.ts'
import { addTrust } from '../../src/cli/folders/trust.ts'
import { Client, type Owner } from '../../src/client/index.ts'
import { type Ended, type RunOptions, Service, sealgate, sealgateJson } from '../support/processes.ts'
import { PURPOSE, World } from '../support/processes-world.ts'

let world: World
let bob: Owner
let carol: Owner
/** Another dataset of the same table, of another owner. */
let extra: string
let grants: { alice: string; bob: string }
const watches: Service[] = []

const folder = (name: string): string => world.path(name)
const command = <T>(name: string, ...args: readonly string[]): Promise<T> => sealgateJson<T>([...args, '--folder', folder(name)])

async function person(name: string): Promise<Owner> {
  await createIdentityFolder({ gateway: folder('gw'), folder: folder(name), role: 'client', name, rsa: false, at: new Date() })
  const suite = 'MLKEM768-X25519,HKDF-SHA256,AES-256-GCM' as const
  return createOwner({ folder: folder(name), trust: join(folder('owner'), 'trust.json'), suite })
}

async function grant(name: string, dataset: string, ...more: readonly string[]): Promise<string> {
  const terms = ['--dataset', dataset, '--image', `wasm:${world.image.digest}`, '--purpose', PURPOSE, '--uses', '20']
  const named = ['--submitter', carol.submitThumbprint, '--recipient', carol.recipientDigest]
  const { grantId } = await command<{ grantId: string }>(name, 'grant', 'create', ...terms, ...named, ...more)
  return grantId
}

function job(...more: readonly string[]): readonly string[] {
  const inputs = ['--input', `data.csv=${world.dataset}`, '--input', `extra.csv=${extra}`]
  return ['run', '--folder', folder('carol'), '--image', 'tabular-inference', '--runner', 'wasm', ...inputs, '--purpose', PURPOSE, ...more]
}

const run = (args: readonly string[], options: RunOptions = {}): Promise<Ended> => sealgate(args, { cwd: world.root, ...options })

async function watch(name: string): Promise<Service> {
  const service = new Service(['release', 'watch', '--folder', folder(name)], world.path(`${name}-watch.log`))
  await service.start()
  watches.push(service)
  return service
}

beforeAll(async () => {
  world = await World.start({ limits: { releaseSeconds: 20 } })
  bob = await person('bob')
  carol = await person('carol')
  await addTrust(folder('carol'), { from: null, simulatedRoots: [], owners: [bob.grantThumbprint] })
  copyFileSync(join(folder('owner'), 'policy.json'), join(folder('bob'), 'policy.json'))
  writeFileSync(world.path('extra.csv'), 'id,note\n1,of another hospital\n')
  const sealed = world.path('extra.sealed')
  await command('bob', 'dataset', 'seal', world.path('extra.csv'), '--out', sealed, '--purpose', PURPOSE)
  extra = (await command<{ dataset: string }>('bob', 'dataset', 'push', sealed)).dataset
  grants = { alice: await grant('owner', world.dataset), bob: await grant('bob', extra) }
}, 120_000)
afterAll(async () => {
  await Promise.all(watches.map((service) => service.stop('SIGKILL')))
  await world?.close()
})

describe('a submitter who owns nothing, with the data of two owners', () => {
  it('sees neither grants nor headers before proving a key, and nobody whom no grant names ever does', async () => {
    await person('mallory')
    const client = await Client.connect(folder('mallory'))
    try {
      await expect(client.getBlob(extra)).rejects.toMatchObject({ code: 'NOT_FOUND' })
      await expect(client.getGrant(grants.bob)).rejects.toMatchObject({ code: 'NOT_FOUND' })
      expect(await client.listGrants()).toEqual([])
      expect(await client.listReleases()).toEqual([])
    } finally {
      client.close()
    }
  })

  it('gets results when both release, and a receipt that verifies offline and names both', async () => {
    await watch('owner')
    await watch('bob')
    const ended = await run(job('--out', 'results', '--receipt', 'receipt.json', '--json'), { timeoutMs: 90_000 })
    expect(ended.stderr + ended.stdout).toContain('succeeded')
    expect(ended.exitCode).toBe(0)
    const verified = await run(['receipt', 'verify', 'receipt.json', '--trust', join(folder('carol'), 'trust.json'), '--json'])
    expect(verified.exitCode).toBe(0)
    const { claims } = JSON.parse(verified.stdout) as {
      claims: { releases: { releaser: string; datasets: string[] }[]; submitter: string }
    }
    expect(claims.submitter).toBe(carol.submitThumbprint)
    expect(new Map(claims.releases.map((r) => [r.releaser, r.datasets]))).toEqual(
      new Map([
        [world.owner.grantThumbprint, [world.dataset]],
        [bob.grantThumbprint, [extra]],
      ]),
    )
    // Whom the trust file does not name nobody vouches for.
    const alone = await run(['receipt', 'verify', 'receipt.json', '--trust', join(folder('owner'), 'trust.json'), '--json'])
    expect(alone.exitCode).toBe(5)
  }, 120_000)

  it('both owners find no release in the log that they did not make, and every release ended', async () => {
    for (const name of ['owner', 'bob']) {
      const ended = await run(['log', 'watch', '--once', '--json', '--folder', folder(name)])
      expect(ended.exitCode).toBe(0)
      expect(JSON.parse(ended.stdout)).toMatchObject({ ownReleases: 1, findings: [], forks: [] })
    }
  })

  it('several jobs at once use a slot each', async () => {
    const ended = await Promise.all([1, 2].map((n) => run(job('--receipt', `many-${n}.json`, '--json'), { timeoutMs: 90_000 })))
    expect(ended.map((e) => e.exitCode)).toEqual([0, 0])
  }, 150_000)

  it('gets nothing when one owner does not release: what the other logged is ended by a refusal', async () => {
    await watches[1]?.stop('SIGTERM')
    const waiting = run(job('--receipt', 'alone.json', '--json'), { timeoutMs: 90_000 })
    // Bob joins, so that a host is asked, and is gone before the evidence comes.
    await run(['release', 'watch', '--json', '--folder', folder('bob')], {
      onStart: (child) => {
        child.stdout?.on('data', (chunk: Buffer) => {
          if (chunk.toString().includes('"joined"')) child.kill('SIGKILL')
        })
      },
    })
    const ended = await waiting
    expect(JSON.parse(ended.stdout)).toMatchObject({ outcome: { kind: 'refused', code: 'DEADLINE' }, results: null })
    expect((JSON.parse(ended.stdout) as { outcome: { reason: string } }).outcome.reason).toContain(`direct:${bob.grantThumbprint}`)
    const shown = await run(['receipt', 'verify', 'alone.json', '--trust', join(folder('carol'), 'trust.json'), '--json'])
    const { claims, decision } = JSON.parse(shown.stdout) as { decision: string; claims: { releases: { releaser: string }[] } }
    expect(decision).toBe('accept')
    expect(claims.releases.map((r) => r.releaser)).toEqual([world.owner.grantThumbprint])
    // A second start of bob's finds nothing that it could go on with, and nothing of alice's stays open in the log.
    const audit = await run(['log', 'watch', '--once', '--json', '--folder', folder('bob')])
    expect(JSON.parse(audit.stdout)).toMatchObject({ findings: [], forks: [] })
  }, 120_000)

  it('gets nothing when one owner has revoked, and is told so', async () => {
    await command('bob', 'grant', 'revoke', grants.bob)
    const ended = await run(job('--grant', grants.alice, '--grant', grants.bob))
    expect(ended.exitCode).toBe(5)
    expect(ended.stderr).toContain('GRANT_DENIED')
    // Nor are the datasets of a revoked grant described any more.
    const client = await Client.connect(folder('carol'))
    try {
      await expect(client.getBlob(extra)).rejects.toMatchObject({ code: 'NOT_FOUND' })
      expect((await client.getBlob(world.dataset)).blobId).toBe(world.dataset)
    } finally {
      client.close()
    }
  }, 60_000)
})
