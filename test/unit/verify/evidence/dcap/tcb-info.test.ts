import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EARLIER, LATEST, svnLevel, tcbLevel } from '../../../../../src/sim/index.ts'
import { toHex } from '../../../../../src/verify/bytes/bytes.ts'
import { parseStrictJson } from '../../../../../src/verify/evidence/dcap/json.ts'
import { parseQeIdentity } from '../../../../../src/verify/evidence/dcap/qe-identity.ts'
import { parseTcbInfo, type TcbInfo } from '../../../../../src/verify/evidence/dcap/tcb-info.ts'
import { qeIdentityJson, tcbInfoJson } from '../../../../support/intel.ts'
import { outcomeOf } from '../../../../support/outcome.ts'

const parse = (document: object): TcbInfo => parseTcbInfo(parseStrictJson(JSON.stringify(document), 'tcbInfo'), 'tcbInfo')
const parseQe = (document: object): unknown => parseQeIdentity(parseStrictJson(JSON.stringify(document), 'id'), 'id')

describe('TCB info', () => {
  it('reads version 3 of both TEEs', () => {
    expect(parse(tcbInfoJson('tdx'))).toMatchObject({ tee: 'tdx', version: 3, fmspc: '00a1b2c3d4e5', tcbEvaluationDataNumber: 20 })
    expect(parse(tcbInfoJson('sgx'))).toMatchObject({ tee: 'sgx', version: 3, tdxModule: null, tdxModuleIdentities: [] })
  })

  it('reads version 2, which names every component and no TEE', () => {
    const named = Object.fromEntries(
      LATEST.concat(new Array(8).fill(0)).map((svn, i) => [`sgxtcbcomp${String(i + 1).padStart(2, '0')}svn`, svn]),
    )
    const { id: _, ...rest } = tcbInfoJson('sgx') as Record<string, unknown>
    const level = { tcb: { ...named, pcesvn: 11 }, tcbDate: '2022-01-01T00:00:00Z', tcbStatus: 'UpToDate' }
    const info = parse({ ...rest, version: 2, tcbLevels: [level] })
    expect(info).toMatchObject({ tee: 'sgx', version: 2, tcbLevels: [{ pceSvn: 11, tdx: null }] })
    expect(toHex(info.tcbLevels[0]?.sgx ?? new Uint8Array())).toBe('05050202040100050000000000000000')
    const { sgxtcbcomp16svn: __, ...short } = { ...named, pcesvn: 11 } as Record<string, number>
    expect(() => parse({ ...rest, version: 2, tcbLevels: [{ ...level, tcb: short }] })).toThrow('is missing')
  })

  it('puts levels in order: components, then PCESVN, then TDX components', () => {
    const levels = [
      tcbLevel(EARLIER, 5, [1], 'a'),
      tcbLevel(EARLIER, 13, [1], 'b'),
      tcbLevel(EARLIER, 13, [2], 'c'),
      tcbLevel(LATEST, 1, [0], 'd'),
    ]
    expect(parse(tcbInfoJson('tdx', { tcbLevels: levels })).tcbLevels.map((l) => l.status)).toEqual(['d', 'c', 'b', 'a'])
  })

  it.each([
    ['another version', { version: 4 }],
    ['version 2 for TDX', { version: 2 }],
    ['an id of its own', { id: 'NPU' }],
    ['another kind of TCB', { tcbType: 1 }],
    ['no evaluation number', { tcbEvaluationDataNumber: undefined }],
    ['an evaluation number that is text', { tcbEvaluationDataNumber: '20' }],
    ['an evaluation number that is no integer', { tcbEvaluationDataNumber: 20.5 }],
    ['an evaluation number below zero', { tcbEvaluationDataNumber: -1 }],
    ['no FMSPC', { fmspc: undefined }],
    ['a short FMSPC', { fmspc: '00a1b2c3d4' }],
    ['an FMSPC that is not hexadecimal', { fmspc: '00a1b2c3d4eg' }],
    ['no levels', { tcbLevels: [] }],
    ['levels that are no list', { tcbLevels: {} }],
    ['two equal levels', { tcbLevels: [tcbLevel(LATEST, 13, [6], 'UpToDate'), tcbLevel(LATEST, 13, [6], 'OutOfDate')] }],
    [
      'a level of 15 components',
      {
        tcbLevels: [
          {
            ...tcbLevel(LATEST, 13, [6], 'UpToDate'),
            tcb: { sgxtcbcomponents: new Array(15).fill({ svn: 0 }), pcesvn: 1, tdxtcbcomponents: new Array(16).fill({ svn: 0 }) },
          },
        ],
      },
    ],
    [
      'a level of 17 TDX components',
      {
        tcbLevels: [
          {
            ...tcbLevel(LATEST, 13, [6], 'UpToDate'),
            tcb: { sgxtcbcomponents: new Array(16).fill({ svn: 0 }), pcesvn: 1, tdxtcbcomponents: new Array(17).fill({ svn: 0 }) },
          },
        ],
      },
    ],
    ['a component of 256', { tcbLevels: [tcbLevel([256], 13, [6], 'UpToDate')] }],
    ['a level without status', { tcbLevels: [{ ...tcbLevel(LATEST, 13, [6], 'UpToDate'), tcbStatus: undefined }] }],
    ['a level without date', { tcbLevels: [{ ...tcbLevel(LATEST, 13, [6], 'UpToDate'), tcbDate: undefined }] }],
    ['no module', { tdxModule: undefined }],
    ['no module identities, but a list of them', { tdxModuleIdentities: [{ id: 'TDX_01' }] }],
    ['two identities of one module', { tdxModuleIdentities: [module('TDX_01'), module('tdx_01')] }],
    [
      'two levels of one module with the same SVN',
      { tdxModuleIdentities: [{ ...module('TDX_01'), tcbLevels: [svnLevel(3, 'UpToDate'), svnLevel(3, 'Revoked')] }] },
    ],
    ['a date that does not exist', { issueDate: '2026-02-30T00:00:00Z' }],
    ['a date with another form', { nextUpdate: '2026-07-01 00:00:00' }],
    ['a date with a zone', { nextUpdate: '2026-07-01T00:00:00+02:00' }],
  ] as const)('rejects %s', async (_, changes) => {
    expect(await outcomeOf(() => parse(tcbInfoJson('tdx', changes)))).toBe('DOCUMENT_INVALID')
  })

  it('rejects a TDX module in TCB info of SGX', async () => {
    expect(await outcomeOf(() => parse(tcbInfoJson('sgx', { tdxModule: module('x') })))).toBe('DOCUMENT_INVALID')
  })

  it('names the member that is wrong', () => {
    const levels = [tcbLevel(LATEST, 13, [6], 'UpToDate'), tcbLevel(EARLIER, 70_000, [5], 'OutOfDate')]
    expect(() => parse(tcbInfoJson('tdx', { tcbLevels: levels }))).toThrow(
      expect.objectContaining({ at: 'tcbInfo.tcbLevels[1].tcb.pcesvn' }),
    )
  })

  it('passes over members that it does not know, also those with names of JavaScript', () => {
    expect(parse(tcbInfoJson('tdx', JSON.parse('{"__proto__":{"fmspc":"ffffffffffff"},"constructor":1,"new":[]}') as object)).fmspc).toBe(
      '00a1b2c3d4e5',
    )
  })

  it('fails only with an AttestError, whatever the value', async () => {
    await fc.assert(
      fc.asyncProperty(fc.json({ maxDepth: 5 }), fc.constantFrom('tcbLevels', 'tdxModule', 'fmspc', 'version'), async (json, name) => {
        await outcomeOf(() => parse({ ...tcbInfoJson('tdx'), [name]: JSON.parse(json) as unknown }))
        await outcomeOf(() => parseTcbInfo(parseStrictJson(json, 'x'), 'x'))
      }),
    )
  })
})

describe('QE identity', () => {
  it('reads both', () => {
    expect(parseQe(qeIdentityJson('tdx'))).toMatchObject({
      tee: 'tdx',
      isvProdId: 2,
      tcbLevels: [{ isvSvn: 8 }, { isvSvn: 6 }, { isvSvn: 4 }],
    })
    expect(parseQe(qeIdentityJson('sgx'))).toMatchObject({ tee: 'sgx', isvProdId: 1 })
  })

  it.each([
    ['version 1', { version: 1 }],
    ['of the quote verification enclave', { id: 'QVE' }],
    ['without signer', { mrsigner: undefined }],
    ['with an empty signer', { mrsigner: '' }],
    ['without levels', { tcbLevels: [] }],
    ['with two equal levels', { tcbLevels: [svnLevel(8, 'UpToDate'), svnLevel(8, 'OutOfDate')] }],
    ['with a short mask', { attributesMask: 'ff' }],
  ] as const)('rejects one %s', async (_, changes) => {
    expect(await outcomeOf(() => parseQe(qeIdentityJson('sgx', changes)))).toBe('DOCUMENT_INVALID')
  })
})

function module(id: string): object {
  return { id, mrsigner: '00'.repeat(48), attributes: '00'.repeat(8), attributesMask: 'ff'.repeat(8), tcbLevels: [svnLevel(3, 'UpToDate')] }
}
