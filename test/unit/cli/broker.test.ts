import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attachRuntime, type Runtime } from '../../../src/cli/action.ts'
import { register as registerBroker } from '../../../src/cli/commands/broker.ts'
import { register as registerCa } from '../../../src/cli/commands/ca.ts'
import { register as registerInit } from '../../../src/cli/commands/init.ts'
import { register as registerKeys } from '../../../src/cli/commands/keys.ts'
import { register as registerTrust } from '../../../src/cli/commands/trust.ts'
import { createOutput } from '../../../src/cli/output.ts'
import { type EntrustableGrant, entrust, loadOwner, type Owner, parseBrokerFile, revokeGrant } from '../../../src/client/index.ts'
import { lockFolder } from '../../../src/witness/folder-lock.ts'
import { T0 } from '../../support/job-documents.ts'
import { KMS_TOKEN, TestKms } from '../../support/kms-server.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { hasSoftHsm, makeToken, SOFTHSM_MODULE, TOKEN_LABEL } from '../../support/softhsm.ts'
import { keepDataset, keepGrant } from '../broker/support.ts'

const hasToken = hasSoftHsm()
const token = hasToken ? makeToken() : null
const root = mkdtempSync(join(tmpdir(), 'sealgate-broker-cli-'))
const at = (...names: readonly string[]): string => join(root, ...names)
let kms: TestKms
let owner: Owner

async function run(...args: readonly string[]): Promise<Record<string, unknown>> {
  const stdout: string[] = []
  const streams = { stdout: { write: (t: string) => stdout.push(t) }, stderr: { write: () => undefined }, env: {} }
  const program = new Command().exitOverride()
  for (const register of [registerBroker, registerCa, registerInit, registerKeys, registerTrust]) register(program)
  const runtime: Runtime = { streams, signal: new AbortController().signal, exitCode: 0, output: createOutput(streams, true) }
  attachRuntime(program, runtime)
  await program.parseAsync([...args, '--json'], { from: 'user' })
  return JSON.parse(stdout.join('')) as Record<string, unknown>
}

beforeAll(async () => {
  kms = await TestKms.start()
  await run('init', at('gw'), '--role', 'gateway', '--name', 'clinic')
  await run('ca', 'issue', '--gateway', at('gw'), '--role', 'client', '--name', 'alice', '--out', at('alice'))
  await run('init', at('alice'), '--role', 'owner', '--trust', at('gw', 'trust.json'))
  owner = await loadOwner(at('alice'))
  writeFileSync(at('passphrase'), 'correct horse battery staple\n')
  writeFileSync(at('short'), 'secret\n')
  writeFileSync(at('token'), `${KMS_TOKEN}\n`)
  writeFileSync(at('kms-ca.pem'), kms.ca)
  writeFileSync(at('kms.crt'), kms.client.cert)
  writeFileSync(at('kms.key'), kms.client.key)
  const config = (name: string, value: object): void => writeFileSync(at(name), JSON.stringify({ v: 1, ...value }))
  config('token.json', { kind: 'pkcs11', module: SOFTHSM_MODULE, token: TOKEN_LABEL, pinFile: token?.pinFile ?? '/nowhere' })
  config('kms.json', {
    kind: 'kms',
    url: kms.url,
    caFile: at('kms-ca.pem'),
    certFile: at('kms.crt'),
    keyFile: at('kms.key'),
    tokenFile: at('token'),
  })
})
afterAll(async () => {
  await kms.stop()
  token?.end()
  rmSync(root, { recursive: true })
})

async function makeBroker(name: string, ...keyStore: readonly string[]): Promise<string> {
  await run('ca', 'issue', '--gateway', at('gw'), '--role', 'client', '--name', name, '--out', at(name))
  const { broker } = await run('init', at(name), '--role', 'broker', '--trust', at('gw', 'trust.json'), ...keyStore)
  await run('trust', 'add', at(name), '--owner', owner.grantThumbprint)
  return broker as string
}

/** Entrusts a dataset of the owner to a broker, up to the file. */
async function entrusted(
  name: string,
  broker: string,
): Promise<{ readonly file: string; readonly own: EntrustableGrant; readonly dataset: string }> {
  const { digest: dataset } = await keepDataset(owner)
  const far = { notBefore: '2026-01-01T00:00:00Z', expires: '2099-01-01T00:00:00Z' }
  const own = await keepGrant(owner, broker, [dataset], far)
  const file = at(`${own.grantId}.entrusted`)
  const description = await parseBrokerFile(new Uint8Array(readFileSync(at(name, 'broker.json'))))
  writeFileSync(file, await entrust(owner, description, own, [], T0))
  return { file, own, dataset }
}

const stores = [
  ['kb-file', () => ['--passphrase-file', at('passphrase')], false],
  ['kb-token', () => ['--key-store', at('token.json')], !hasToken],
  ['kb-kms', () => ['--key-store', at('kms.json')], false],
] as const

describe.each(stores.filter(([, , skip]) => !skip))('a broker (%s)', (name, keyStore) => {
  let broker = ''
  beforeAll(async () => {
    broker = await makeBroker(name, ...keyStore())
  })

  it('is known by one thumbprint and keeps no secret in the open', async () => {
    expect(await run('keys', 'show', at(name))).toMatchObject({ broker })
    const files = readdirSync(at(name), { recursive: true, withFileTypes: true }).filter((e) => e.isFile())
    for (const entry of files) {
      const path = join(entry.parentPath, entry.name)
      if (entry.parentPath !== at(name)) expect(statSync(path).mode & 0o077).toBe(0)
      const text = readFileSync(path, 'utf8')
      for (const secret of ['correct horse', KMS_TOKEN, '849301', '"d":', '"privateKey"']) expect(text.includes(secret)).toBe(false)
    }
  })

  it('accepts, shows, rotates, revokes and withdraws', async () => {
    const [first, second] = [await entrusted(name, broker), await entrusted(name, broker)]
    for (const { file, own, dataset } of [first, second]) {
      expect(await run('broker', 'accept', file, '--folder', at(name))).toEqual({
        grant: own.grantId,
        owner: owner.grantThumbprint,
        datasets: [dataset],
      })
    }
    const shown = await run('broker', 'show', at(name))
    expect(shown).toMatchObject({ broker, revoked: 0, epochs: [{ epoch: 1, keys: 6 }] })
    expect((shown.grants as { grant: string }[]).map((g) => g.grant).sort()).toEqual([first, second].map((e) => e.own.grantId).sort())

    expect(await run('broker', 'rotate', at(name))).toMatchObject({ epoch: 2, rewrapped: 6, resumed: false, destroyed: [] })
    expect(await run('broker', 'show', at(name))).toMatchObject({
      epochs: [
        { epoch: 1, keys: 0 },
        { epoch: 2, keys: 6 },
      ],
    })
    const { destroyed } = await run('broker', 'rotate', at(name), '--destroy-old')
    expect((destroyed as { epoch: number }[]).map((d) => d.epoch)).toEqual([1, 2])
    expect(await run('broker', 'show', at(name))).toMatchObject({ epochs: [{ epoch: 3, keys: 6 }] })

    writeFileSync(at('revocation'), await revokeGrant(owner, first.own.grantId, false, T0))
    expect(await run('broker', 'revoke', at('revocation'), '--folder', at(name))).toMatchObject({ datasets: [first.dataset] })
    expect(await outcomeOf(() => run('broker', 'accept', first.file, '--folder', at(name)))).toBe('GRANT_DENIED')
    await run('broker', 'withdraw', '--dataset', second.dataset, '--folder', at(name))
    await run('broker', 'withdraw', '--grant', second.own.grantId, '--folder', at(name))
    expect(await run('broker', 'show', at(name))).toMatchObject({ revoked: 1, grants: [], datasets: [], epochs: [{ keys: 2 }] })
    const events = readFileSync(at(name, 'audit.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { event: string }).event)
    expect(events).toEqual([
      ...['accept', 'accept', 'rotate', 'rotate', 'destroy-kek', 'destroy-kek', 'revoke', 'withdraw-dataset', 'withdraw-grant'],
    ])
  })
})

describe('a broker folder', () => {
  beforeAll(async () => {
    await makeBroker('kb', '--passphrase-file', at('passphrase'))
  })

  it('is changed by one command at a time', async () => {
    const unlock = await lockFolder(at('kb'), 'broker-command')
    expect(await outcomeOf(() => run('broker', 'rotate', at('kb')))).toBe('STORE_LOCKED')
    expect(await outcomeOf(() => run('broker', 'show', at('kb')))).toBe('accepted')
    unlock()
    expect(await outcomeOf(() => run('broker', 'rotate', at('kb')))).toBe('accepted')
  })

  it('is not left out of a backup in silence', async () => {
    const backup = ['keys', 'backup', at('kb'), '--out', at('kb.backup'), '--passphrase-file', at('passphrase')]
    expect(await outcomeOf(() => run(...backup))).toBe('USAGE')
  })

  it('does not open under another passphrase', async () => {
    const text = readFileSync(at('passphrase'))
    writeFileSync(at('passphrase'), 'another passphrase\n')
    expect(await outcomeOf(() => run('broker', 'rotate', at('kb')))).toBe('KEYSTORE_DENIED')
    expect(await run('broker', 'show', at('kb'))).toMatchObject({ epochs: [{ epoch: 1 }, { epoch: 2 }] })
    writeFileSync(at('passphrase'), text)
    // Nor did it begin a new epoch under the wrong one.
    expect(await outcomeOf(() => run('broker', 'rotate', at('kb')))).toBe('accepted')
  })

  it('is made once, and with one key store', async () => {
    const init = (...args: readonly string[]): Promise<unknown> =>
      run('init', at('kb'), '--role', 'broker', '--trust', at('gw', 'trust.json'), ...args)
    expect(await outcomeOf(() => init('--passphrase-file', at('passphrase')))).toBe('ALREADY_EXISTS')
    expect(await outcomeOf(() => init())).toBe('USAGE')
    expect(await outcomeOf(() => init('--passphrase-file', at('passphrase'), '--key-store', at('kms.json')))).toBe('USAGE')
  })

  it.each([
    ['a short passphrase', 'USAGE', { kind: 'file', passphraseFile: 'short' }],
    ['a key file that holds no key', 'USAGE', { kind: 'file', keyFile: 'short' }],
    ['a key file that is not there', 'FILE_UNREADABLE', { kind: 'file', keyFile: 'nowhere' }],
    ['a KMS without TLS', 'USAGE', { kind: 'kms', url: 'http://kms.example', tokenFile: 'token' }],
    ['a KMS that does not know who asks', 'USAGE', { kind: 'kms', url: 'https://kms.example' }],
    ['half of a client identity', 'USAGE', { kind: 'kms', url: 'https://kms.example', certFile: 'kms.crt' }],
    ['a token of no module', 'KEYSTORE_UNAVAILABLE', { kind: 'pkcs11', module: '/nowhere.so', token: 'x', pinFile: 'short' }],
    ['a kind that there is none of', 'DOCUMENT_INVALID', { kind: 'sticky-note' }],
    ['a secret in the configuration', 'DOCUMENT_INVALID', { kind: 'file', passphrase: 'correct horse battery' }],
  ])('is not made with %s', async (what, code, value) => {
    const name = `no-${what.replaceAll(' ', '-')}`
    await run('ca', 'issue', '--gateway', at('gw'), '--role', 'client', '--name', 'x', '--out', at(name))
    const paths = Object.entries(value).map(([k, v]) => [k, k.endsWith('File') ? at(v) : v])
    writeFileSync(at('bad.json'), JSON.stringify({ v: 1, ...(Object.fromEntries(paths) as object) }))
    expect(
      await outcomeOf(() => run('init', at(name), '--role', 'broker', '--trust', at('gw', 'trust.json'), '--key-store', at('bad.json'))),
    ).toBe(code)
  })
})
