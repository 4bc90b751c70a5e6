import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { CollateralConfig } from '../../../../src/gateway/collateral/config.ts'
import type { Gathered } from '../../../../src/gateway/collateral/service.ts'
import { FMSPC } from '../../../../src/sim/index.ts'
import { concat } from '../../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../../src/verify/evidence/cache.ts'
import { loadCollateral } from '../../../../src/verify/evidence/collateral.ts'
import { parseQuote } from '../../../../src/verify/evidence/dcap/quote.ts'
import { verifyQuote } from '../../../../src/verify/evidence/dcap/verify.ts'
import { exitCodeOf } from '../../../../src/verify/verdict.ts'
import { type SimulatedCase, SimulatedIntel, STRANGER, tcbInfoJson } from '../../../support/intel.ts'
import { type PcsOptions, simulatedPcs, type Vendor, VendorServer } from '../../../support/vendor-servers.ts'
import { CollateralWorld, intel } from './world.ts'

const tdx = await intel.make('tdx')
const sgx = await intel.make('sgx')
const another = await new SimulatedIntel().make('sgx')
const early = await intel.make('tdx', { tcbInfo: tcbInfoJson('tdx', { tcbEvaluationDataNumber: 21 }) })

let world: CollateralWorld
let pcs: VendorServer
beforeEach(() => {
  world = new CollateralWorld()
})
afterEach(async () => {
  await world.end()
  await pcs.stop()
})

async function start(options: PcsOptions): Promise<Partial<CollateralConfig>> {
  pcs = await VendorServer.start(simulatedPcs({ tdx, sgx }, options))
  return { intelPcs: pcs.url, ...(options.pccs === true ? {} : { intelRootCrl: `${pcs.url}/IntelSGXRootCA.der` }) }
}

/** Exit code of the verifier's checks on a quote with what was gathered. */
async function exitCode({ roots }: SimulatedCase, quote: Uint8Array, { items }: Gathered): Promise<number> {
  const cache = createVerifyCache()
  const pieces = items.map(({ bytes, sha256 }) => ({ name: sha256, bytes }))
  const collateral = await loadCollateral(pieces, cache)
  const input = { collateral, roots, at: world.clock.now(), requirements: {}, cache }
  return exitCodeOf((await verifyQuote(parseQuote(quote), null, input)).checks)
}

/** The same quote with certification data of type 3 instead of its chain: PPID, CPUSVN, PCESVN 13, PCEID 0. */
async function withoutChain(ppid = new Uint8Array(384)): Promise<Uint8Array> {
  const { quote } = await intel.make('sgx', { certificationType: 3 })
  const tail = new Uint8Array(20)
  tail[16] = 13
  return concat(quote.subarray(0, quote.length - ppid.length - tail.length), ppid, tail)
}

describe.each<[string, PcsOptions]>([
  ['Intel’s service', {}],
  ['a cache of it (PCCS)', { pccs: true }],
])('%s', (_what, options) => {
  it.each(['tdx', 'sgx'] as const)('gives a quote of %s all that it needs', async (tee) => {
    const config = await start(options)
    const found = tee === 'tdx' ? tdx : sgx
    const service = await world.open(config, [found.root])
    const gathered = await service.gather({ format: 'auto', report: found.quote, endorsements: [] })
    expect(gathered.failures).toEqual([])
    expect(await exitCode(found, found.quote, gathered)).toBe(0)
    const ca = '/sgx/certification/v4/pckcrl?ca=platform&encoding=der'
    expect([...pcs.requests].sort()).toEqual(
      [
        `/${tee}/certification/v4/tcb?fmspc=${FMSPC}&update=standard`,
        `/${tee}/certification/v4/qe/identity?update=standard`,
        ca,
        options.pccs === true ? '/sgx/certification/v4/rootcacrl' : '/IntelSGXRootCA.der',
      ].sort(),
    )
  })

  it('gives the PCK certificate that a quote lacks', async () => {
    const key = options.pccs === true ? {} : { subscriptionKey: 'a key of the tests' }
    const config = await start({ ...options, ...key })
    const quote = await withoutChain()
    const service = await world.open(config, [sgx.root], { intelKey: 'a key of the tests' })
    const gathered = await service.gather({ format: 'sgx', report: quote, endorsements: [] })
    expect(gathered.failures).toEqual([])
    expect(await exitCode(sgx, quote, gathered)).toBe(0)
    const asked = pcs.requests.length
    expect((await service.gather({ format: 'sgx', report: quote, endorsements: [] })).failures).toEqual([])
    expect(pcs.requests).toHaveLength(asked)
  })
})

describe('a host that names the quoting enclave of another', () => {
  const isTheirs = (url: URL): boolean => url.searchParams.get('encrypted_ppid')?.startsWith('ee') === true

  it.each<[string, Vendor]>([
    ['is told no', () => ({ status: 404 })],
    ['gets a certificate of its own', simulatedPcs({ sgx: another })],
  ])('and %s does not keep that one from being attested', async (_what, answer) => {
    const config = await start({})
    pcs.override = (url, headers) => (isTheirs(url) ? answer(url, headers) : null)
    const service = await world.open(config, [sgx.root, another.root])
    await service.gather({ format: 'sgx', report: await withoutChain(new Uint8Array(384).fill(0xee)), endorsements: [] })
    expect(pcs.requests.some((path) => isTheirs(new URL(path, pcs.url)))).toBe(true)
    const quote = await withoutChain()
    const gathered = await service.gather({ format: 'sgx', report: quote, endorsements: [] })
    expect(gathered.failures).toEqual([])
    expect(await exitCode(sgx, quote, gathered)).toBe(0)
  })
})

describe('Intel’s updates', () => {
  it('are kept apart: the early one never decides', async () => {
    const config = await start({ early })
    const service = await world.open(config, [tdx.root])
    const subject = { format: 'tdx', report: tdx.quote, endorsements: [] } as const
    const both = await service.gather(subject, ['standard', 'early'])
    expect(both.items.map((i) => i.evaluation)).toContain(21)
    const standard = await service.gather(subject)
    expect(standard.items.map((i) => i.evaluation)).not.toContain(21)
  })

  it('do not go back: a lower evaluation number replaces nothing', async () => {
    const config = await start({})
    const service = await world.open(config, [tdx.root])
    const question = { kind: 'tcb-info', tee: 'tdx', fmspc: FMSPC, update: 'standard' } as const
    await service.ask(question)
    const older = await intel.make('tdx', {
      tcbInfo: tcbInfoJson('tdx', { tcbEvaluationDataNumber: 19, issueDate: '2026-06-10T00:00:00Z' }),
    })
    pcs.override = simulatedPcs({ tdx: older })
    world.clock.advance(2 * 24 * 3600)
    await service.ask(question)
    await service.settled()
    expect((await service.ask(question)).items[0].evaluation).toBe(20)
  })

  it('are taken under any signer certificate that Intel’s root issued, and under no other', async () => {
    const config = await start({})
    const service = await world.open(config, [tdx.root])
    const stranger = await intel.make('tdx', { certificates: { signer: { signedBy: STRANGER } } })
    pcs.override = simulatedPcs({ tdx: stranger })
    await expect(service.ask({ kind: 'qe-identity', tee: 'tdx', update: 'standard' })).rejects.toMatchObject({
      code: 'COLLATERAL_MISSING',
      cause: { code: 'CHAIN_INVALID' },
    })
  })

  it('are refused for another platform, whoever signed them', async () => {
    const config = await start({})
    const service = await world.open(config, [tdx.root])
    const other = await intel.make('tdx', { tcbInfo: tcbInfoJson('tdx', { fmspc: 'FFFFFFFFFFFF' }) })
    pcs.override = (url) => simulatedPcs({ tdx: other })(new URL(url.href.replace(FMSPC, 'ffffffffffff')), {})
    await expect(service.ask({ kind: 'tcb-info', tee: 'tdx', fmspc: FMSPC, update: 'standard' })).rejects.toMatchObject({
      code: 'COLLATERAL_MISSING',
    })
  })
})
