import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { issueFlattenedJws } from '../../src/seal/index.ts'
import { encodeRevocation, REVOCATION_TYP } from '../../src/verify/documents/grant.ts'
import { type Ended, Service, sealgate, sealgateJson } from '../support/processes.ts'
import { PURPOSE, World } from '../support/processes-world.ts'

let world: World
let service: Service
let broker: string
let grant: string

const at = (name: string): string => world.path(name)
const run = (...more: readonly string[]): Promise<Ended> => {
  const job = ['--image', 'tabular-inference', '--runner', 'wasm', '--input', `data.csv=${world.dataset}`, '--purpose', PURPOSE]
  return sealgate(['run', '--folder', at('owner'), ...job, '--grant', grant, '--json', ...more], { timeoutMs: 20_000 })
}

beforeAll(async () => {
  world = await World.start({ limits: { releaseSeconds: 20 } })
  writeFileSync(at('passphrase'), 'correct horse battery staple\n')
  await sealgateJson(['ca', 'issue', '--gateway', at('gw'), '--role', 'client', '--name', 'kb', '--out', at('kb')])
  await sealgateJson(['init', at('kb'), '--role', 'broker', '--trust', at('owner/trust.json'), '--passphrase-file', at('passphrase')])
  broker = (await sealgateJson<{ broker: string }>(['keys', 'show', at('kb')])).broker
  const terms = ['--dataset', world.dataset, '--image', `wasm:${world.image.digest}`, '--purpose', PURPOSE, '--uses', '5']
  const made = await sealgateJson<{ grantId: string }>([
    'grant',
    'create',
    ...terms,
    '--broker',
    at('kb/broker.json'),
    '--folder',
    at('owner'),
  ])
  grant = made.grantId
  const entrust = ['dataset', 'entrust', '--grant', grant, '--broker', at('kb/broker.json'), '--out', at('alice.entrusted')]
  await sealgateJson([...entrust, '--folder', at('owner')])
  await sealgateJson(['broker', 'accept', at('alice.entrusted'), '--folder', at('kb')])
  service = new Service(['broker', 'start', at('kb')], world.path('broker.log'))
}, 120_000)
afterAll(async () => {
  await service?.stop('SIGKILL')
  await world?.close()
})

interface Shown {
  readonly decision: string
  readonly claims: { readonly releases: readonly { readonly releaser: string; readonly datasets: readonly string[] }[] }
}

describe('a broker that runs', () => {
  it('releases to a job that its grants allow, and the receipt names it', async () => {
    await service.start()
    const ran = await run('--receipt', at('receipt.json'))
    expect({ exitCode: ran.exitCode, stderr: ran.stderr }).toMatchObject({ exitCode: 0 })
    expect(JSON.parse(ran.stdout)).toMatchObject({ outcome: { kind: 'succeeded' } })
    const shown = await sealgate(['receipt', 'verify', at('receipt.json'), '--trust', at('owner/trust.json'), '--json'])
    const { decision, claims } = JSON.parse(shown.stdout) as Shown
    expect([shown.exitCode, decision]).toEqual([0, 'accept'])
    expect(claims.releases).toMatchObject([{ releaser: broker, datasets: [world.dataset] }])
    expect(await sealgateJson(['broker', 'show', at('kb')])).toMatchObject({ grants: [{ grant, slotsUsed: 1, uses: 5 }] })
  }, 120_000)

  it('keeps a second one away from its folder', async () => {
    const second = await sealgate(['broker', 'start', at('kb'), '--once'])
    expect([second.exitCode, second.stderr]).toEqual([1, expect.stringContaining('STORE_LOCKED')])
  })

  it('goes on while its keys are rotated, and the old ones destroyed', async () => {
    await sealgateJson(['broker', 'rotate', at('kb'), '--destroy-old'])
    expect(await run('--receipt', at('rotated.json'))).toMatchObject({ exitCode: 0 })
    expect(await sealgateJson(['broker', 'show', at('kb')])).toMatchObject({ grants: [{ slotsUsed: 2 }], epochs: [{ epoch: 2 }] })
  }, 120_000)

  it('releases nothing under a grant that was revoked at the broker, whatever the gateway knows', async () => {
    // Neither the gateway nor the submitter's folder hears of it.
    const revocation = encodeRevocation({ v: 1, grant, revokedAt: '2026-01-01T00:00:00Z', stopJobs: false })
    writeFileSync(at('alice.revocation'), await issueFlattenedJws(revocation, REVOCATION_TYP, world.owner.grantKey))
    await sealgateJson(['broker', 'revoke', at('alice.revocation'), '--folder', at('kb')])
    const waiting = await run('--receipt', at('refused.json'))
    expect({ exitCode: waiting.exitCode, stderr: waiting.stderr }).toMatchObject({ exitCode: null })
    expect(waiting.stderr).not.toContain('Release')
    expect(await sealgateJson(['broker', 'show', at('kb')])).toMatchObject({ grants: [], revoked: 1 })
  }, 120_000)
})
