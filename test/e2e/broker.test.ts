import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toBase64Url, toHex } from '../../src/verify/bytes/bytes.ts'
import { type Ended, sealgate, sealgateJson } from '../support/processes.ts'
import { PURPOSE, World } from '../support/processes-world.ts'

let world: World
let broker: string
let grant: string

const at = (name: string): string => world.path(name)
const create = (...args: readonly string[]): Promise<{ readonly grantId: string; readonly grant: { readonly release: string } }> =>
  sealgateJson([
    'grant',
    'create',
    '--dataset',
    world.dataset,
    '--image',
    'tabular-inference',
    '--purpose',
    PURPOSE,
    '--folder',
    at('owner'),
    ...args,
  ])
const entrust = (out: string, of = grant, to = at('kb/broker.json')): Promise<Ended> =>
  sealgate(['dataset', 'entrust', '--grant', of, '--broker', to, '--out', at(out), '--folder', at('owner')])

beforeAll(async () => {
  world = await World.start()
  writeFileSync(at('passphrase'), 'correct horse battery staple\n')
  for (const name of ['kb', 'kb2']) {
    await sealgateJson(['ca', 'issue', '--gateway', at('gw'), '--role', 'client', '--name', name, '--out', at(name)])
    await sealgateJson(['init', at(name), '--role', 'broker', '--trust', at('gw/trust.json'), '--passphrase-file', at('passphrase')])
  }
  broker = (await sealgateJson<{ broker: string }>(['keys', 'show', at('kb')])).broker
  const made = await create('--broker', at('kb/broker.json'))
  expect(made.grant.release).toBe(`brokered:${broker}`)
  grant = made.grantId
  expect((await create('--broker', broker)).grant.release).toBe(`brokered:${broker}`)
})
afterAll(() => world?.close())

describe('an owner and a broker, by their commands', () => {
  it('hand keys over, and the broker keeps them', async () => {
    expect((await entrust('alice.entrusted')).exitCode).toBe(0)
    const refused = await sealgate(['broker', 'accept', at('alice.entrusted'), '--folder', at('kb')])
    expect([refused.exitCode, refused.stderr]).toEqual([5, expect.stringContaining('SIGNER_UNKNOWN')])
    await sealgateJson(['trust', 'add', at('kb'), '--owner', world.owner.grantThumbprint])
    const accepted = await sealgateJson(['broker', 'accept', at('alice.entrusted'), '--folder', at('kb')])
    expect(accepted).toEqual({ grant, owner: world.owner.grantThumbprint, datasets: [world.dataset] })
    expect(await sealgateJson(['broker', 'show', at('kb')])).toMatchObject({ broker, datasets: [world.dataset], grants: [{ grant }] })
  })

  it('leave no key in clear, in the file or in the folder', async () => {
    const keys = [(await world.owner.keyring.datasetKey(world.dataset)).expose(), (await world.owner.keyring.grant(grant)).useKey.expose()]
    const files = readdirSync(at('kb'), { recursive: true, withFileTypes: true }).filter((e) => e.isFile())
    const texts = [at('alice.entrusted'), ...files.map((e) => join(e.parentPath, e.name))].map((path) => readFileSync(path, 'latin1'))
    for (const key of keys) {
      for (const spelling of [toHex(key), toBase64Url(key), Buffer.from(key).toString('base64'), Buffer.from(key).toString('latin1')]) {
        expect(texts.some((text) => text.includes(spelling))).toBe(false)
      }
    }
  })

  it('cannot entrust under a grant for another broker, nor under one that the owner releases', async () => {
    const direct = await create()
    for (const [of, to] of [
      [grant, at('kb2/broker.json')],
      [direct.grantId, at('kb/broker.json')],
    ] as const) {
      const { exitCode, stderr } = await entrust('no.entrusted', of, to)
      expect([exitCode, stderr]).toEqual([5, expect.stringContaining('GRANT_DENIED')])
    }
  })

  it('rotate, and the old copy of the store opens no more', async () => {
    const rotated = await sealgateJson(['broker', 'rotate', at('kb'), '--destroy-old'])
    expect(rotated).toMatchObject({ epoch: 2, rewrapped: 4, destroyed: [{ epoch: 1, destruction: { kind: 'done' } }] })
    expect(readdirSync(at('kb/keks'))).toHaveLength(1)
    expect(await sealgateJson(['broker', 'show', at('kb')])).toMatchObject({ epochs: [{ epoch: 2, keys: 4 }] })
  })

  it('take a grant back, for good', async () => {
    await sealgateJson(['grant', 'revoke', grant, '--out', at('alice.revocation'), '--folder', at('owner')])
    expect(await sealgateJson(['broker', 'revoke', at('alice.revocation'), '--folder', at('kb')])).toMatchObject({
      grant,
      datasets: [world.dataset],
    })
    const again = await sealgate(['broker', 'accept', at('alice.entrusted'), '--folder', at('kb')])
    expect([again.exitCode, again.stderr]).toEqual([5, expect.stringContaining('GRANT_DENIED')])
    expect((await entrust('again.entrusted')).exitCode).toBe(5)
    expect(await sealgateJson(['broker', 'show', at('kb')])).toMatchObject({ grants: [], datasets: [], revoked: 1 })
  })
})
