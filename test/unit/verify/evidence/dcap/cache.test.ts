import { beforeAll, describe, expect, it } from 'vitest'
import { toHex, utf8 } from '../../../../../src/verify/bytes/bytes.ts'
import { createVerifyCache, type VerifyCache } from '../../../../../src/verify/evidence/cache.ts'
import { dcapRoots } from '../../../../../src/verify/evidence/dcap/roots.ts'
import { loadItems, troubles, verifyTd } from '../../../../support/dcap.ts'
import { AT, collateralOf, type SimulatedCase, SimulatedIntel, tcbInfoJson } from '../../../../support/intel.ts'

let intel: SimulatedIntel
let made: SimulatedCase
beforeAll(async () => {
  intel = new SimulatedIntel()
  made = await intel.make('tdx')
})

/** Counts what is stored, so that a test can tell a fact that was kept from one that was not. */
function counting(): { cache: VerifyCache; stored: string[] } {
  const inner = createVerifyCache()
  const stored: string[] = []
  return {
    stored,
    cache: {
      get: (key) => inner.get(key),
      set: (key, value, size) => {
        stored.push(key)
        inner.set(key, value, size)
      },
    },
  }
}

const verify = async (cache: VerifyCache, one: SimulatedCase = made, at: Date = AT): Promise<readonly string[]> =>
  troubles(await verifyTd({ quote: one.quote, collateral: collateralOf(one), at }, { roots: one.roots, cache }))

describe('facts that are kept', () => {
  it('are worked out once', async () => {
    const { cache, stored } = counting()
    expect(await verify(cache)).toEqual([])
    const first = stored.length
    expect(await verify(cache)).toEqual([])
    expect(stored).toHaveLength(first)
  })

  it.each([
    ['TCB info and CRLs run out', '2026-07-01T00:00:01Z', 'validity.tcb-info=unknown'],
    ['TCB info was not there yet', '2026-05-31T23:59:59Z', 'validity.tcb-info=unknown'],
    ['certificates run out', '2033-01-01T00:00:01Z', 'validity.pck=fail'],
    ['certificates were not valid yet', '2025-12-31T23:59:59Z', 'validity.pck=fail'],
  ])('never carry a verdict across the instant when %s', async (_, at, rule) => {
    const cache = createVerifyCache()
    expect(await verify(cache)).toEqual([])
    expect(await verify(cache, made, new Date(at))).toContain(rule)
    expect(await verify(cache)).toEqual([])
  })

  it('do not vouch for another quote of the same platform', async () => {
    const cache = createVerifyCache()
    expect(await verify(cache)).toEqual([])
    const quote = made.quote.slice()
    quote[200] = (quote[200] ?? 0) ^ 1
    expect(await verify(cache, { ...made, quote })).toEqual(['signature.quote=fail'])
  })

  it('do not outlive the collateral that they rest upon', async () => {
    const cache = createVerifyCache()
    expect(await verify(cache)).toEqual([])
    const { root_ca_crl: _, ...json } = made.json
    expect(await verify(cache, { ...made, json })).toContain('revocation.pck-issuer=unknown')
  })

  it('do not outlive the roots that they rest upon', async () => {
    const cache = createVerifyCache()
    expect(await verify(cache)).toEqual([])
    expect(await verify(cache, { ...made, roots: dcapRoots([]) })).toContain('chain.pck=fail')
  })

  it('do not outlive the time of a root whose key stands in another certificate as well', async () => {
    const cache = createVerifyCache()
    const ends = { certificates: { root: { notAfter: new Date('2026-06-01T00:00:00Z') } } }
    const ended = await intel.make('tdx', ends)
    expect(await verify(cache)).toEqual([])
    expect(await verify(cache, { ...made, roots: ended.roots })).toEqual(['validity.root=fail'])
    expect(await verify(cache)).toEqual([])
  })

  it('are counted with the documents that someone adds to his own evidence', async () => {
    const sizes: number[] = []
    const cache: VerifyCache = { get: () => undefined, set: (key, _, size) => void (/^dcap\.(qe|facts):/.test(key) && sizes.push(size)) }
    expect(await verify(cache)).toEqual([])
    const [few = 0, fewer = 0] = sizes.splice(0)
    const junk = Array.from({ length: 40 }, (_, i) => {
      const text = JSON.stringify(tcbInfoJson('tdx', { fmspc: toHex(Uint8Array.of(9, 9, 9, 9, 9, i)) }))
      return utf8(JSON.stringify({ tcb_info: text, tcb_info_signature: '11'.repeat(64) }))
    })
    const asked = { quote: made.quote, collateral: [...collateralOf(made), ...junk], at: AT }
    expect(troubles(await verifyTd(asked, { roots: made.roots, cache }))).toEqual([])
    const size = 4 * junk.reduce((sum, { length }) => sum + length - 1000, 0)
    expect(sizes[0]).toBeGreaterThan(few + size)
    expect(sizes[1]).toBeGreaterThan(fewer + size)
  })

  it('are not made of a quoting enclave that does not hold', async () => {
    const { cache, stored } = counting()
    const bad = await intel.make('tdx', { authData: new Uint8Array(8) })
    const quote = bad.quote.slice()
    const at = 48 + 6 + 648 + 4 + 64 + 64 + 6 + 384 + 64 + 2
    quote[at] = 1
    expect(await verify(cache, { ...bad, quote })).toEqual(['signature.qe-binding=fail'])
    expect(stored.filter((key) => key.startsWith('dcap.qe:'))).toEqual([])
  })

  it('know a level of TCB info that came later from one that came before', async () => {
    const cache = createVerifyCache()
    expect(await verify(cache)).toEqual([])
    const { tcbLevels } = tcbInfoJson('tdx') as { tcbLevels: readonly object[] }
    const stale = await intel.make('tdx', { tcbInfo: tcbInfoJson('tdx', { tcbLevels: [{ ...tcbLevels[0], tcbStatus: 'Revoked' }] }) })
    expect(await verify(cache, { ...made, json: stale.json })).toContain('tcb.status=fail')
  })

  it('take bounded room, however many quotes come', async () => {
    const cache = createVerifyCache(64 * 1024)
    const collateral = await loadItems(collateralOf(made), cache)
    for (let i = 0; i < 300; i++) {
      const quote = made.quote.slice()
      quote[quote.length - 3] = i
      quote[quote.length - 5] = i >> 8
      await verifyTd({ quote, collateral: [], at: AT }, { roots: made.roots, cache, collateral }).catch(() => undefined)
    }
    expect(await verify(cache)).toEqual([])
  })
})
