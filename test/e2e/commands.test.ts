import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { verifyOffline } from '../../src/cli/demo/offline.ts'
import { Processes } from '../../src/cli/demo/processes.ts'
import { createGatewayFolder } from '../../src/cli/folders/gateway-folder.ts'
import type { JobReport } from '../../src/client/index.ts'
import { parseBinding } from '../../src/verify/documents/binding.ts'
import { deviceNonce } from '../../src/verify/documents/device-nonce.ts'
import { bundleFromJson } from '../../src/verify/documents/evidence-bundle.ts'
import { compileLibrary } from '../support/c-compiler.ts'
import { type Ended, sealgate, sealgateJson } from '../support/processes.ts'
import { World } from '../support/processes-world.ts'

let world: World
let done: JobReport
let jobId: string
const scratch = mkdtempSync(join(tmpdir(), 'sealgate-commands-'))
const file = (name: string): string => join(scratch, name)
const compiled = await compileLibrary('fake-nvml.c', file('libnvidia-ml.so.1'))

beforeAll(async () => {
  world = await World.start()
  done = await world.runJob()
  jobId = done.job.jobId
  writeFileSync(file('job.sealgate-receipt.json'), done.receipt.bytes)
})
afterAll(async () => {
  await world?.close()
  rmSync(scratch, { recursive: true, force: true })
})

const alice = (): readonly string[] => ['--folder', world.path('owner')]
const ask = (...args: readonly string[]): Promise<Ended> => sealgate(args, { cwd: scratch })
const json = <T>(...args: readonly string[]): Promise<T> => sealgateJson<T>(args, { cwd: scratch })

describe('commands that look', () => {
  it('print one JSON document on stdout and nothing else; without --json, text on stderr and nothing on stdout', async () => {
    const commands: readonly (readonly string[])[] = [
      ['dataset', 'list', ...alice()],
      ['grant', 'list', ...alice()],
      ['job', 'list', ...alice()],
      ['job', 'watch', jobId, ...alice()],
      ['job', 'explain', jobId, ...alice()],
      ['receipt', 'list', ...alice()],
      ['receipt', 'show', 'job.sealgate-receipt.json'],
      ['log', 'prove', '0', ...alice()],
      ['log', 'verify', ...alice()],
      ['log', 'watch', '--once', ...alice()],
      ['policy', 'check', world.path('owner/policy.json')],
      ['keys', 'show', world.path('owner')],
      ['keys', 'show', world.path('gw')],
      ['trust', 'show', world.path('owner')],
    ]
    for (const command of commands) {
      const told = await ask(...command, '--json')
      expect({ command, exitCode: told.exitCode, stderr: told.stderr }).toEqual({ command, exitCode: 0, stderr: '' })
      expect(JSON.parse(told.stdout)).toBeTypeOf('object')
      const text = await ask(...command)
      expect({ command, exitCode: text.exitCode, stdout: text.stdout }).toEqual({ command, exitCode: 0, stdout: '' })
      expect(text.stderr.trim()).not.toBe('')
      expect(text.stderr).not.toContain('\x1b')
    }
  })

  it('never show a private key', async () => {
    const secrets = ['owner/grant.key.json', 'owner/submit.key.json', 'gw/signing.key.json', 'gw/log.key.json'].map(
      (name) => (JSON.parse(readFileSync(world.path(name), 'utf8')) as { d: string }).d,
    )
    secrets.push((JSON.parse(readFileSync(world.path('gw/ml-dsa.key.json'), 'utf8')) as { priv: string }).priv)
    const shown = [await ask('keys', 'show', world.path('owner'), '--json'), await ask('keys', 'show', world.path('gw'), '--json')]
    for (const secret of secrets) expect(shown.some((s) => s.stdout.includes(secret))).toBe(false)
  })

  it('log checkpoint prints the note itself, signed and cosigned', async () => {
    const { stdout, exitCode } = await ask('log', 'checkpoint', ...alice())
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(/^sealgate\/e2e\n\d+\n\S+\n\n— sealgate\/e2e \S+\n— sealgate\/e2e \S+\n$/)
  })

  it('policy check warns of what is loose', async () => {
    const { warnings } = await json<{ warnings: readonly string[] }>('policy', 'check', world.path('owner/policy.json'))
    expect(warnings.join()).toMatch(/SIMULATED.*no witnesses.*wasm/)
  })

  it('gateway doctor finds nothing wrong with a fresh folder, and says where the authority key lies', async () => {
    const folder = file('gw')
    await createGatewayFolder({ folder, name: 'fresh', listen: '127.0.0.1:0', publicAddress: null, at: new Date() })
    const { findings } = await json<{ findings: readonly { check: string; outcome: string }[] }>('gateway', 'doctor', folder)
    expect(findings.filter((f) => f.outcome === 'problem')).toEqual([])
    expect(findings).toContainEqual(expect.objectContaining({ check: 'authority key', outcome: 'note' }))
  })

  it('completion knows every command, in a script that the shell can read', async () => {
    const { stdout } = await ask('completion', 'bash')
    writeFileSync(file('completion.bash'), stdout)
    const script = `source ${file('completion.bash')}; COMP_WORDS=(sealgate dataset ''); COMP_CWORD=2; _sealgate; echo "\${COMPREPLY[@]}"`
    expect(execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim()).toBe('seal open push erase entrust list --help')
  })
})

describe('evidence', () => {
  it('made by the host agent verifies under its simulated root only, and is marked', async () => {
    await json('host', 'evidence', world.path('host'), '--attester', 'sim', '--out', file('evidence.json'))
    const accepted = await ask('verify', 'evidence.json', '--trust-anchor', world.path('host/simulated-root.pem'), '--json')
    expect(JSON.parse(accepted.stdout)).toMatchObject({ decision: 'accept', claims: { simulated: true } })
    expect(JSON.parse(accepted.stdout)).toMatchObject({
      forecast: { expiries: [{ expires: expect.any(String) }, {}, {}, {}], early: null },
    })
    const refused = await ask('verify', 'evidence.json', '--json')
    expect(refused.exitCode).toBe(4)
  })

  it('is printed as it is verified, for the nonce and role that were asked for', async () => {
    const nonce = '5a'.repeat(32)
    const { stdout, stderr, exitCode } = await ask(
      'host',
      'evidence',
      world.path('host'),
      '--attester',
      'sim',
      '--nonce',
      nonce,
      '--role',
      'broker',
    )
    expect(exitCode).toBe(0)
    expect(stderr).toContain('SIMULATED')
    writeFileSync(file('printed.json'), stdout)
    const root = world.path('host/simulated-root.pem')
    const accepted = await ask('verify', 'printed.json', '--trust-anchor', root, '--nonce', nonce, '--json')
    expect(JSON.parse(accepted.stdout)).toMatchObject({ decision: 'accept', claims: { simulated: true, binding: { role: 'broker' } } })
    const stale = await ask('verify', 'printed.json', '--trust-anchor', root, '--nonce', '5b'.repeat(32), '--json')
    expect([stale.exitCode, JSON.parse(stale.stdout)]).toMatchObject([5, { decision: 'reject' }])
  })

  it.skipIf(!compiled)('holds a report of each GPU that NVML knows, bound both ways', async () => {
    const args = ['host', 'evidence', world.path('host'), '--attester', 'sim', '--devices', 'nvml', '--json'] as const
    const { stdout } = await sealgate(args, { cwd: scratch, env: { LD_LIBRARY_PATH: scratch } })
    const told = JSON.parse(stdout) as { bundle: unknown; gpus: unknown }
    expect(told).toMatchObject({ driverVersion: '550.90.07', gpus: [{ uuid: 'GPU-first' }, { uuid: 'GPU-second' }], unattested: [] })
    const { binding: bytes, devices, cpu } = bundleFromJson(told.bundle)
    const binding = parseBinding(bytes)
    const digest = (report: Uint8Array): string => createHash('sha256').update(report).digest('base64url')
    expect(binding.devices).toEqual(devices.map(({ type, report }) => ({ type, report: digest(report) })))
    for (const [i, { report }] of devices.entries()) expect(report.slice(4, 36)).toEqual(await deviceNonce(binding, i))
    expect(Buffer.from(cpu.report.subarray(0x50, 0x90))).toEqual(createHash('sha512').update(bytes).digest())
  })

  it('is not made up where the machine has no TEE and no folder is named', async () => {
    const { exitCode, stdout, stderr } = await ask('host', 'evidence', '--attester', 'sim')
    expect([exitCode, stdout]).toEqual([1, ''])
    expect(stderr).toContain('ATTESTER_UNAVAILABLE')
  })
})

describe('jobs and grants', () => {
  it('results of an earlier job are verified and opened again', async () => {
    const out = file('results')
    const told = await json<{ results: { files: readonly unknown[] } }>('job', 'results', jobId, '--out', out, ...alice())
    expect(told.results.files).toHaveLength(4)
    const again = done.results?.folder ?? ''
    expect(readFileSync(join(out, 'out/predictions.csv'))).toEqual(readFileSync(join(again, 'out/predictions.csv')))
  })

  it('a revoked grant is refused from then on', async () => {
    const { grantId } = await json<{ grantId: string }>(
      ...['grant', 'create', ...alice(), '--dataset', world.dataset, '--image', 'tabular-inference'],
      ...['--purpose', 'https://w3id.org/dpv#AcademicResearch', '--uses', '5', '--expires', '1h'],
    )
    await json('grant', 'revoke', grantId, ...alice())
    await expect(world.runJob({ grants: [grantId] })).rejects.toMatchObject({ code: expect.stringMatching(/^GRANT_/) })
  })

  it('a revocation counts here also when no gateway hears of it', async () => {
    const { grantId } = await json<{ grantId: string }>(
      ...['grant', 'create', ...alice(), '--dataset', world.dataset, '--image', 'tabular-inference'],
      ...['--purpose', 'https://w3id.org/dpv#AcademicResearch', '--uses', '5', '--expires', '1h'],
    )
    await world.gateway.stop()
    const told = await ask('grant', 'revoke', grantId, '--stop-jobs', ...alice())
    expect(told.exitCode).not.toBe(0)
    expect(told.stderr).toContain('Remembered here')
    await world.gateway.start()
    await world.attested()
    await expect(world.runJob({ grants: [grantId] })).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    const { grants } = await json<{ grants: readonly { grantId: string; revoked: boolean }[] }>('grant', 'list', ...alice())
    expect(grants.find((g) => g.grantId === grantId)).toMatchObject({ revoked: true })
    expect(await json('grant', 'revoke', grantId, ...alice())).toEqual({ grantId, revoked: true, stopJobs: false })
  })

  it('a held grant is refused until it is resumed', async () => {
    const { grantId } = await json<{ grantId: string }>(
      ...['grant', 'create', ...alice(), '--dataset', world.dataset, '--image', 'tabular-inference'],
      ...['--purpose', 'https://w3id.org/dpv#AcademicResearch', '--uses', '5', '--expires', '1h'],
    )
    const basis = ['--basis', 'eu-gdpr:A18-1-a']
    expect(await json('grant', 'hold', grantId, '--stop-jobs', ...basis, ...alice())).toEqual({ grantId, held: true, stopJobs: true })
    const run = ['run', '--image', 'tabular-inference', '--runner', 'wasm', '--input', `data.csv=${world.dataset}`]
    const refused = await ask(...run, '--purpose', 'dpv:AcademicResearch', '--grant', grantId, ...alice(), '--json')
    expect(refused.exitCode).toBe(5)
    expect(`${refused.stdout}${refused.stderr}`).toContain('GRANT_HELD')
    const listed = async (): Promise<object | undefined> =>
      (await json<{ grants: readonly { grantId: string }[] }>('grant', 'list', ...alice())).grants.find((g) => g.grantId === grantId)
    expect(await listed()).toMatchObject({ held: true, revoked: false })
    const { receipts } = await json<{ receipts: readonly { logIndex: number; subject: string }[] }>(
      ...['receipt', 'list', '--type', 'hold', ...alice()],
    )
    const entry = String(receipts.find((r) => r.subject === grantId)?.logIndex)
    await json('receipt', 'fetch', entry, '--out', file('hold.sealgate-receipt.json'), ...alice())
    const shown = await ask('receipt', 'verify', 'hold.sealgate-receipt.json', '--trust', world.path('owner/trust.json'))
    expect(shown.exitCode).toBe(0)
    expect(shown.stderr).toContain('https://w3id.org/dpv/legal/eu/gdpr#A18-1-a')
    expect(await json('grant', 'resume', grantId, ...alice())).toEqual({ grantId, held: false })
    expect(await listed()).toMatchObject({ held: false })
    expect((await world.runJob({ grants: [grantId] })).job.state).toBe('succeeded')
  })

  it('a spent grant is refused', async () => {
    const { grantId } = await json<{ grantId: string }>(
      ...['grant', 'create', ...alice(), '--dataset', world.dataset, '--image', 'tabular-inference'],
      ...['--purpose', 'https://w3id.org/dpv#AcademicResearch', '--uses', '1'],
    )
    expect((await world.runJob({ grants: [grantId] })).job.state).toBe('succeeded')
    await expect(world.runJob({ grants: [grantId] })).rejects.toMatchObject({ code: 'GRANT_USED' })
  })

  it('a cancelled job says so, and its host is free again', async () => {
    await world.host.stop()
    const job = world.runJob()
    await expect.poll(async () => (await world.client.listJobs()).some((j) => j.state === 'created')).toBe(true)
    const waiting = (await world.client.listJobs()).find((j) => j.state === 'created')
    const cancelled = await json<{ state: string }>('job', 'cancel', waiting?.jobId ?? '', ...alice())
    expect(cancelled.state).toBe('cancelled')
    const report = await job
    expect(report.receipt.statement.predicate.outcome.kind).toBe('cancelled')
    await world.host.start()
    await world.attested()
  })
})

describe('identities', () => {
  it('an RSA identity travels as PKCS#12', async () => {
    await json('ca', 'issue', '--gateway', world.path('gw'), '--role', 'client', '--name', 'legacy', '--out', file('legacy'), '--rsa')
    writeFileSync(file('password.txt'), 'correct horse\n')
    await json('ca', 'export', '--folder', file('legacy'), '--p12', file('legacy.p12'), '--password-file', file('password.txt'))
    const args = ['pkcs12', '-in', file('legacy.p12'), '-passin', 'pass:correct horse', '-nokeys']
    expect(execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' })).toContain('BEGIN CERTIFICATE')
  })

  it('an RSA client sees its own jobs only: none', async () => {
    expect(await json('job', 'list', '--folder', file('legacy'))).toEqual({ jobs: [] })
    const stranger = await ask('job', 'watch', jobId, '--folder', file('legacy'))
    expect(stranger.exitCode).toBe(5)
    expect(stranger.stderr).toContain('NOT_FOUND')
  })
})

describe('a receipt', () => {
  it('verifies in a process that cannot reach a network at all', async () => {
    const verdict = await verifyOffline(new Processes(scratch), file('job.sealgate-receipt.json'), world.path('owner/trust.json'))
    expect(verdict).toMatchObject({ accepted: true, exitCode: 0 })
  })

  it("is signed by the gateway's ML-DSA key too, as keys show, trust show and receipt verify say", async () => {
    const { 'gateway-ml-dsa': signer } = await json<{ 'gateway-ml-dsa': string }>('keys', 'show', world.path('gw'))
    expect(signer).toMatch(/^[\w-]{43}$/)
    expect((await ask('trust', 'show', world.path('owner'))).stderr).toContain(`and ML-DSA-65  ${signer}`)
    const verify = ['receipt', 'verify', 'job.sealgate-receipt.json', '--trust'] as const
    expect(await json(...verify, world.path('owner/trust.json'))).toMatchObject({ claims: { mlDsa: { signer, trusted: true } } })
    expect((await ask(...verify, world.path('owner/trust.json'))).stderr).toContain(`signed by the gateway's key ${signer} too`)
    const trust = JSON.parse(readFileSync(world.path('owner/trust.json'), 'utf8')) as { gateways: { mlDsa?: unknown }[] }
    for (const gateway of trust.gateways) delete gateway.mlDsa
    writeFileSync(file('bare.json'), JSON.stringify(trust))
    const bare = await ask(...verify, file('bare.json'))
    expect([bare.exitCode, bare.stderr]).toEqual([0, expect.stringContaining(`signer unknown: ${signer}`)])
  })

  it('verifies with the gateway gone', async () => {
    await world.gateway.stop()
    const told = await ask('receipt', 'verify', 'job.sealgate-receipt.json', '--trust', world.path('owner/trust.json'))
    expect(told.exitCode).toBe(0)
    await world.gateway.start()
  })
})
