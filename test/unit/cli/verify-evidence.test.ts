import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CommanderError } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { register } from '../../../src/cli/commands/verify.ts'
import { attest } from '../../../src/sim/index.ts'
import { toHex, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { encodePolicy, type Policy } from '../../../src/verify/documents/policy.ts'
import type { Requirements } from '../../../src/verify/documents/requirements.ts'
import type { SnpRequirements } from '../../../src/verify/evidence/sev-snp/requirements.ts'
import type { Check } from '../../../src/verify/verdict.ts'
import { certificateTable, GUID } from '../../support/certificate-table.ts'
import { collateralOf, SimulatedIntel } from '../../support/intel.ts'
import { simulatedPlatform } from '../../support/simulated-platform.ts'
import { type Ran, runCommand } from './run-command.ts'

const platform = simulatedPlatform()
const measurement = new Uint8Array(48).fill(9)
const reportData = new Uint8Array(64)
reportData.set([1, 2, 3])
const AT = ['--at', '2026-06-01T00:00:00Z']

let folder: string
let trusted: readonly string[]

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-verify-'))
  const { report, endorsements } = attest(platform, { reportData, measurement })
  mkdirSync(join(folder, 'certs', 'nested'), { recursive: true })
  const write = (name: string, bytes: Uint8Array): void => writeFileSync(join(folder, name), bytes)
  write('report.bin', report)
  write('report.hex', utf8(toHex(report)))
  write('broken.bin', report.subarray(1))
  write('debug.bin', attest(platform, { reportData, measurement, policy: 0x30000n | (1n << 19n) }).report)
  write('empty.bin', new Uint8Array())
  for (const [i, der] of endorsements.entries()) write(`certs/${i}`, der)
  write('notes.txt', utf8('notes'))
  write('root.der', platform.root.certificate)
  trusted = ['--collateral', join(folder, 'certs'), '--trust-anchor', join(folder, 'root.der'), ...AT]
})

afterAll(() => rmSync(folder, { recursive: true }))

const run = (...args: readonly string[]): Promise<Ran> => runCommand(register, 'verify', ...args)
const file = (name: string): string => join(folder, name)
const json = async (...args: readonly string[]): Promise<{ code: number; document: Record<string, unknown> }> => {
  const { code, stdout } = await run(...args, '--json')
  return { code, document: JSON.parse(stdout) as Record<string, unknown> }
}

function policyFor(value: string, sevSnp: SnpRequirements = {}): Uint8Array {
  return encodePolicy(policyOf('sev-snp', value, { sevSnp }, 365))
}

function policyOf(tee: string, value: string, requirements: Requirements, collateralDays: number): Policy {
  return {
    v: 1,
    appraisal: { tees: [tee], allowSimulated: true, measurements: [{ tee, value }], allowUnknown: [], ...requirements },
    log: { origin: 'log.example', key: 'log.example+00000000+AA' },
    witnessing: { mode: 'none' },
    maximumAge: { checkpointSeconds: 3600, collateralSeconds: collateralDays * 24 * 3600 },
    minimumTcbEvaluationDataNumber: null,
    minimumGrades: { binding: 'none', placement: 'none' },
    runners: ['docker'],
    suites: ['MLKEM768-X25519,HKDF-SHA256,AES-256-GCM'],
    cedar: '',
  }
}

describe('sealgate verify', () => {
  it('accepts simulated evidence whose root is named, marks it, and says what nobody asked', async () => {
    const { code, stdout, stderr } = await run(file('report.bin'), ...trusted)
    expect([code, stdout]).toEqual([0, ''])
    expect(stderr).toMatch(/^accepted: sev-snp at 2026-06-01T00:00:00Z\n/)
    expect(stderr).toContain('SIMULATED')
    expect(stderr).toContain(`measurement  ${toHex(measurement)}`)
    expect(stderr).toMatch(/ {2}debugging {4}off\n/)
    expect(stderr).toMatch(/\nchecks: \d+ passed\n/)
    expect(stderr).toMatch(/\nforecast: .*\n {2}in \d+ days +20\d\d-\S+Z +certificate of the chip +SIMULATED SEV-VCEK\n/)
    expect(stderr).toMatch(/not checked:\n {2}nonce: .*--nonce\n {2}measurement: .*--measurement/)
  })

  it('prints one document with its members in order, and no error on acceptance', async () => {
    const { code, document } = await json(file('report.hex'), ...trusted, '--nonce', '010203', '--measurement', toHex(measurement))
    expect(code).toBe(0)
    expect(Object.keys(document)).toEqual(['decision', 'authentic', 'format', 'parsed', 'claims', 'checks', 'notChecked', 'forecast'])
    expect(document).toMatchObject({ decision: 'accept', authentic: true, format: 'sev-snp', notChecked: [] })
    expect(document.claims).toMatchObject({ tee: 'sev-snp', measurement: toHex(measurement), simulated: true, debug: false })
  })

  it('says of a rejection all that stands in the way, how to get what is missing, and what is proven all the same', async () => {
    const bare = await run(file('report.bin'), '--trust-anchor', file('root.der'), '--collateral', file('certs/0'), ...AT, '--nonce', 'ff')
    expect(bare.code).toBe(4)
    expect(bare.stderr).toMatch(/^rejected: .*\n {2}CHAIN_INVALID: chain.issuer: /)
    expect(bare.stderr).toContain('  also: freshness.nonce: want ff')
    expect(bare.stderr).toContain('\nproven: nothing\n')
    expect((await run(file('report.bin'), ...AT)).stderr).toContain('sealgate collateral fetch certs FILE')
    const wrong = await run(file('report.bin'), ...trusted, '--nonce', 'ff')
    expect(wrong.stderr).toContain('\nproven: genuine evidence, which is not accepted')
    expect(wrong.stderr).toMatch(/\nchecks: \d+ passed, 1 failed\n/)
  })

  it('takes a folder of configfs-tsm for what its files are', async () => {
    mkdirSync(file('tsm'))
    const { report } = attest(platform, { reportData, measurement })
    const table = certificateTable([
      [GUID.vcek, platform.vek.certificate],
      [GUID.ask, platform.intermediate.certificate],
      [GUID.crl, platform.crl],
    ])
    writeFileSync(file('tsm/outblob'), report)
    writeFileSync(file('tsm/generation'), '3\n')
    const anchored = ['--trust-anchor', file('root.der'), ...AT]
    expect((await run(file('tsm'), ...anchored)).code).toBe(6)
    writeFileSync(file('auxblob.bin'), table)
    expect((await run(file('tsm'), ...anchored, '--collateral', file('auxblob.bin'))).code).toBe(0)
    writeFileSync(file('tsm/auxblob'), table)
    writeFileSync(file('tsm/provider'), 'sev_guest\n')
    expect((await json(file('tsm'), ...anchored)).document).toMatchObject({ decision: 'accept', claims: { tee: 'sev-snp' } })
    writeFileSync(file('tsm/provider'), 'tdx_guest\n')
    expect((await run(file('tsm'), ...anchored)).code).toBe(3)
    writeFileSync(file('tsm/provider'), Uint8Array.of(0xff, 0x00))
    expect((await run(file('tsm'), ...anchored)).code).toBe(3)
  })

  it('gives a rejection without claims, with its error', async () => {
    const { code, document } = await json(file('report.bin'), '--collateral', file('certs'), ...AT)
    expect(code).toBe(4)
    expect(Object.keys(document)).toEqual(['decision', 'authentic', 'format', 'parsed', 'checks', 'notChecked', 'forecast', 'error'])
    expect(document.error).toMatchObject({ code: 'CHAIN_INVALID' })
  })

  it.each([
    ['a wrong nonce', 'report.bin', ['--nonce', 'ff'], 5],
    ['a wrong measurement', 'report.bin', ['--measurement', '00'.repeat(48)], 5],
    ['debugging on', 'debug.bin', [], 5],
    ['a truncated report', 'broken.bin', [], 3],
    ['an empty file', 'empty.bin', [], 3],
    ['a format of later', 'report.bin', ['--format', 'nitro'], 3],
  ])('ends for %s with its exit code', async (_, name, args, exit) => {
    expect((await run(file(name), ...trusted, ...args)).code).toBe(exit)
  })

  it('ends with 6 without a CRL, and accepts when that is allowed', async () => {
    const args = [
      file('report.bin'),
      '--collateral',
      file('certs/0'),
      '--collateral',
      file('certs/1'),
      '--trust-anchor',
      file('root.der'),
      ...AT,
    ]
    expect((await run(...args)).code).toBe(6)
    const allowed = await run(...args, '--allow-unknown', 'revocation')
    expect(allowed.code).toBe(0)
    expect(allowed.stderr).toContain('You allowed what could not be decided: revocation.issuer.')
  })

  it('names collateral that it does not recognise by its path', async () => {
    const { code, document } = await json(file('report.bin'), '--collateral', file('notes.txt'), ...trusted)
    expect(code).toBe(0)
    expect(document.notChecked).toContain(`${file('notes.txt')} (not recognised)`)
  })

  it('appraises by a policy', async () => {
    writeFileSync(file('policy.json'), policyFor(toHex(measurement)))
    writeFileSync(file('other.json'), policyFor('00'.repeat(48)))
    const met = await json(file('report.bin'), ...trusted, '--policy', file('policy.json'))
    expect(met).toMatchObject({ code: 0, document: { decision: 'accept', notChecked: ['nonce'] } })
    const unmet = await json(file('report.bin'), ...trusted, '--policy', file('other.json'))
    expect(unmet).toMatchObject({ code: 5, document: { decision: 'reject', authentic: true } })
    const untrusted = await json(file('report.bin'), '--collateral', file('certs'), ...AT, '--policy', file('policy.json'))
    expect(untrusted.code).toBe(4)
    expect(untrusted.document.notChecked).toContain('policy')
  })

  it('appraises bare evidence by the requirements of a policy', async () => {
    writeFileSync(file('met.json'), policyFor(toHex(measurement), { products: ['Genoa'], vmpl: 0 }))
    writeFileSync(file('unmet.json'), policyFor(toHex(measurement), { products: ['Turin'], vmpl: 0 }))
    expect(await json(file('report.bin'), ...trusted, '--policy', file('met.json'))).toMatchObject({ code: 0 })
    const unmet = await json(file('report.bin'), ...trusted, '--policy', file('unmet.json'))
    expect(unmet).toMatchObject({ code: 5, document: { decision: 'reject', error: { code: 'EVIDENCE_REJECTED' } } })
    const checks = unmet.document.checks as readonly Check[]
    expect(checks.filter((c) => c.outcome !== 'pass')).toEqual([{ rule: 'policy.product', outcome: 'fail', want: 'Turin', got: 'Genoa' }])
  })

  it('holds the collateral of a bare quote against the age that a policy allows', async () => {
    const made = await new SimulatedIntel().make('sgx')
    writeFileSync(file('quote.bin'), made.quote)
    writeFileSync(file('intel.der'), made.root)
    writeFileSync(file('intel.json'), collateralOf(made)[0] ?? '')
    const asked = ['--collateral', file('intel.json'), '--trust-anchor', file('intel.der'), '--at', '2026-06-15T12:00:00Z']
    const withAge = async (days: number): Promise<{ code: number; document: Record<string, unknown> }> => {
      writeFileSync(file('age.json'), encodePolicy(policyOf('sgx', 'e1'.repeat(32), {}, days)))
      return json(file('quote.bin'), ...asked, '--policy', file('age.json'))
    }
    expect((await withAge(15)).code).toBe(0)
    expect(await withAge(14)).toMatchObject({
      code: 5,
      document: { error: { message: 'freshness.collateral-age: want at most 1209600 s old; got 1252800 s old' } },
    })
  })

  it('lets a masked CHIP_ID pass only where the policy says so', async () => {
    writeFileSync(file('masked.bin'), attest(platform, { reportData, measurement, chipId: new Uint8Array(64) }).report)
    writeFileSync(file('any-chip.json'), policyFor(toHex(measurement), { acceptMaskedChipId: true }))
    writeFileSync(file('no-word.json'), policyFor(toHex(measurement)))
    expect((await run(file('masked.bin'), ...trusted)).code).toBe(5)
    expect((await run(file('masked.bin'), ...trusted, '--policy', file('no-word.json'))).code).toBe(5)
    expect((await run(file('masked.bin'), ...trusted, '--policy', file('any-chip.json'))).code).toBe(0)
  })

  it.each([
    ['no file', []],
    ['an unknown option', ['x', '--nope']],
    ['an odd nonce', ['x', '--nonce', '012']],
    ['a nonce of 65 bytes', ['x', '--nonce', '00'.repeat(65)]],
    ['a time without zone', ['x', '--at', '2026-01-01T00:00:00']],
    ['a day that does not exist', ['x', '--at', '2026-02-30T00:00:00Z']],
    ['an unknown format', ['x', '--format', 'pdf']],
    ['an unknown group', ['x', '--allow-unknown', 'everything']],
    ['a group that cannot be allowed', ['x', '--allow-unknown', 'chain']],
  ])('refuses %s as usage', async (_, args) => {
    await expect(run(...args)).rejects.toBeInstanceOf(CommanderError)
  })

  it('refuses an event log beside evidence for which none is replayed', async () => {
    const args = [file('report.bin'), ...trusted, '--event-log', file('notes.txt')]
    await expect(run(...args)).rejects.toMatchObject({ code: 'EVIDENCE_UNSUPPORTED', at: '--event-log' })
  })

  it('refuses files that are not there', async () => {
    await expect(run(file('nope'), ...AT)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    await expect(run(file('report.bin'), '--collateral', file('nope'), ...AT)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    await expect(run(file('certs'), ...AT)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })
})
