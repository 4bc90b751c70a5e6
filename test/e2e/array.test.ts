import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ItemOutcome } from '../../src/verify/documents/array.ts'
import type { Statement } from '../../src/verify/documents/statement.ts'
import { type TestEngine, testEngine } from '../support/docker-engine.ts'
import { writeBusybox } from '../support/images.ts'
import { type Ended, sealgate, sealgateJson } from '../support/processes.ts'
import { DATA, PURPOSE, World } from '../support/processes-world.ts'

const engine: TestEngine | null = await testEngine()
const scratch = mkdtempSync(join(tmpdir(), 'sealgate-array-'))
const file = (name: string): string => join(scratch, name)
afterAll(async () => {
  await engine?.stop()
  rmSync(scratch, { recursive: true, force: true })
})

interface Ran {
  readonly jobId: string
  readonly outcome: { readonly kind: string; readonly reason: string }
  readonly items: readonly ItemOutcome[]
}

/** A grant for array jobs, and jobs under it, through the command line. */
class Owner {
  readonly #world: World
  #grant = ''
  readonly #image: string

  constructor(world: World) {
    this.#world = world
    this.#image = `${world.image.runner}:${world.image.digest}`
  }

  async allow(...options: readonly string[]): Promise<void> {
    const args = ['grant', 'create', ...this.common(), '--dataset', this.#world.dataset, '--uses', '20', ...options]
    this.#grant = (await sealgateJson<{ grantId: string }>(args)).grantId
  }

  common(): readonly string[] {
    return ['--folder', this.#world.path('owner'), '--image', this.#image, '--purpose', PURPOSE]
  }

  run(name: string, ...options: readonly string[]): Promise<Ended> {
    const files = ['--out', file(name), '--receipt', file(`${name}.receipt.json`)]
    const inputs = ['--input', `data.csv=${this.#world.dataset}`, '--input', `again.csv=${this.#world.dataset}`]
    return sealgate(['run', ...this.common(), ...inputs, '--grant', this.#grant, ...files, ...options, '--json'])
  }

  async accepts(name: string): Promise<Statement> {
    const receipt = file(`${name}.receipt.json`)
    await sealgateJson(['receipt', 'verify', receipt, '--trust', this.#world.path('owner/trust.json')])
    const { receipt: jws } = JSON.parse(readFileSync(receipt, 'utf8')) as { receipt: string }
    const { payload } = JSON.parse(Buffer.from(jws, 'base64url').toString()) as { payload: string }
    return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Statement
  }
}

/** Each item's manifest in the results is the subject that the receipt names. */
function expectManifests(name: string, { subject }: Statement): void {
  for (const { name: path, digest } of subject.slice(1)) {
    const bytes = readFileSync(join(file(name), path))
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(digest.sha256)
  }
}

describe('an array job in WebAssembly', () => {
  let world: World
  let owner: Owner
  beforeAll(async () => {
    world = await World.start()
    owner = new Owner(world)
    writeFileSync(file('items.json'), JSON.stringify(['/in/data.csv', ['/in/missing.csv'], '/in/again.csv']))
    await owner.allow('--argv', '[]', '--items', file('items.json'))
  })
  afterAll(() => world?.close())

  it('gives each item results of its own, and names them in a receipt that verifies', async () => {
    const ended = await owner.run('wasm', '--array', file('items.json'))
    expect(ended.exitCode).not.toBe(0)
    const ran = JSON.parse(ended.stdout) as Ran
    expect(ran.outcome).toMatchObject({ kind: 'failed', reason: '2 of 3 items succeeded' })
    expect(ran.items.map((i) => i.kind)).toEqual(['succeeded', 'failed', 'succeeded'])
    const lines = readFileSync(DATA, 'utf8').trim().split('\n').length
    for (const item of [0, 2]) {
      expect(
        readFileSync(join(file('wasm'), `items/${item}/out/predictions.csv`), 'utf8')
          .trim()
          .split('\n'),
      ).toHaveLength(lines)
    }
    expect(readdirSync(join(file('wasm'), 'items/1')).sort()).toEqual(['manifest.json', 'stderr', 'stdout'])
    const statement = await owner.accepts('wasm')
    expect(statement.predicate.releases).toHaveLength(1)
    expectManifests('wasm', statement)
  })

  it('is refused at once with an item that the grant does not list, or under a grant that allows no array', async () => {
    writeFileSync(file('more.json'), JSON.stringify(['/in/data.csv', '/in/other.csv']))
    const refused = await owner.run('more', '--array', file('more.json'))
    expect([refused.exitCode, refused.stdout]).toEqual([5, expect.stringContaining('policy.grant-items')])
    const plain = new Owner(world)
    await plain.allow()
    const alone = await plain.run('alone', '--items', '3')
    expect([alone.exitCode, alone.stdout]).toEqual([5, expect.stringContaining('policy.grant-items')])
  })

  it('is not begun with items that repeat, none, or too many', async () => {
    writeFileSync(file('twice.json'), JSON.stringify(['a', 'b', ['a']]))
    writeFileSync(file('none.json'), '[]')
    for (const options of [
      ['--array', file('twice.json')],
      ['--array', file('none.json')],
      ['--items', '1001'],
      ['--item-time', '1s'],
    ]) {
      expect((await owner.run('never', ...options)).exitCode).toBe(2)
    }
  })
})

describe.skipIf(engine === null)('an array job in containers, on a real engine', () => {
  let world: World
  let owner: Owner
  beforeAll(async () => {
    const images = mkdtempSync(join(scratch, 'images-'))
    const image = await writeBusybox(images)
    world = await World.start({ docker: (engine as TestEngine).socketPath, images: { folder: images, image } })
    owner = new Owner(world)
    await owner.allow('--items', 'any')
  })
  afterAll(() => world?.close())

  const scripts = (name: string, ...list: readonly string[]): string => {
    writeFileSync(file(`${name}.json`), JSON.stringify(list))
    return file(`${name}.json`)
  }

  it('runs each item in a fresh container, and one that fails takes nothing from the others', async () => {
    const trace = 'echo 1 > /out/trace; echo 1 > /tmp/trace'
    const look = 'busybox ls /out /tmp; echo x 2>/dev/null > /in/data.csv || busybox wc -l < /in/data.csv > /out/lines'
    const items = scripts('fresh', trace, look, 'echo said; exit 3', 'busybox sleep 60', 'echo last')
    const ended = await owner.run('fresh', '--array', items, '--time', '2m', '--item-time', '2s')
    const ran = JSON.parse(ended.stdout) as Ran
    expect(ran.items).toEqual([
      { kind: 'succeeded', exitCode: 0 },
      { kind: 'succeeded', exitCode: 0 },
      { kind: 'failed', exitCode: 3 },
      { kind: 'timeout', exitCode: null },
      { kind: 'succeeded', exitCode: 0 },
    ])
    const text = (path: string): string => readFileSync(join(file('fresh'), 'items', path), 'utf8')
    expect(text('1/stdout')).toBe('/out:\n\n/tmp:\n')
    expect(text('1/out/lines').trim()).toBe(String(readFileSync(DATA, 'utf8').split('\n').length - 1))
    expect([text('2/stdout'), text('4/stdout')]).toEqual(['said\n', 'last\n'])
    expectManifests('fresh', await owner.accepts('fresh'))
  })

  it('stops at the first failure where it is told to', async () => {
    const items = scripts('stop', 'echo a', 'exit 1', 'echo c')
    const ended = await owner.run('stop', '--array', items, '--on-item-failure', 'stop')
    expect((JSON.parse(ended.stdout) as Ran).items.map((i) => i.kind)).toEqual(['succeeded', 'failed', 'not-run'])
    await owner.accepts('stop')
  })

  it('that is cancelled in the middle keeps the items that are done; watchers see counts', async () => {
    const items = scripts('cancel', 'echo kept', 'busybox sleep 300', 'echo never')
    const running = owner.run('cancel', '--array', items, '--time', '10m')
    const client = world.client
    const deadline = Date.now() + 40_000
    let job: { jobId: string; state: string } | undefined
    while (job?.state !== 'running' && Date.now() < deadline) {
      job = (await client.listJobs()).find((j) => j.state === 'running')
      if (job === undefined) await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const jobId = job?.jobId ?? ''
    for await (const seen of client.watchJob(jobId, {})) {
      if (seen.items === undefined) continue
      expect(seen.items).toEqual({ done: 1, total: 3 })
      break
    }
    await sealgateJson(['job', 'cancel', jobId, '--folder', world.path('owner')])
    const ran = JSON.parse((await running).stdout) as Ran
    expect(ran.outcome.kind).toBe('cancelled')
    expect(ran.items.map((i) => i.kind)).toEqual(['succeeded', 'cancelled', 'not-run'])
    expect(readFileSync(join(file('cancel'), 'items/0/stdout'), 'utf8')).toBe('kept\n')
    await owner.accepts('cancel')
  })
})
