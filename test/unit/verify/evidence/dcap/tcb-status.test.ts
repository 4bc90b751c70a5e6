import { describe, expect, it } from 'vitest'
import { EARLIER, LATEST, svnLevel, tcbLevel } from '../../../../../src/sim/index.ts'
import { parseStrictJson } from '../../../../../src/verify/evidence/dcap/json.ts'
import { parseQeIdentity, type QeIdentity } from '../../../../../src/verify/evidence/dcap/qe-identity.ts'
import { parseTcbInfo, type TcbInfo } from '../../../../../src/verify/evidence/dcap/tcb-info.ts'
import { advisoriesOf, evaluateTcb, type PlatformSvns, tcbDateOf } from '../../../../../src/verify/evidence/dcap/tcb-status.ts'
import { qeIdentityJson, tcbInfoJson } from '../../../../support/intel.ts'

const svns = (...values: readonly number[]): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => values[i] ?? 0)
const info = (tee: 'sgx' | 'tdx', changes: object = {}): TcbInfo =>
  parseTcbInfo(parseStrictJson(JSON.stringify(tcbInfoJson(tee, changes)), 't'), 't')
const identity = (tee: 'sgx' | 'tdx', changes: object = {}): QeIdentity =>
  parseQeIdentity(parseStrictJson(JSON.stringify(qeIdentityJson(tee, changes)), 'q'), 'q')

const SGX: PlatformSvns = { sgx: svns(...LATEST), pceSvn: 13, qeIsvSvn: 8, teeTcbSvn: null, teeTcbSvn2: null }
const TDX: PlatformSvns = { ...SGX, teeTcbSvn: svns(6, 1, 3) }

/** Word of the platform, word of the QE, word of the TDX module, and what they make (QVL convergeTcbStatuses). */
const CONVERGENCE: readonly (readonly [platform: string, qe: string, module: string, status: string])[] = [
  ...[
    'UpToDate',
    'SWHardeningNeeded',
    'ConfigurationNeeded',
    'ConfigurationAndSWHardeningNeeded',
    'OutOfDate',
    'OutOfDateConfigurationNeeded',
    'Revoked',
  ].map((word) => [word, 'UpToDate', 'UpToDate', word] as const),
  ...(['qe', 'module'] as const).flatMap((part) =>
    (
      [
        ['UpToDate', 'OutOfDate'],
        ['SWHardeningNeeded', 'OutOfDate'],
        ['ConfigurationNeeded', 'OutOfDateConfigurationNeeded'],
        ['ConfigurationAndSWHardeningNeeded', 'OutOfDateConfigurationNeeded'],
        ['OutOfDate', 'OutOfDate'],
        ['OutOfDateConfigurationNeeded', 'OutOfDateConfigurationNeeded'],
        ['Revoked', 'Revoked'],
      ] as const
    ).map(([platform, status]) =>
      part === 'qe' ? ([platform, 'OutOfDate', 'UpToDate', status] as const) : ([platform, 'UpToDate', 'OutOfDate', status] as const),
    ),
  ),
  ['UpToDate', 'Revoked', 'UpToDate', 'Revoked'],
  ['UpToDate', 'UpToDate', 'Revoked', 'Revoked'],
  ['OutOfDateConfigurationNeeded', 'Revoked', 'OutOfDate', 'Revoked'],
  ['UpToDate', 'OutOfDate', 'Revoked', 'Revoked'],
  ['ConfigurationNeeded', 'OutOfDate', 'OutOfDate', 'OutOfDateConfigurationNeeded'],
  // An enclave's other words: taken for out of date (QVL EnclaveReportVerifier.cpp 4.1.2.9.9).
  ['UpToDate', 'ConfigurationNeeded', 'UpToDate', 'OutOfDate'],
  ['UpToDate', 'OutOfDateConfigurationNeeded', 'UpToDate', 'OutOfDate'],
  // Words that do not exist, or not there.
  ['SomethingNew', 'UpToDate', 'UpToDate', 'Unrecognized'],
  ['UpToDate', 'SWHardeningNeeded', 'UpToDate', 'Unrecognized'],
  ['UpToDate', 'UpToDate', 'ConfigurationNeeded', 'Unrecognized'],
  ['UpToDate', 'uptodate', 'UpToDate', 'Unrecognized'],
  ['TDRelaunchAdvised', 'UpToDate', 'UpToDate', 'Unrecognized'],
]

describe('convergence', () => {
  it.each(CONVERGENCE)('platform %s, QE %s, module %s: %s', (platform, qe, module, status) => {
    const tcbInfo = info('tdx', {
      tcbLevels: [tcbLevel(LATEST, 13, [6, 0, 3], platform)],
      tdxModuleIdentities: [moduleIdentity('TDX_01', [svnLevel(6, module)])],
    })
    const result = evaluateTcb(TDX, tcbInfo, identity('tdx', { tcbLevels: [svnLevel(8, qe)] }))
    expect(result.status).toBe(status)
  })

  it.each(CONVERGENCE.filter(([, , module]) => module === 'UpToDate'))(
    'the same for SGX: platform %s, QE %s',
    (platform, qe, _, status) => {
      const tcbInfo = info('sgx', { tcbLevels: [tcbLevel(LATEST, 13, [], platform)] })
      expect(evaluateTcb(SGX, tcbInfo, identity('sgx', { tcbLevels: [svnLevel(8, qe)] })).status).toBe(status)
    },
  )
})

describe('matching of SGX levels', () => {
  const of = (change: Partial<PlatformSvns>): string => evaluateTcb({ ...SGX, ...change }, info('sgx'), identity('sgx')).status
  it('takes the first level that every component reaches', () => {
    expect(of({})).toBe('UpToDate')
    expect(of({ sgx: svns(255, ...LATEST.slice(1)) })).toBe('UpToDate')
  })
  it.each(LATEST.map((_, i) => i).filter((i) => LATEST[i] !== EARLIER[i]))('falls back when component %i alone is lower', (i) => {
    expect(of({ sgx: svns(...LATEST.map((svn, k) => (k === i ? svn - 1 : svn))) })).toBe('OutOfDate')
  })
  it('falls back when PCESVN alone is lower', () => {
    const result = evaluateTcb({ ...SGX, pceSvn: 12 }, info('sgx'), identity('sgx'))
    expect(result).toMatchObject({ status: 'OutOfDate', platform: { pceSvn: 5 } })
  })
  it('has no status when no level is reached', () => {
    const result = evaluateTcb({ ...SGX, pceSvn: 4 }, info('sgx'), identity('sgx'))
    expect(result).toMatchObject({ status: 'NotSupported', platform: null })
    expect([tcbDateOf(result), advisoriesOf(result)]).toEqual([null, []])
    const withQe = evaluateTcb({ ...SGX, pceSvn: 4, qeIsvSvn: 6 }, info('sgx'), identity('sgx'))
    expect([tcbDateOf(withQe), advisoriesOf(withQe)]).toEqual([null, ['INTEL-SA-00004']])
  })
  it('compares component by component, never as one number', () => {
    expect(of({ sgx: svns(255, 0, 255, 255, 255, 255, 255, 255) })).toBe('NotSupported')
  })
  it('does not trust the order in which levels come', () => {
    const { tcbLevels } = tcbInfoJson('sgx') as { tcbLevels: readonly object[] }
    expect(evaluateTcb(SGX, info('sgx', { tcbLevels: tcbLevels.toReversed() }), identity('sgx')).status).toBe('UpToDate')
  })
  it('has no status when the QE is below all of its levels', () => {
    expect(of({ qeIsvSvn: 3 })).toBe('NotSupported')
  })
  it.each([
    [8, 'UpToDate'],
    [9, 'UpToDate'],
    [7, 'OutOfDate'],
    [6, 'OutOfDate'],
    [5, 'Revoked'],
    [4, 'Revoked'],
  ])('QE of ISVSVN %i: %s', (qeIsvSvn, status) => {
    expect(of({ qeIsvSvn })).toBe(status)
  })
})

describe('matching of TDX levels', () => {
  const of = (teeTcbSvn: Uint8Array, changes: object = {}): string =>
    evaluateTcb({ ...TDX, teeTcbSvn }, info('tdx', changes), identity('tdx')).status

  it('leaves the first two bytes to the module identity when the module has a version', () => {
    expect(of(svns(6, 1, 3))).toBe('UpToDate')
    // ISVSVN 3 of module version 3 is up to date, though the platform's level names 6 there.
    expect(of(svns(3, 3, 3))).toBe('UpToDate')
  })
  it('compares all sixteen bytes for module version 0', () => {
    expect(of(svns(6, 0, 3))).toBe('UpToDate')
    expect(of(svns(5, 0, 3))).toBe('OutOfDate')
    expect(of(svns(4, 0, 3))).toBe('NotSupported')
  })
  it('falls back because of a TDX component', () => {
    expect(of(svns(6, 1, 2))).toBe('OutOfDate')
  })
  it('has no status when no level is reached because of a TDX component', () => {
    expect(of(svns(6, 1, 1))).toBe('NotSupported')
  })
  it('looks at the last byte too', () => {
    expect(of(svns(6, 1, 3), { tcbLevels: [tcbLevel(LATEST, 13, [6, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 'UpToDate')] })).toBe(
      'NotSupported',
    )
  })
  it.each([
    [6, 'UpToDate'],
    [5, 'OutOfDate'],
    [4, 'OutOfDate'],
    [3, 'Revoked'],
    [2, 'Revoked'],
    [1, 'NotSupported'],
  ])('module of version 1 with ISVSVN %i: %s', (svn, status) => {
    expect(of(svns(svn, 1, 3))).toBe(status)
  })
  it('has no status for a module version without identity', () => {
    expect(of(svns(6, 2, 3))).toBe('NotSupported')
  })
  it('finds a module identity whatever the case of its id', () => {
    expect(of(svns(6, 0x1a, 3), { tdxModuleIdentities: [moduleIdentity('tdx_1a', [svnLevel(6, 'UpToDate')])] })).toBe('UpToDate')
  })
  it('is not failed by a level that is revoked for SGX alone', () => {
    const levels = [
      tcbLevel([9, ...LATEST.slice(1)], 13, [9, 0, 9], 'UpToDate'),
      tcbLevel(LATEST, 13, [9, 0, 9], 'Revoked'),
      tcbLevel(EARLIER, 13, [6, 0, 3], 'UpToDate'),
    ]
    expect(of(svns(6, 1, 3), { tcbLevels: levels })).toBe('UpToDate')
  })
})

describe('a TD that outlived an update (TDX 1.5)', () => {
  const of = (launch: Uint8Array, now: Uint8Array, changes: object = {}, qe: object = {}): string =>
    evaluateTcb({ ...TDX, teeTcbSvn: launch, teeTcbSvn2: now }, info('tdx', changes), identity('tdx', qe)).status

  it.each([
    ['module of version 1 updated', svns(4, 1, 3), svns(6, 1, 3), 'TDRelaunchAdvised'],
    ['module of version 1 replaced by version 3', svns(4, 1, 3), svns(3, 3, 3), 'TDRelaunchAdvised'],
    ['module of version 0 updated', svns(5, 0, 2), svns(6, 0, 3), 'TDRelaunchAdvised'],
    ['microcode updated', svns(6, 1, 2), svns(6, 1, 3), 'TDRelaunchAdvised'],
    ['updated, but not enough', svns(4, 1, 2), svns(5, 1, 3), 'OutOfDate'],
    ['not updated', svns(4, 1, 3), svns(4, 1, 3), 'OutOfDate'],
    ['up to date all along', svns(6, 1, 3), svns(6, 1, 3), 'UpToDate'],
    ['launched on what is revoked now', svns(2, 1, 3), svns(6, 1, 3), 'Revoked'],
    ['launched on what no level knows', svns(1, 1, 3), svns(6, 1, 3), 'NotSupported'],
    ['now on what no level knows', svns(6, 1, 3), svns(1, 1, 3), 'NotSupported'],
    ['now on a module without identity', svns(6, 1, 3), svns(6, 7, 3), 'NotSupported'],
  ] as const)('%s', (_, launch, now, status) => {
    expect(of(launch, now)).toBe(status)
  })

  it('advises configuration as well where the platform needs it', () => {
    const needed = { tcbLevels: [tcbLevel(LATEST, 13, [6, 0, 3], 'ConfigurationNeeded')] }
    expect(of(svns(4, 1, 3), svns(6, 1, 3), needed)).toBe('TDRelaunchAdvisedConfigurationNeeded')
    const launched = {
      tcbLevels: [tcbLevel(LATEST, 13, [6, 0, 3], 'UpToDate'), tcbLevel(EARLIER, 13, [5, 0, 2], 'OutOfDateConfigurationNeeded')],
    }
    expect(of(svns(6, 1, 2), svns(6, 1, 3), launched)).toBe('TDRelaunchAdvisedConfigurationNeeded')
  })

  it('counts a level that only needs hardening as sound', () => {
    expect(of(svns(4, 1, 3), svns(6, 1, 3), { tcbLevels: [tcbLevel(LATEST, 13, [6, 0, 3], 'SWHardeningNeeded')] })).toBe(
      'TDRelaunchAdvised',
    )
  })

  it('advises nothing while the quoting enclave is out of date: a relaunch would not help', () => {
    expect(of(svns(4, 1, 3), svns(6, 1, 3), {}, { tcbLevels: [svnLevel(9, 'UpToDate'), svnLevel(8, 'OutOfDate')] })).toBe('OutOfDate')
  })

  it('says what the platform is today beside what launched the TD', () => {
    const svn = { ...TDX, teeTcbSvn: svns(4, 1, 3), teeTcbSvn2: svns(6, 1, 3) }
    expect(evaluateTcb(svn, info('tdx'), identity('tdx'))).toMatchObject({
      status: 'TDRelaunchAdvised',
      current: 'UpToDate',
      module: { isvSvn: 4 },
    })
  })
})

describe('what is reported with a status', () => {
  const result = evaluateTcb({ ...TDX, pceSvn: 5, qeIsvSvn: 6, teeTcbSvn: svns(4, 1, 2) }, info('tdx'), identity('tdx'))
  it('is the union of advisories of platform, QE and module, sorted', () => {
    expect(advisoriesOf(result)).toEqual(['INTEL-SA-00001', 'INTEL-SA-00002', 'INTEL-SA-00003', 'INTEL-SA-00004'])
  })
  it('is the earliest of their dates', () => {
    expect(new Date(tcbDateOf(result) ?? 0).toISOString()).toBe('2024-01-01T00:00:00.000Z')
  })
})

function moduleIdentity(id: string, tcbLevels: readonly object[]): object {
  return { id, mrsigner: '00'.repeat(48), attributes: '00'.repeat(8), attributesMask: 'ff'.repeat(8), tcbLevels }
}
