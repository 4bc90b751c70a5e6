import { beforeAll, describe, expect, it } from 'vitest'
import type { IntelFields, TdFields } from '../../../../../src/sim/index.ts'
import { fromHex, toHex } from '../../../../../src/verify/bytes/bytes.ts'
import { TD_REPORT_FIELDS, TdReport } from '../../../../../src/verify/evidence/tdx/td-report.ts'
import type { TdxInput } from '../../../../../src/verify/evidence/tdx/verify.ts'
import { exitCodeOf } from '../../../../../src/verify/verdict.ts'
import { decide, troubles, verifyTd } from '../../../../support/dcap.ts'
import { AT, collateralOf, defaultWorld, SimulatedIntel } from '../../../../support/intel.ts'
import { testBytes } from '../../../../support/keys.ts'
import { outcomeOf } from '../../../../support/outcome.ts'

let intel: SimulatedIntel
beforeAll(async () => {
  intel = new SimulatedIntel()
})

const td = defaultWorld('tdx').td

async function withTd(change: TdFields, more: Partial<TdxInput> = {}, world: Partial<IntelFields> = {}): Promise<readonly string[]> {
  const made = await intel.make('tdx', { ...world, td: { ...td, ...change } })
  return troubles(await verifyTd({ quote: made.quote, collateral: collateralOf(made), at: AT }, { roots: made.roots, ...more }))
}

describe('a TD', () => {
  it.each([
    ['v4, TD report 1.0', { version: 4 }],
    ['v5, TD report 1.0', { version: 5, is15: false }],
    ['v5, TD report 1.5', { version: 5, is15: true }],
  ] as const)('is accepted in %s', async (_, world) => {
    expect(await withTd({}, {}, world)).toEqual([])
  })

  it('proves what its report says', async () => {
    const rtmrs = [0, 1, 2, 3].map((i) => testBytes(`rtmr${i}`, 48))
    const mrServiceTd = testBytes('service', 48)
    const made = await intel.make('tdx', { td: { ...td, rtmrs, mrServiceTd, tdAttributes: fromHex('0000003000000080') } })
    const verdict = decide(await verifyTd({ quote: made.quote, collateral: collateralOf(made), at: AT }, { roots: made.roots }))
    expect(verdict).toMatchObject({
      decision: 'accept',
      notChecked: ['event-log'],
      claims: {
        tee: 'tdx',
        measurement: 'a1'.repeat(48),
        mrTd: 'a1'.repeat(48),
        reportData: 'd7'.repeat(64),
        debug: false,
        tcbStatus: 'UpToDate',
        simulated: true,
        rtmr0: toHex(rtmrs[0] ?? new Uint8Array()),
        rtmr3: toHex(rtmrs[3] ?? new Uint8Array()),
        mrServiceTd: toHex(mrServiceTd),
        tdAttributes: '0000003000000080',
        tdAttributeBits: { debug: false, septVeDisable: true, migratable: true, perfmon: true, pks: false, raw: '0x8000000030000000' },
        pck: { fmspc: '00a1b2c3d4e5', tcbComponentSvns: [5, 5, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0] },
        tcb: {
          status: 'UpToDate',
          platformStatus: 'UpToDate',
          qeStatus: 'UpToDate',
          tdxModuleStatus: 'UpToDate',
          currentStatus: 'UpToDate',
          tcbEvaluationDataNumber: 20,
        },
        events: null,
      },
    })
  })

  it('shows no claims when it is rejected, but what was read', async () => {
    const made = await intel.make('tdx', { td: { ...td, tdAttributes: fromHex('0100001000000000') } })
    const verdict = decide(await verifyTd({ quote: made.quote, collateral: collateralOf(made), at: AT }, { roots: made.roots }))
    expect(verdict).toMatchObject({ decision: 'reject', authentic: true, parsed: { tdReport: { mrTd: 'a1'.repeat(48) } } })
    expect(verdict).not.toHaveProperty('claims')
    expect(exitCodeOf(verdict.checks)).toBe(5)
  })

  it.each([0, 1, 2, 3, 4, 5, 6, 7])('is refused with bit %i of "TD under debug" set', async (bit) => {
    const tdAttributes = fromHex('0000001000000000')
    tdAttributes[0] = 1 << bit
    expect(await withTd({ tdAttributes })).toEqual(['debug.td-attributes=fail'])
  })

  it('is held against a challenge, zero-padded on the right, all 64 bytes of it', async () => {
    const reportData = new Uint8Array(64)
    reportData.set(testBytes('nonce', 32))
    expect(await withTd({ reportData }, { nonce: testBytes('nonce', 32) })).toEqual([])
    expect(await withTd({ reportData }, { nonce: testBytes('other', 32) })).toEqual(['freshness.nonce=fail'])
    expect(await withTd({ reportData }, { nonce: testBytes('nonce', 32).subarray(0, 31) })).toEqual(['freshness.nonce=fail'])
    expect(await withTd({ reportData: testBytes('nonce', 64) }, { nonce: testBytes('nonce', 32) })).toEqual(['freshness.nonce=fail'])
    expect(await withTd({ reportData }, { nonce: new Uint8Array(65) })).toEqual(['freshness.nonce=fail'])
    expect(await withTd({ reportData }, { nonce: new Uint8Array(0) })).toEqual(['freshness.nonce=fail'])
  })

  it('is held against a measurement', async () => {
    expect(await withTd({}, { measurement: new Uint8Array(48).fill(0xa1) })).toEqual([])
    expect(await withTd({}, { measurement: new Uint8Array(48).fill(0xa2) })).toEqual(['reference-values.measurement=fail'])
    expect(await withTd({}, { measurement: new Uint8Array(47).fill(0xa1) })).toEqual(['reference-values.measurement=fail'])
  })
})

const bytes48 = (fill: number): Uint8Array => new Uint8Array(48).fill(fill)
const hex48 = (fill: number): string => toHex(bytes48(fill))

describe('requirements', () => {
  const attributes = (hex: string): TdFields => ({ tdAttributes: fromHex(hex) })
  it.each([
    [
      'SEPT_VE_DISABLE',
      attributes('0000001000000000'),
      attributes('0000000000000000'),
      { septVeDisable: true },
      'policy.sept-ve-disable=fail',
    ],
    ['not MIGRATABLE', attributes('0000001000000000'), attributes('0000003000000000'), { notMigratable: true }, 'policy.migratable=fail'],
    ['no service TD', {}, { mrServiceTd: new Uint8Array(48).fill(1) }, { noServiceTd: true }, 'policy.service-td=fail'],
    [
      'XFAM within a mask',
      { xfam: fromHex('e702060000000000') },
      { xfam: fromHex('e702060100000000') },
      { allowedXfam: '0x602e7' },
      'policy.xfam=fail',
    ],
    [
      'a bit of TDATTRIBUTES that must be one',
      attributes('0000005000000000'),
      attributes('0000001000000000'),
      { attributes: { required: ['pks'] } },
      'policy.td-attributes-required=fail',
    ],
    [
      'a bit of TDATTRIBUTES that must be zero',
      attributes('0000001000000000'),
      attributes('0000001000000080'),
      { attributes: { forbidden: ['kl', 'perfmon'] } },
      'policy.td-attributes-forbidden=fail',
    ],
    [
      'a TDX module by its measurement',
      { mrSeam: bytes48(1) },
      { mrSeam: bytes48(2) },
      { mrSeam: [hex48(1), hex48(3)] },
      'reference-values.mr-seam=fail',
    ],
    ['one of several MRTDs', { mrTd: bytes48(3) }, { mrTd: bytes48(2) }, { mrTd: [hex48(1), hex48(3)] }, 'reference-values.mr-td=fail'],
    [
      'MRCONFIGID',
      { mrConfigId: bytes48(1) },
      { mrConfigId: bytes48(2) },
      { mrConfigId: [hex48(1)] },
      'reference-values.mr-config-id=fail',
    ],
    ['MROWNER', { mrOwner: bytes48(1) }, { mrOwner: bytes48(2) }, { mrOwner: [hex48(1)] }, 'reference-values.mr-owner=fail'],
    [
      'MROWNERCONFIG',
      { mrOwnerConfig: bytes48(1) },
      { mrOwnerConfig: bytes48(2) },
      { mrOwnerConfig: [hex48(1)] },
      'reference-values.mr-owner-config=fail',
    ],
    ['RTMR0', { rtmrs: [bytes48(1)] }, { rtmrs: [bytes48(2)] }, { rtmr0: [hex48(1)] }, 'reference-values.rtmr0=fail'],
    [
      'RTMR1',
      { rtmrs: [bytes48(9), bytes48(1)] },
      { rtmrs: [bytes48(9), bytes48(2)] },
      { rtmr1: [hex48(1)] },
      'reference-values.rtmr1=fail',
    ],
    [
      'RTMR2',
      { rtmrs: [bytes48(9), bytes48(9), bytes48(1)] },
      { rtmrs: [bytes48(9), bytes48(9), bytes48(2)] },
      { rtmr2: [hex48(1)] },
      'reference-values.rtmr2=fail',
    ],
    [
      'RTMR3',
      { rtmrs: [bytes48(9), bytes48(9), bytes48(9), bytes48(1)] },
      { rtmrs: [bytes48(9), bytes48(9), bytes48(9), bytes48(2)] },
      { rtmr3: [hex48(1)] },
      'reference-values.rtmr3=fail',
    ],
  ] as const)('%s is asked for where a caller says so', async (_, good, bad, requirements, rule) => {
    expect(await withTd(good, { requirements })).toEqual([])
    expect(await withTd(bad, { requirements })).toEqual([rule])
    expect(await withTd(bad)).toEqual([])
  })

  it('refuse every value where a list names none, and any other spelling of one', async () => {
    expect(await withTd({}, { requirements: { rtmr3: [] } })).toEqual(['reference-values.rtmr3=fail'])
    expect(await withTd({ mrTd: bytes48(0xa1) }, { requirements: { mrTd: ['A1'.repeat(48)] } })).toEqual(['reference-values.mr-td=fail'])
  })

  it.each(['602e7', '0x0602e7', '0X602E7', '0x', '0x10000000000000000', ''])('take no mask like "%s"', async (allowedXfam) => {
    expect(await outcomeOf(() => withTd({}, { requirements: { allowedXfam } }))).toBe('USAGE')
  })

  it('does not guess about service TDs that TD report 1.0 does not name', async () => {
    const v4 = { version: 4 } as const
    const requirements = { noServiceTd: true } as const
    expect(await withTd(attributes('0000001000000000'), { requirements }, v4)).toEqual([])
    expect(await withTd(attributes('0000003000000000'), { requirements }, v4)).toEqual(['policy.service-td=unknown'])
  })
})

describe('form', () => {
  it('refuses a quote of SGX, and a TD report of any other size', async () => {
    const made = await intel.make('sgx')
    expect(await outcomeOf(() => verifyTd({ quote: made.quote, collateral: [], at: AT }))).toBe('EVIDENCE_UNSUPPORTED')
    for (const n of [0, 583]) expect(await outcomeOf(() => new TdReport(new Uint8Array(n)))).toBe('EVIDENCE_TRUNCATED')
    for (const n of [585, 647, 649]) expect(await outcomeOf(() => new TdReport(new Uint8Array(n)))).toBe('EVIDENCE_TRAILING')
  })

  it('leaves no byte of a TD report without a name', () => {
    let at = 0
    for (const [offset, size] of Object.values(TD_REPORT_FIELDS)) {
      expect(offset).toBe(at)
      at += size
    }
    expect(at).toBe(648)
  })
})
