import { beforeAll, describe, expect, it } from 'vitest'
import type { IntelFields } from '../../../../../src/sim/index.ts'
import { fromHex } from '../../../../../src/verify/bytes/bytes.ts'
import { exitCodeOf } from '../../../../../src/verify/verdict.ts'
import { decide, troubles, verifyTd } from '../../../../support/dcap.ts'
import { AT, collateralOf, defaultWorld, SimulatedIntel, tcbInfoJson } from '../../../../support/intel.ts'

let intel: SimulatedIntel
beforeAll(async () => {
  intel = new SimulatedIntel()
})

/** Makes a world with one thing wrong and says which rules object. */
async function attack(change: Partial<IntelFields>): Promise<{ rules: readonly string[]; exit: number }> {
  const made = await intel.make('tdx', change)
  const result = await verifyTd({ quote: made.quote, collateral: collateralOf(made), at: AT }, { roots: made.roots })
  return { rules: troubles(result), exit: exitCodeOf(decide(result).checks) }
}

describe('the TDX module', () => {
  const td = defaultWorld('tdx').td
  it.each([
    ['another signer', { ...td, mrSignerSeam: new Uint8Array(48).fill(1) }],
    ['SEAM attributes', { ...td, seamAttributes: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0) }],
    ['a version that has no identity', { ...td, teeTcbSvn: Uint8Array.from({ length: 16 }, (_, i) => [6, 2, 3][i] ?? 0) }],
  ] as const)('rejects one with %s', async (_, changed) => {
    const result = await attack({ td: changed })
    expect(result.rules).toContain('chain.tdx-module=fail')
    expect(result.exit).toBe(4)
  })

  it('rejects SEAM attributes even where the identity names them: they must be zero', async () => {
    const attributes = '0100000000000000'
    const module = { mrsigner: '00'.repeat(48), attributes, attributesMask: 'ffffffffffffffff' }
    const identity = {
      id: 'TDX_01',
      ...module,
      tcbLevels: [{ tcb: { isvsvn: 6 }, tcbDate: '2026-02-01T00:00:00Z', tcbStatus: 'UpToDate' }],
    }
    const tcbInfo = tcbInfoJson('tdx', { tdxModule: module, tdxModuleIdentities: [identity] })
    const result = await attack({ td: { ...td, seamAttributes: fromHex(attributes) }, tcbInfo })
    expect(result.rules).toEqual(['chain.tdx-module=fail'])
  })

  it('goes by tdxModule for version 0', async () => {
    const svn = Uint8Array.from({ length: 16 }, (_, i) => [6, 0, 3][i] ?? 0)
    expect((await attack({ td: { ...td, teeTcbSvn: svn, teeTcbSvn2: svn } })).rules).toEqual([])
    const module = { mrsigner: '11'.repeat(48), attributes: '00'.repeat(8), attributesMask: 'ff'.repeat(8) }
    const tcbInfo = tcbInfoJson('tdx', { tdxModule: module })
    expect((await attack({ td: { ...td, teeTcbSvn: svn, teeTcbSvn2: svn }, tcbInfo })).rules).toEqual(['chain.tdx-module=fail'])
  })
})

describe('a TD under which the module was exchanged (TDX 1.5)', () => {
  const td = defaultWorld('tdx').td
  const svn = (...values: readonly number[]): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => values[i] ?? 0)
  const run = async (now: Uint8Array, acceptedTcbStatuses?: readonly 'OutOfDate'[]): Promise<readonly string[]> => {
    const made = await intel.make('tdx', { td: { ...td, teeTcbSvn2: now } })
    const requirements = acceptedTcbStatuses === undefined ? {} : { acceptedTcbStatuses, acceptedAdvisories: ['INTEL-SA-00003'] }
    const result = await verifyTd({ quote: made.quote, collateral: collateralOf(made), at: AT }, { roots: made.roots, requirements })
    return result.checks.filter((c) => c.outcome !== 'pass').map((c) => `${c.rule}: ${c.got}`)
  }

  it('is sound while what runs now is, older or newer', async () => {
    expect(await run(svn(6, 1, 3))).toEqual([])
    expect(await run(svn(9, 1, 9))).toEqual([])
    expect(await run(svn(3, 3, 3))).toEqual([])
  })

  it.each([
    ['revoked', svn(2, 1, 3), 'tcb.status: UpToDate: what runs now is Revoked'],
    ['out of date', svn(4, 1, 3), 'tcb.status: UpToDate: what runs now is OutOfDate'],
    ['known to no level', svn(1, 1, 3), 'tcb.status: NotSupported'],
    ['of a version without identity', svn(6, 9, 3), 'tcb.status: NotSupported'],
    ['on microcode that no level knows', svn(6, 1, 1), 'tcb.status: NotSupported'],
    ['all zero', svn(), 'tcb.status: NotSupported'],
  ] as const)('is rejected where what runs now is %s, though it was launched up to date', async (_, now, got) => {
    expect(await run(now)).toEqual([got])
  })

  it('may run on what the caller accepts, and never on what is revoked', async () => {
    const accepted = ['UpToDate', 'OutOfDate'] as unknown as readonly 'OutOfDate'[]
    expect(await run(svn(4, 1, 3), accepted)).toEqual([])
    expect(await run(svn(2, 1, 3), accepted)).toEqual(['tcb.status: UpToDate: what runs now is Revoked'])
    const all = ['UpToDate', 'Revoked', 'NotSupported'] as unknown as readonly 'OutOfDate'[]
    expect(await run(svn(2, 1, 3), all)).toEqual(['tcb.status: UpToDate: what runs now is Revoked'])
  })
})
