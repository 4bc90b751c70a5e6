import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readBundle } from '../../../../src/gateway/collateral/bundle.ts'
import { type CollateralDisk, DISK } from '../../../../src/gateway/collateral/disk.ts'
import { nameOf, type Question } from '../../../../src/gateway/collateral/questions.ts'
import { FMSPC, reissueCrl } from '../../../../src/sim/index.ts'
import { fromUtf8, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { encodeCanonical, type Json } from '../../../../src/verify/formats/canonical-json.ts'
import { collateralOf } from '../../../support/intel.ts'
import { simulatedKds, simulatedPcs, VendorServer } from '../../../support/vendor-servers.ts'
import { CollateralWorld, CRL, genoa, intel, reportOf, turin, VCEK, vcekOf } from './world.ts'

const tdx = await intel.make('tdx')
const anchors = [genoa.root.certificate, turin.root.certificate, tdx.root]
const TCB: Question = { kind: 'tcb-info', tee: 'tdx', fmspc: FMSPC, update: 'standard' }

let world: CollateralWorld
let vendor: VendorServer
const open = (more: Parameters<CollateralWorld['open']>[2] = {}): ReturnType<CollateralWorld['open']> =>
  world.open({ amdKds: vendor.url, intelPcs: vendor.url }, anchors, more)

beforeEach(async () => {
  world = new CollateralWorld()
  const [kds, pcs] = [simulatedKds(genoa, turin), simulatedPcs({ tdx }, { pccs: true })]
  vendor = await VendorServer.start((url, headers) => kds(url, headers) ?? pcs(url, headers))
})
afterEach(async () => {
  await world.end()
  await vendor.stop()
})

const filesOf = (folder: string): readonly string[] =>
  readdirSync(join(world.folder, folder))
    .filter((f) => f.includes('.'))
    .sort()
const entryOf = (): string => join(world.folder, 'index', filesOf('index')[0] ?? '')

describe('the folder', () => {
  it('names each item by its SHA-256 and its kind', async () => {
    const service = await open()
    for (const question of [CRL, vcekOf(genoa), TCB]) await service.ask(question)
    expect(
      filesOf('.')
        .map((f) => f.replace(/^[0-9a-f]{64}/, '#'))
        .sort(),
    ).toEqual(['#.crl', '#.crt', '#.crt', '#.crt', '#.json'].sort())
    expect(filesOf('index')).toHaveLength(4)
  })

  it('is drawn from by another process without a fetch', async () => {
    await (await open()).ask(CRL)
    await vendor.stop()
    expect((await (await open()).ask(CRL)).items[0].bytes).toEqual(genoa.crl)
  })

  it('keeps within its bounds: what came longest ago goes first', async () => {
    const service = await open()
    const questions: Question[] = [CRL, { ...CRL, product: 'Turin' }, TCB]
    for (const question of questions) {
      await service.ask(question)
      world.clock.advance(1)
    }
    const small = await open({ limits: { answers: 1, bytes: 1024 * 1024 } })
    expect((await small.list()).map((l) => l.answer.name)).toEqual([nameOf(TCB)])
    expect(filesOf('.')).toHaveLength(2)
  })
})

describe('after a crash', () => {
  /** As if the power had gone at the rename of the n-th file. */
  const failing = (at: number, did: 'before' | 'after'): CollateralDisk => {
    let calls = 0
    return {
      ...DISK,
      rename: async (from, to) => {
        const dies = ++calls >= at
        if (!dies || did === 'after') await DISK.rename(from, to)
        if (dies) throw Object.assign(new Error('power is gone'), { code: 'EIO' })
      },
    }
  }

  it.each([
    ['before the content was written', 1, 'before'],
    ['after the content, before the index', 1, 'after'],
    ['at the index', 2, 'before'],
    ['after the index', 2, 'after'],
  ] as const)('%s the answer is whole or is fetched again', async (_when, at, did) => {
    const dying = await open({ disk: failing(at, did) })
    // It holds all the same; only its keeping failed.
    expect((await dying.ask(CRL)).items[0].bytes).toEqual(genoa.crl)
    expect(world.warnings).toHaveLength(1)
    const again = await open()
    const names = (await again.list()).map((l) => l.answer.name)
    expect(names).toEqual(at === 2 && did === 'after' ? [nameOf(CRL)] : [])
    expect((await again.ask(CRL)).items[0].bytes).toEqual(genoa.crl)
    expect((await (await open()).list()).map((l) => l.answer.name)).toEqual([nameOf(CRL)])
  })

  it('what no entry names is swept, when it is old enough to belong to nobody', async () => {
    await (await open()).ask(CRL)
    rmSync(entryOf())
    writeFileSync(join(world.folder, '.left.part'), 'x')
    writeFileSync(join(world.folder, 'notes.txt'), 'mine')
    for (const name of filesOf('.')) utimesSync(join(world.folder, name), 0, world.clock.now() / 1000 - 1800)
    await open()
    expect(filesOf('.')).toHaveLength(3)
    for (const name of filesOf('.')) utimesSync(join(world.folder, name), 0, world.clock.now() / 1000 - 7200)
    await open()
    expect(filesOf('.')).toEqual(['notes.txt'])
  })
})

describe('an entry that does not match its content is dropped', () => {
  it.each<[string, (item: string) => void]>([
    [
      'a changed byte',
      (item) =>
        writeFileSync(
          item,
          readFileSync(item).map((b, i) => (i === 40 ? b ^ 1 : b)),
        ),
    ],
    ['a missing item', (item) => rmSync(item)],
    ['an entry of another name', () => writeFileSync(entryOf(), readFileSync(entryOf(), 'utf8').replace('Genoa', 'Turin'))],
    ['an entry that leaves the folder', () => writeFileSync(entryOf(), readFileSync(entryOf(), 'utf8').replace(/"[0-9a-f]{64}/, '"../x'))],
    ['an entry that is no JSON', () => writeFileSync(entryOf(), '{')],
  ])('%s', async (_what, damage) => {
    await (await open()).ask(CRL)
    damage(join(world.folder, filesOf('.')[0] ?? ''))
    const again = await open()
    expect(await again.list()).toEqual([])
    expect(filesOf('index')).toEqual([])
    expect((await again.ask(CRL)).items[0].bytes).toEqual(genoa.crl)
    expect(vendor.requests).toHaveLength(2)
  })

  it('and so is one whose root counts no more', async () => {
    await (await open()).ask(CRL)
    const stricter = await world.open({ fetch: false }, [])
    expect(await stricter.list()).toEqual([])
  })
})

describe('a full disk', () => {
  const full: CollateralDisk = {
    ...DISK,
    write: () => Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })),
  }

  it('keeps nothing from being attested', async () => {
    const service = await open({ disk: full })
    expect((await service.gather(reportOf(genoa))).failures).toEqual([])
    expect(world.warnings.join()).toContain('DISK_FULL')
    const asked = vendor.requests.length
    await service.gather(reportOf(genoa))
    expect(vendor.requests).toHaveLength(asked)
    expect(filesOf('.')).toEqual([])
  })

  it('is told to who imports', async () => {
    const service = await open({ disk: full })
    await expect(service.seed([genoa.crl])).rejects.toMatchObject({ code: 'DISK_FULL' })
  })
})

describe('a bundle', () => {
  async function exported(): Promise<Uint8Array> {
    const service = await open()
    for (const question of [CRL, vcekOf(genoa), TCB]) await service.ask(question)
    return service.export()
  }
  const change = (
    bundle: Uint8Array,
    edit: (json: { answers: Json[]; items: { digest: string; content: string }[] }) => void,
  ): Uint8Array => {
    const json = JSON.parse(fromUtf8(bundle)) as Parameters<typeof edit>[0]
    edit(json)
    return encodeCanonical(json)
  }
  /** The same vendor’s answers, somewhere without a network. */
  async function elsewhere(trust: readonly Uint8Array[] = anchors): ReturnType<CollateralWorld['open']> {
    rmSync(world.folder, { recursive: true })
    mkdirSync(world.folder)
    return world.open({ fetch: false }, trust)
  }

  it('carries everything to a place without a network', async () => {
    const bundle = await exported()
    const names = readBundle(bundle).map((a) => a.name)
    const offline = await elsewhere()
    expect(await offline.import(bundle)).toEqual({ taken: names, left: [] })
    expect(names).toEqual([nameOf({ kind: 'amd-chain', signer: 'vcek', product: 'Genoa' }), nameOf(CRL), VCEK, nameOf(TCB)].sort())
    expect((await offline.gather(reportOf(genoa))).failures).toEqual([])
    expect(await offline.export()).toEqual(bundle)
  })

  it('leaves out what is out of date, and says so', async () => {
    const bundle = await exported()
    const offline = await elsewhere()
    world.clock.advance(20 * 24 * 3600)
    expect((await offline.import(bundle)).left).toEqual([nameOf(CRL), nameOf(TCB)])
  })

  it('does not take back what is newer', async () => {
    const bundle = await exported()
    const newer = await reissueCrl(genoa, { thisUpdate: new Date('2026-06-10T00:00:00Z'), nextUpdate: new Date('2026-07-10T00:00:00Z') })
    const offline = await elsewhere()
    await offline.seed([newer.crl])
    expect((await offline.import(bundle)).left).toEqual([nameOf(CRL)])
    expect((await offline.ask(CRL)).items[0].bytes).toEqual(newer.crl)
  })

  it('is refused as a whole where one item leads to no trusted root, and nothing is stored', async () => {
    const bundle = await exported()
    const offline = await elsewhere([tdx.root])
    await expect(offline.import(bundle)).rejects.toMatchObject({ code: 'CHAIN_INVALID' })
    expect(filesOf('index')).toEqual([])
  })

  it.each<[string, Parameters<typeof change>[1], string]>([
    ['a changed content', (json) => Object.assign(json.items[0] as object, { content: json.items[1]?.content }), 'DOCUMENT_INVALID'],
    ['an item that belongs to nothing', (json) => json.answers.pop(), 'DOCUMENT_INVALID'],
    ['an answer without its item', (json) => json.items.pop(), 'DOCUMENT_INVALID'],
    ['answers out of order', (json) => json.answers.reverse(), 'DOCUMENT_INVALID'],
    ['items out of order', (json) => json.items.reverse(), 'DOCUMENT_INVALID'],
    ['a member that nobody knows', (json) => Object.assign(json, { note: 1 }), 'DOCUMENT_INVALID'],
    [
      'an answer under the name of another',
      (json) => Object.assign(json.answers[1] as object, { name: 'amd/crl/vcek/Milan' }),
      'CHAIN_INVALID',
    ],
  ])('is refused with %s', async (_what, edit, code) => {
    const changed = change(await exported(), edit)
    const offline = await elsewhere()
    await expect(offline.import(changed)).rejects.toMatchObject({ code })
    expect(filesOf('index')).toEqual([])
  })

  it('is refused when it is not canonical', async () => {
    const offline = await elsewhere()
    await expect(offline.import(utf8('{ }'))).rejects.toMatchObject({ code: 'JSON_NOT_CANONICAL' })
  })
})

describe('seeding', () => {
  it('takes loose files, each under what it answers', async () => {
    const service = await world.open({ fetch: false }, anchors)
    const { taken, left } = await service.seed([genoa.crl, genoa.vek.certificate, genoa.intermediate.certificate, ...collateralOf(tdx)])
    expect(left).toEqual([])
    expect([...taken].sort()).toEqual(
      [
        nameOf(CRL),
        nameOf({ ...CRL, signer: 'vlek' }),
        nameOf({ kind: 'amd-chain', signer: 'vcek', product: 'Genoa' }),
        VCEK,
        nameOf(TCB),
        'intel/qe-identity/tdx/standard',
        'intel/pck-crl/platform',
        'intel/root-crl',
      ].sort(),
    )
    const gathered = await service.gather({ format: 'tdx', report: tdx.quote, endorsements: [] })
    expect(gathered.failures).toEqual([])
    expect((await service.gather(reportOf(genoa))).failures).toEqual([])
  })

  it('is refused for what no trusted root signed', async () => {
    const service = await world.open({ fetch: false }, [tdx.root])
    await expect(service.seed([genoa.crl])).rejects.toMatchObject({ code: 'CHAIN_INVALID' })
    expect(filesOf('index')).toEqual([])
  })
})
