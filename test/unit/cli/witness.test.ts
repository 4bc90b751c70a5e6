import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attachRuntime, type Runtime } from '../../../src/cli/action.ts'
import { register as registerGateway } from '../../../src/cli/commands/gateway.ts'
import { register as registerInit } from '../../../src/cli/commands/init.ts'
import { register as registerKeys } from '../../../src/cli/commands/keys.ts'
import { register as registerPolicy } from '../../../src/cli/commands/policy.ts'
import { register as registerTrust } from '../../../src/cli/commands/trust.ts'
import { createOutput } from '../../../src/cli/output.ts'
import { loadConfig } from '../../../src/gateway/index.ts'
import { parsePolicy } from '../../../src/verify/documents/policy.ts'
import { parseTrustFile } from '../../../src/verify/documents/trust.ts'
import { COSIGNATURE_ED25519, parseVerifierKey } from '../../../src/verify/tlog/index.ts'
import { startWitness, WITNESS_FILES } from '../../../src/witness/index.ts'
import { cosignerKeyOf, noteSigner } from '../../support/keys.ts'
import { outcomeOf } from '../../support/outcome.ts'

let root: string
const at = (...names: readonly string[]): string => join(root, ...names)
const bytes = (...names: readonly string[]): Uint8Array => new Uint8Array(readFileSync(at(...names)))
const others = await Promise.all(['w2.example', 'w3.example', 'w4.example'].map((name) => cosignerKeyOf(noteSigner(name))))
let key = ''

const sorted = (...keys: readonly (string | undefined)[]): readonly string[] => keys.map((k) => k ?? '').sort()

async function run(...args: readonly string[]): Promise<Record<string, unknown>> {
  const stdout: string[] = []
  const streams = { stdout: { write: (t: string) => stdout.push(t) }, stderr: { write: () => undefined }, env: {} }
  const program = new Command().exitOverride()
  for (const register of [registerGateway, registerInit, registerKeys, registerPolicy, registerTrust]) register(program)
  const runtime: Runtime = { streams, signal: new AbortController().signal, exitCode: 0, output: createOutput(streams, true) }
  attachRuntime(program, runtime)
  await program.parseAsync([...args, '--json'], { from: 'user' })
  return JSON.parse(stdout.join('')) as Record<string, unknown>
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'sealgate-witness-cli-'))
  await run('init', at('gw'), '--role', 'gateway', '--name', 'clinic')
  const init = ['init', at('w1'), '--role', 'witness', '--name', 'w1.example', '--listen', '127.0.0.1:0', '--trust', at('gw')]
  key = (await run(...init)).witness as string
})
afterAll(() => rmSync(root, { recursive: true }))

describe('sealgate init --role witness', () => {
  it('makes a witness that starts, knows the logs of the trust file, and keeps its key to itself', async () => {
    expect(await parseVerifierKey(key, COSIGNATURE_ED25519)).toMatchObject({ name: 'w1.example' })
    expect(statSync(at('w1', WITNESS_FILES.key)).mode & 0o077).toBe(0)
    const { logs } = parseTrustFile(bytes('gw', 'trust.json'))
    expect(JSON.parse(readFileSync(at('w1', WITNESS_FILES.config), 'utf8'))).toMatchObject({ logs })
    const witness = await startWitness({ folder: at('w1') })
    expect(witness.verifierKey).toBe(key)
    await witness.close()
  })

  it('never overwrites one: its state is its word', async () => {
    expect(await outcomeOf(() => run('init', at('w1'), '--role', 'witness', '--name', 'w1.example'))).toBe('ALREADY_EXISTS')
  })

  it.each(['', 'with space', 'w+1', 'ü'])('refuses the name %j', async (name) => {
    expect(await outcomeOf(() => run('init', at('no'), '--role', 'witness', '--name', name))).toBe('USAGE')
  })

  it('is what keys show names', async () => {
    expect(await run('keys', 'show', at('w1'))).toEqual({ witness: key })
  })
})

describe('sealgate gateway add-witness', () => {
  it('has the gateway ask the witness, and names it in the trust file that others copy', async () => {
    await run('gateway', 'add-witness', at('gw'), '--url', 'https://w1.example', '--vkey', key)
    expect(loadConfig(at('gw')).witnesses).toEqual([{ url: 'https://w1.example', vkey: key }])
    expect(parseTrustFile(bytes('gw', 'trust.json')).witnesses).toEqual([key])
  })

  it.each([
    ['the same witness again', 'https://w1.example', 0, 'ALREADY_EXISTS'],
    ['plain HTTP to another machine', 'http://w2.example', 1, 'DOCUMENT_INVALID'],
    ['an address with a slash at its end', 'https://w2.example/', 1, 'DOCUMENT_INVALID'],
  ])('refuses %s, and leaves the configuration as it was', async (_what, url, which, code) => {
    const before = readFileSync(at('gw', 'gateway.json'), 'utf8')
    const vkey = which === 0 ? key : (others[0] ?? '')
    expect(await outcomeOf(() => run('gateway', 'add-witness', at('gw'), '--url', url, '--vkey', vkey))).toBe(code)
    expect(readFileSync(at('gw', 'gateway.json'), 'utf8')).toBe(before)
  })

  it("refuses a log's key for that of a witness", async () => {
    const [log] = parseTrustFile(bytes('gw', 'trust.json')).logs
    const args = ['gateway', 'add-witness', at('gw'), '--url', 'https://w2.example', '--vkey', log?.key ?? '']
    expect(await outcomeOf(() => run(...args))).toBe('USAGE')
  })
})

describe('sealgate trust add --witness', () => {
  it('adds keys, sorted and once', async () => {
    await run('trust', 'add', at('gw'), '--witness', others[1] ?? '', '--witness', others[0] ?? '', '--witness', key)
    expect(parseTrustFile(bytes('gw', 'trust.json')).witnesses).toEqual(sorted(key, others[0], others[1]))
  })

  it('refuses what is no key', async () => {
    expect(await outcomeOf(() => run('trust', 'add', at('gw'), '--witness', 'w1.example'))).toBe('USAGE')
  })
})

describe('sealgate policy create --quorum', () => {
  const create = (out: string, ...more: readonly string[]): Promise<Record<string, unknown>> =>
    run('policy', 'create', '--folder', at('gw'), '--measurement', `sev-snp:${'ab'.repeat(48)}`, '--out', at(out), ...more)

  it('demands so many of the witnesses that the trust file names', async () => {
    await create('all.json', '--quorum', '2')
    expect(parsePolicy(bytes('all.json')).witnessing).toEqual({ mode: 'quorum', k: 2, keys: sorted(key, others[0], others[1]) })
    const { warnings } = await run('policy', 'check', at('all.json'))
    expect((warnings as string[]).join()).not.toContain('no witnesses')
  })

  it('demands so many of the witnesses that are named', async () => {
    await create('one.json', '--witness', others[2] ?? '', '--quorum', '1')
    expect(parsePolicy(bytes('one.json')).witnessing).toEqual({ mode: 'quorum', k: 1, keys: [others[2]] })
  })

  it.each([
    ['half of them', ['--witness', key, '--witness', others[0] ?? '', '--quorum', '1']],
    ['more than there are', ['--witness', others[0] ?? '', '--quorum', '2']],
    ['none', ['--quorum', '0']],
    ['nobody knows how many', ['--witness', others[0] ?? '']],
  ])('refuses %s: any two quorums must share a witness', async (_what, more) => {
    const filled = more.map((m) => (m === '' ? key : m))
    expect(await outcomeOf(() => create('no.json', ...filled))).toBe('USAGE')
  })

  it('refuses a quorum where no witness is known', async () => {
    const trust = parseTrustFile(bytes('gw', 'trust.json'))
    writeFileSync(at('gw', 'trust.json'), JSON.stringify({ ...trust, witnesses: [] }))
    const canonical = await outcomeOf(() => create('no.json', '--quorum', '1'))
    expect(['USAGE', 'JSON_NOT_CANONICAL']).toContain(canonical)
  })

  it('without it says that nobody witnesses', async () => {
    const folder = at('plain')
    await run('init', folder, '--role', 'gateway', '--name', 'plain')
    await run('policy', 'create', '--folder', folder, '--measurement', `sev-snp:${'ab'.repeat(48)}`, '--out', at('none.json'))
    const { warnings } = await run('policy', 'check', at('none.json'))
    expect((warnings as string[]).join()).toContain('no witnesses')
  })
})
