import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attachRuntime, type Runtime } from '../../../src/cli/action.ts'
import { register } from '../../../src/cli/commands/policy.ts'
import { createOutput } from '../../../src/cli/output.ts'
import { FILES, STRICT_REQUIREMENTS } from '../../../src/client/index.ts'
import { encodeTrustFile } from '../../../src/verify/documents/trust.ts'

import { outcomeOf } from '../../support/outcome.ts'
import { sampleTrust } from '../../support/receipt-builder.ts'

let folder: string
const file = (name: string): string => join(folder, name)
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-policy-'))
  writeFileSync(file(FILES.trust), encodeTrustFile(sampleTrust))
})
afterAll(() => rmSync(folder, { recursive: true }))

async function run(...args: readonly string[]): Promise<Record<string, unknown>> {
  const stdout: string[] = []
  const streams = { stdout: { write: (t: string) => stdout.push(t) }, stderr: { write: () => undefined }, env: {} }
  const program = new Command().exitOverride()
  register(program)
  const runtime: Runtime = { streams, signal: new AbortController().signal, exitCode: 0, output: createOutput(streams, true) }
  attachRuntime(program, runtime)
  await program.parseAsync(['policy', ...args, '--json'], { from: 'user' })
  return JSON.parse(stdout.join('')) as Record<string, unknown>
}

const create = (out: string, ...more: readonly string[]): Promise<Record<string, unknown>> =>
  run('create', '--folder', folder, '--measurement', `sev-snp:${'ab'.repeat(48)}`, '--out', file(out), ...more)

describe('sealgate policy', () => {
  it('create asks for the strict values, and check has nothing to warn of in them', async () => {
    await create('strict.json')
    const { policy, warnings } = await run('check', file('strict.json'))
    expect(policy).toMatchObject({ appraisal: { sevSnp: STRICT_REQUIREMENTS.sevSnp } })
    expect((warnings as string[]).filter((w) => /AMD|CHIP_ID|TCB/.test(w))).toEqual([])
  })

  it('create takes requirements from a file, and check warns of what they let pass', async () => {
    writeFileSync(file('loose.requirements'), JSON.stringify({ sevSnp: { products: ['Milan'], acceptMaskedChipId: true } }, null, 2))
    await create('loose.json', '--requirements', file('loose.requirements'))
    const { policy, warnings } = await run('check', file('loose.json'))
    expect(policy).toMatchObject({ appraisal: { sevSnp: { products: ['Milan'], acceptMaskedChipId: true } } })
    expect(warnings).toEqual(
      expect.arrayContaining([
        expect.stringContaining('Milan is accepted'),
        expect.stringContaining('no floor'),
        expect.stringContaining('CHIP_ID'),
      ]),
    )
  })

  it('create refuses requirements that cannot be read or mean nothing', async () => {
    writeFileSync(file('no.json'), '{')
    writeFileSync(file('typo.json'), '{"sevSnp":{"product":["Genoa"]}}')
    expect(await outcomeOf(() => create('a.json', '--requirements', file('no.json')))).toBe('JSON_MALFORMED')
    expect(await outcomeOf(() => create('b.json', '--requirements', file('typo.json')))).toBe('DOCUMENT_INVALID')
    expect(await outcomeOf(() => create('c.json', '--requirements', file('missing.json')))).toBe('FILE_UNREADABLE')
  })
})
