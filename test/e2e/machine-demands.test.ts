import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sealgate, sealgateJson } from '../support/processes.ts'
import { PURPOSE, World } from '../support/processes-world.ts'

let world: World

beforeAll(async () => {
  world = await World.start({ gpus: 2, region: 'DE', limits: { placementSeconds: 20 } })
})
afterAll(() => world?.close())

const job = (...more: readonly string[]): readonly string[] => [
  'run',
  ...['--folder', world.path('owner'), '--image', 'tabular-inference', '--runner', 'wasm'],
  ...['--input', `data.csv=${world.dataset}`, '--purpose', PURPOSE],
  ...more,
]

describe('a job that makes demands on its machine (with SIMULATED GPUs)', () => {
  it('runs where as many have proven themselves, and its receipt shows them to anybody', async () => {
    const receipt = world.path('gpus.sealgate-receipt.json')
    const ran = await sealgateJson(job('--gpus', '2', '--gpu-model', 'GH100', '--tee', 'sev-snp', '--receipt', receipt), {
      cwd: world.root,
    })
    expect(ran).toMatchObject({ outcome: { kind: 'succeeded' }, simulated: true })
    const args = ['receipt', 'verify', receipt, '--trust', world.path('owner', 'trust.json')]
    const verified = await sealgate(args, { cwd: world.root })
    expect({ exitCode: verified.exitCode, stderr: verified.stderr }).toMatchObject({ exitCode: 0 })
    expect(verified.stderr).toMatch(/SIMULATED/)
    const checks = (await sealgateJson(args, { cwd: world.root })) as { checks: { rule: string; outcome: string; got: string }[] }
    const rules = checks.checks.filter(({ rule }) => /^policy\.contract-(tee|gpu)/.test(rule))
    expect(rules).toMatchObject([
      { rule: 'policy.contract-tee', outcome: 'pass', got: 'sev-snp' },
      { rule: 'policy.contract-gpus', outcome: 'pass', got: '2' },
      { rule: 'policy.contract-gpu-model', outcome: 'pass', got: 'GH100, GH100' },
    ])
  })

  it.each([
    [['--gpus', '3'], /policy\.contract-gpus.*3 attested GPUs/],
    [['--gpus', '1', '--gpu-model', 'GB100'], /policy\.contract-gpu-model.*GB100/],
    [['--gpu-model', 'GB100'], /policy\.contract-gpu-model.*GB100/],
    [['--tee', 'tdx'], /policy\.contract-tee.*tdx/],
    [['--region', 'US'], /policy\.contract-region.*want US, got DE/],
  ] as const)('%j: no host will ever do, and it says why', async (more, why) => {
    const ended = await sealgate(job(...more), { cwd: world.root })
    expect({ exitCode: ended.exitCode, stdout: ended.stdout }).toEqual({ exitCode: 5, stdout: '' })
    expect(ended.stderr).toMatch(why)
  })

  it.each([
    ['--gpus', 'many'],
    ['--gpus', '65'],
    ['--gpus', '-1'],
  ])('%s %s is a usage error', async (...more) => {
    expect(await sealgate(job(...more), { cwd: world.root })).toMatchObject({ exitCode: 2 })
  })
})

describe('a grant for jobs in certain places', () => {
  const grantFor = async (place: string): Promise<string> => {
    const args = ['grant', 'create', '--folder', world.path('owner'), '--dataset', world.dataset, '--image', 'tabular-inference']
    const { grantId } = (await sealgateJson([...args, '--purpose', 'dpv:AcademicResearch', '--jurisdiction', place])) as { grantId: string }
    return grantId
  }

  it('is held against the place that the contract names and the machine states, down to the receipt', async () => {
    const grant = await grantFor('DE')
    const receipt = world.path('region.sealgate-receipt.json')
    await sealgateJson(job('--grant', grant, '--region', 'DE', '--receipt', receipt), { cwd: world.root })
    const args = ['receipt', 'verify', receipt, '--trust', world.path('owner', 'trust.json')]
    const { checks } = (await sealgateJson(args, { cwd: world.root })) as { checks: { rule: string; outcome: string; got: string }[] }
    expect(checks.filter(({ rule }) => /region|jurisdiction/.test(rule))).toMatchObject([
      { rule: 'policy.contract-region', outcome: 'pass', got: 'DE' },
      { rule: 'policy.grant-jurisdiction', outcome: 'pass', got: 'DE' },
    ])
  })

  it('allows no job that leaves the place open', async () => {
    const ended = await sealgate(job('--grant', await grantFor('DE')), { cwd: world.root })
    expect(ended.exitCode).toBe(5)
    expect(ended.stderr).toMatch(/policy\.grant-jurisdiction.*no region named/)
  })

  it('allows no job elsewhere, whatever the machine states', async () => {
    const ended = await sealgate(job('--grant', await grantFor('FR'), '--region', 'DE'), { cwd: world.root })
    expect(ended.exitCode).toBe(5)
    expect(ended.stderr).toMatch(/policy\.grant-jurisdiction.*FR.*got DE/)
  })
})
