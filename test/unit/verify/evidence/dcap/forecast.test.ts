import { beforeAll, describe, expect, it } from 'vitest'
import { LATEST, tcbLevel } from '../../../../../src/sim/index.ts'
import { fromHex, utf8 } from '../../../../../src/verify/bytes/bytes.ts'
import type { Forecast } from '../../../../../src/verify/evidence/forecast.ts'
import { loadItems, verifySgx, verifyTd } from '../../../../support/dcap.ts'
import { AT, collateralOf, type SimulatedCase, SimulatedIntel, tcbInfoJson } from '../../../../support/intel.ts'

let intel: SimulatedIntel
let made: SimulatedCase
beforeAll(async () => {
  intel = new SimulatedIntel()
  made = await intel.make('tdx')
})

async function ahead(early: object | null): Promise<Forecast> {
  const coming = early === null ? null : await intel.make('tdx', { tcbInfo: tcbInfoJson('tdx', early) })
  const collateral = coming === null ? null : await loadItems(collateralOf(coming))
  return (
    await verifyTd({ quote: made.quote, collateral: collateralOf(made), at: AT }, { roots: made.roots, early: collateral })
  ).forecast()
}

describe('a forecast', () => {
  it('lists what expires when, earliest first', async () => {
    const { expiries, early } = await ahead(null)
    expect(early).toBeNull()
    expect(expiries.map((e) => [e.what, e.expires])).toEqual([
      ['pck-crl', '2026-07-01T00:00:00Z'],
      ['root-crl', '2026-07-01T00:00:00Z'],
      ['tcb-info', '2026-07-01T00:00:00Z'],
      ['qe-identity', '2026-07-01T00:00:00Z'],
      ['pck', '2033-01-01T00:00:00Z'],
      ['pck-issuer', '2033-01-01T00:00:00Z'],
      ['root', '2033-01-01T00:00:00Z'],
      ['tcb-signer', '2033-01-01T00:00:00Z'],
    ])
  })

  it('says that early TCB info changes nothing', async () => {
    expect((await ahead({ tcbEvaluationDataNumber: 21 })).early).toMatchObject({
      status: 'UpToDate',
      changes: false,
      reasons: [],
      tcbEvaluationDataNumber: 21,
    })
  })

  it('says what will fail, from when on, and what is missing', async () => {
    const needed = [...LATEST.slice(0, 7), 6]
    const tcbLevels = [tcbLevel(needed, 14, [6, 0, 4], 'UpToDate'), tcbLevel(LATEST, 13, [6, 0, 3], 'OutOfDate', ['INTEL-SA-00009'])]
    const { early } = await ahead({ tcbEvaluationDataNumber: 21, tcbLevels })
    expect(early).toEqual({
      status: 'OutOfDate',
      tcbEvaluationDataNumber: 21,
      changes: true,
      from: '2026-07-01T00:00:00Z',
      reasons: ['SGX component 8 is 5, needs 6', 'PCESVN is 13, needs 14', 'TDX component 3 is 3, needs 4'],
    })
  })

  it('does not believe early TCB info that is not Intel’s, or not current, or of another platform', async () => {
    expect((await ahead({ nextUpdate: '2026-06-10T00:00:00Z' })).early).toBeNull()
    expect((await ahead({ fmspc: '000000000000' })).early).toBeNull()
    const other = await new SimulatedIntel().make('tdx')
    const early = await loadItems(collateralOf(other))
    const asked = { quote: made.quote, collateral: collateralOf(made), at: AT }
    expect((await (await verifyTd(asked, { roots: made.roots, early })).forecast()).early).toBeNull()
  })

  it('is made for SGX too, and of what there is', async () => {
    const sgx = await intel.make('sgx')
    const { quote, roots } = sgx
    const whole = await verifySgx({ quote, collateral: collateralOf(sgx), at: AT }, { roots, early: await loadItems(collateralOf(sgx)) })
    expect((await whole.forecast()).early).toMatchObject({ changes: false })
    const bare = await verifySgx({ quote, collateral: [], at: AT }, { roots, early: await loadItems(collateralOf(sgx)) })
    expect((await bare.forecast()).expiries.map((e) => e.what)).toEqual(['pck', 'pck-issuer', 'root'])
    const lost = await verifySgx({
      quote,
      collateral: [utf8(sgx.json.tcb_info_issuer_chain ?? ''), fromHex(sgx.json.root_ca_crl ?? '')],
      at: AT,
    })
    expect((await lost.forecast()).early).toBeNull()
  })
})
