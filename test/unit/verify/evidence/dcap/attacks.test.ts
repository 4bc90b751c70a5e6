import { createHash } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { EARLIER, FMSPC, type IntelFields, LATEST, tcbLevel, USAGE } from '../../../../../src/sim/index.ts'
import { concat, fromHex } from '../../../../../src/verify/bytes/bytes.ts'
import { parseQuote } from '../../../../../src/verify/evidence/dcap/quote.ts'
import { exitCodeOf } from '../../../../../src/verify/verdict.ts'
import { decide, intelRoots, troubles, verifySgx, verifyTd } from '../../../../support/dcap.ts'
import {
  AT,
  collateralOf,
  defaultWorld,
  padded,
  qeIdentityJson,
  type SimulatedCase,
  SimulatedIntel,
  STRANGER,
  tcbInfoJson,
} from '../../../../support/intel.ts'

let intel: SimulatedIntel
beforeAll(async () => {
  intel = new SimulatedIntel()
})

const BOTH = ['tdx', 'sgx'] as const
type Tee = (typeof BOTH)[number]

async function look(tee: Tee, made: SimulatedCase, at: Date = AT): Promise<{ rules: readonly string[]; exit: number; decision: string }> {
  const asked = { quote: made.quote, collateral: collateralOf(made), at }
  const more = { roots: made.roots }
  const result = tee === 'tdx' ? await verifyTd(asked, more) : await verifySgx(asked, more)
  const verdict = decide(result)
  return { rules: troubles(result), exit: exitCodeOf(verdict.checks), decision: verdict.decision }
}

/** Makes a world with one thing wrong and says which rules object. */
async function attack(tee: Tee, change: Partial<IntelFields>, at: Date = AT): Promise<{ rules: readonly string[]; exit: number }> {
  return look(tee, await intel.make(tee, change), at)
}

describe.each(BOTH)('a simulated %s platform', (tee) => {
  it('accepts what is sound in every part, and says that it is simulated', async () => {
    const made = await intel.make(tee)
    const asked = { quote: made.quote, collateral: collateralOf(made), at: AT }
    const verdict = decide(tee === 'tdx' ? await verifyTd(asked, { roots: made.roots }) : await verifySgx(asked, { roots: made.roots }))
    expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
    expect(verdict).toMatchObject({
      decision: 'accept',
      authentic: true,
      claims: { tee, simulated: true, tcbStatus: 'UpToDate', debug: false },
    })
  })

  it('refuses a simulated platform under the roots that are built in', async () => {
    const made = await intel.make(tee)
    expect((await look(tee, { ...made, roots: intelRoots })).rules).toContain('chain.pck=fail')
  })

  it('accepts zeros after the quote and refuses anything else there', async () => {
    const made = await intel.make(tee)
    expect((await look(tee, { ...made, quote: padded(made.quote) })).decision).toBe('accept')
    expect((await look(tee, { ...made, quote: padded(made.quote, Uint8Array.of(0, 0, 1)) })).rules).toEqual(['policy.trailing-bytes=fail'])
  })

  it.each([
    ['root first', ['root', 'platform', 'leaf']],
    ['root in the middle', ['leaf', 'root', 'platform']],
    ['without the root', ['leaf', 'platform']],
    ['with the leaf alone: the issuer is in the collateral', ['leaf']],
  ] as const)('accepts a PCK chain with the %s', async (_, chainOrder) => {
    expect((await attack(tee, { chainOrder: [...chainOrder] })).rules).toEqual([])
  })

  it('rejects a PCK chain without PCK certificate', async () => {
    expect(await attack(tee, { chainOrder: ['platform', 'root'] })).toMatchObject({
      exit: 4,
      rules: expect.arrayContaining(['chain.pck=fail']),
    })
  })

  it('asks for the PCK certificate where the quote only names the platform', async () => {
    const result = await attack(tee, { certificationType: 3 })
    expect(result.exit).toBe(6)
    expect(result.rules).toContain('chain.pck=unknown')
    expect(result.rules).toContain('signature.qe-report=unknown')
  })

  it('takes that certificate from the collateral', async () => {
    const whole = await intel.make(tee)
    const bare = await intel.make(tee, { certificationType: 3 })
    const pem = new TextDecoder().decode(whole.quote).match(/-----BEGIN[\s\S]*-----END CERTIFICATE-----\n/)?.[0] ?? ''
    expect((await look(tee, { ...bare, json: { ...whole.json, pck_certificate_chain: pem } })).decision).toBe('accept')
  })

  describe('certificates', () => {
    it.each([
      ['a PCK certificate signed by a stranger', { leaf: { signedBy: STRANGER } }, 'chain.pck=fail'],
      ['a PCK authority signed by a stranger', { platform: { signedBy: STRANGER } }, 'chain.pck=fail'],
      ['a PCK certificate by another name', { leaf: { commonName: 'SGX Something Certificate' } }, 'chain.pck=fail'],
      ['a PCK authority by another name', { platform: { commonName: 'SGX PCK Imposter CA' } }, 'chain.pck=fail'],
      ['a PCK certificate that is an authority', { leaf: { ca: true, usage: USAGE.certSign } }, 'chain.pck=fail'],
      ['a PCK authority that is none', { platform: { ca: false } }, 'chain.pck=fail'],
      ['a PCK authority that may not sign CRLs', { platform: { usage: USAGE.certSign } }, 'chain.pck=fail'],
      ['a PCK certificate that has expired', { leaf: { notAfter: new Date('2026-06-15T11:59:59Z') } }, 'validity.pck=fail'],
      ['a PCK certificate of the future', { leaf: { notBefore: new Date('2026-06-15T12:00:01Z') } }, 'validity.pck=fail'],
      ['a PCK authority that has expired', { platform: { notAfter: new Date('2026-06-15T11:59:59Z') } }, 'validity.pck-issuer=fail'],
      ['a root that has expired', { root: { notAfter: new Date('2026-06-15T11:59:59Z') } }, 'validity.root=fail'],
      ['a TCB signer that has expired', { signer: { notAfter: new Date('2026-06-15T11:59:59Z') } }, 'validity.tcb-info-signer=fail'],
      ['a TCB signer by another name', { signer: { commonName: 'SGX TCB Scribbling' } }, 'signature.tcb-info=fail'],
      ['a TCB signer signed by a stranger', { signer: { signedBy: STRANGER } }, 'signature.tcb-info=fail'],
      ['a TCB signer that may not sign', { signer: { usage: USAGE.agree } }, 'signature.tcb-info=fail'],
    ] as const)('rejects %s', async (_, certificates, rule) => {
      const result = await attack(tee, { certificates })
      expect(result.rules).toContain(rule)
      expect(result.exit).toBe(4)
    })

    it('accepts validity that ends or begins at this very instant', async () => {
      expect((await attack(tee, { certificates: { leaf: { notAfter: AT }, platform: { notBefore: AT } } })).rules).toEqual([])
    })

    it('rejects an authority and signers that stand under different roots', async () => {
      const made = await intel.make(tee)
      const other = await new SimulatedIntel().make(tee)
      const { tcb_info, tcb_info_signature, tcb_info_issuer_chain } = other.json
      const json = { ...made.json, tcb_info, tcb_info_signature, tcb_info_issuer_chain } as Record<string, string>
      const result = await look(tee, { ...made, json, roots: [...made.roots, ...other.roots] })
      expect(result.rules).toContain('signature.tcb-info=fail')
    })
  })

  describe('revocation', () => {
    it.each([
      ['a revoked PCK certificate', { revokedByPlatform: ['leaf'] }, 'revocation.pck=fail', 4],
      ['a revoked PCK authority', { revokedByRoot: ['platform'] }, 'revocation.pck-issuer=fail', 4],
      ['a revoked TCB signer', { revokedByRoot: ['signer'] }, 'revocation.tcb-signer=fail', 4],
      ['CRLs that a stranger signed', { crlSigner: STRANGER }, 'revocation.pck=fail', 4],
      [
        'CRLs that have run out',
        { crlWindow: [new Date('2026-05-01T00:00:00Z'), new Date('2026-06-15T11:59:59Z')] },
        'revocation.pck=unknown',
        6,
      ],
      [
        'CRLs of the future',
        { crlWindow: [new Date('2026-06-15T12:00:01Z'), new Date('2026-08-01T00:00:00Z')] },
        'revocation.pck=unknown',
        6,
      ],
    ] as const)('rejects %s', async (_, change, rule, exit) => {
      const result = await attack(tee, change)
      expect(result.rules).toContain(rule)
      expect(result.exit).toBe(exit)
    })

    it('still sees a revocation on a CRL that has run out', async () => {
      const crlWindow: [Date, Date] = [new Date('2026-05-01T00:00:00Z'), new Date('2026-06-01T00:00:00Z')]
      expect((await attack(tee, { crlWindow, revokedByPlatform: ['leaf'] })).rules).toContain('revocation.pck=fail')
    })

    it.each(['root_ca_crl', 'pck_crl'] as const)('does not take silence for an answer: without %s nothing is accepted', async (name) => {
      const made = await intel.make(tee)
      const { [name]: _, ...json } = made.json
      expect(await look(tee, { ...made, json })).toMatchObject({ exit: 6, decision: 'reject' })
    })

    it('rejects the CRL of the root in the place of that of the PCK authority', async () => {
      const made = await intel.make(tee)
      const json = { ...made.json, pck_crl: made.json.root_ca_crl ?? '' }
      expect((await look(tee, { ...made, json })).rules).toEqual(['revocation.pck=unknown'])
    })
  })

  describe('documents', () => {
    const other = tee === 'tdx' ? 'sgx' : 'tdx'
    it.each([
      ['TCB info of another FMSPC', { tcbInfo: tcbInfoJson(tee, { fmspc: '00a1b2c3d4e6' }) }, 'validity.tcb-info=unknown', 6],
      ['TCB info of another PCEID', { tcbInfo: tcbInfoJson(tee, { pceId: '0001' }) }, 'validity.tcb-info=unknown', 6],
      ['TCB info of the other TEE', { tcbInfo: tcbInfoJson(other) }, 'validity.tcb-info=unknown', 6],
      ['TCB info that has run out', { tcbInfo: tcbInfoJson(tee, { nextUpdate: '2026-06-15T11:59:59Z' }) }, 'validity.tcb-info=unknown', 6],
      ['TCB info of the future', { tcbInfo: tcbInfoJson(tee, { issueDate: '2026-06-15T12:00:01Z' }) }, 'validity.tcb-info=unknown', 6],
      ['the QE identity of the other TEE', { qeIdentity: qeIdentityJson(other) }, 'validity.qe-identity=unknown', 6],
      [
        'a QE identity that has run out',
        { qeIdentity: qeIdentityJson(tee, { nextUpdate: '2026-06-15T11:59:59Z' }) },
        'validity.qe-identity=unknown',
        6,
      ],
      [
        'a QE identity of the future',
        { qeIdentity: qeIdentityJson(tee, { issueDate: '2026-06-15T12:00:01Z' }) },
        'validity.qe-identity=unknown',
        6,
      ],
    ] as const)('rejects %s', async (_, change, rule, exit) => {
      const result = await attack(tee, change)
      expect(result.rules).toContain(rule)
      expect(result.exit).toBe(exit)
    })

    it.each(['tcb_info', 'qe_identity'] as const)('rejects a %s that was changed after it was signed, by one space', async (name) => {
      const made = await intel.make(tee)
      const json = { ...made.json, [name]: (made.json[name] ?? '').replace('{"id"', '{ "id"') }
      expect(await look(tee, { ...made, json })).toMatchObject({
        exit: 4,
        rules: expect.arrayContaining([`signature.${name.replace('_', '-')}=fail`]),
      })
    })

    it.each(['tcb_info', 'qe_identity'] as const)('rejects a %s whose signature has one bit flipped', async (name) => {
      const made = await intel.make(tee)
      const signature = made.json[`${name}_signature`] ?? ''
      const json = { ...made.json, [`${name}_signature`]: `${signature.startsWith('0') ? '1' : '0'}${signature.slice(1)}` }
      expect(await look(tee, { ...made, json })).toMatchObject({
        exit: 4,
        rules: expect.arrayContaining([`signature.${name.replace('_', '-')}=fail`]),
      })
    })

    it.each(['tcb_info', 'qe_identity'] as const)('does not accept without %s', async (name) => {
      const made = await intel.make(tee)
      const { [name]: _, [`${name}_signature`]: __, ...json } = made.json
      expect(await look(tee, { ...made, json })).toMatchObject({ exit: 6, decision: 'reject' })
    })

    it('rejects an evaluation below the floor, of either document', async () => {
      const made = await intel.make(tee, { qeIdentity: qeIdentityJson(tee, { tcbEvaluationDataNumber: 19 }) })
      const asked = { quote: made.quote, collateral: collateralOf(made), at: AT }
      const requirements = { minimumTcbEvaluationDataNumber: 20 }
      const more = { roots: made.roots, requirements }
      expect(troubles(tee === 'tdx' ? await verifyTd(asked, more) : await verifySgx(asked, more))).toEqual([
        'tcb.evaluation-data-number=fail',
      ])
    })

    it('lets the newest evaluation decide where two are current, in any order', async () => {
      const older = await intel.make(tee)
      const newer = await intel.make(tee, {
        tcbInfo: tcbInfoJson(tee, { tcbEvaluationDataNumber: 21, tcbLevels: [{ ...levelOf(tee, 'OutOfDate') }] }),
      })
      for (const made of [older, newer]) {
        const collateral =
          made === older ? [...collateralOf(older), ...collateralOf(newer)] : [...collateralOf(newer), ...collateralOf(older)]
        const asked = { quote: older.quote, collateral, at: AT }
        const result = tee === 'tdx' ? await verifyTd(asked, { roots: older.roots }) : await verifySgx(asked, { roots: older.roots })
        expect(troubles(result)).toContain('tcb.status=fail')
      }
    })
  })

  describe('quoting enclave', () => {
    const qe = defaultWorld(tee).qe
    it.each([
      ['other MISCSELECT', { qe: { ...qe, miscSelect: Uint8Array.of(1, 0, 0, 0) } }],
      ['DEBUG set', { qe: { ...qe, attributes: fromHex('17000000000000000700000000000000') } }],
      ['another signer', { qe: { ...qe, mrSigner: new Uint8Array(32).fill(7) } }],
      ['another product', { qe: { ...qe, isvProdId: 99 } }],
    ] as const)('rejects one with %s: it is not Intel’s', async (_, change) => {
      expect(await attack(tee, change)).toMatchObject({ exit: 4, rules: ['chain.quoting-enclave=fail'] })
    })

    it('masks out bits that the identity leaves open', async () => {
      expect((await attack(tee, { qe: { ...qe, attributes: fromHex('1500000000000000ffffffffffffffff') } })).rules).toEqual([])
    })

    it('rejects a report that binds another key', async () => {
      expect((await attack(tee, { qe: { ...qe, reportData: new Uint8Array(64).fill(1) } })).rules).toContain('signature.qe-binding=fail')
    })

    it('rejects report data with something after the digest', async () => {
      const { quote } = await intel.make(tee)
      const { attestationKey, qeAuthData } = parseQuote(quote)
      const digest = createHash('sha256').update(attestationKey).update(qeAuthData).digest()
      const reportData = concat(new Uint8Array(digest), new Uint8Array(31), Uint8Array.of(1))
      expect((await attack(tee, { qe: { ...qe, reportData } })).rules).toEqual(['signature.qe-binding=fail'])
    })

    it('rejects authentication data that was changed', async () => {
      const made = await intel.make(tee)
      const at = indexOf(made.quote, new Uint8Array(32).fill(0xad))
      const quote = made.quote.slice()
      quote[at] = 0
      expect((await look(tee, { ...made, quote })).rules).toEqual(['signature.qe-binding=fail'])
    })
  })

  it('names what an out-of-date platform lacks', async () => {
    const made = await intel.make(tee, { pck: { sgx: EARLIER, pceSvn: 5, fmspc: FMSPC, pceId: '0000' } })
    const asked = { quote: made.quote, collateral: collateralOf(made), at: AT }
    const result = tee === 'tdx' ? await verifyTd(asked, { roots: made.roots }) : await verifySgx(asked, { roots: made.roots })
    const status = result.checks.find((c) => c.rule === 'tcb.status')
    expect(status).toMatchObject({ outcome: 'fail', want: 'UpToDate' })
    expect(status?.got).toContain('OutOfDate: SGX component 1 is 3, needs 5')
    expect(status?.got).toContain('PCESVN is 5, needs 13')
    expect(status?.got).toContain('open advisories INTEL-SA-00001 INTEL-SA-00002')
  })

  it('names what it lacks where no level of its model is better than SWHardeningNeeded', async () => {
    const tcbLevels = [
      tcbLevel(LATEST, 13, [6, 0, 3], 'SWHardeningNeeded'),
      tcbLevel(EARLIER, 5, [5, 0, 2], 'OutOfDate'),
      tcbLevel(EARLIER, 4, [5, 0, 2], 'OutOfDateConfigurationNeeded'),
    ]
    const tcbInfo = tcbInfoJson(tee, { tcbLevels })
    const statusOf = async (change: Partial<IntelFields>): Promise<string | undefined> => {
      const made = await intel.make(tee, { tcbInfo, ...change })
      const asked = { quote: made.quote, collateral: collateralOf(made), at: AT }
      const result = tee === 'tdx' ? await verifyTd(asked, { roots: made.roots }) : await verifySgx(asked, { roots: made.roots })
      return result.checks.find((c) => c.rule === 'tcb.status')?.got
    }
    expect(await statusOf({})).toBe('SWHardeningNeeded')
    const got = await statusOf({ pck: { sgx: EARLIER, pceSvn: 5, fmspc: FMSPC, pceId: '0000' } })
    expect(got).toMatch(/^OutOfDate: SGX component 1 is 3, needs 5; .*PCESVN is 5, needs 13/)
  })

  it('accepts another status only by name and with every advisory dealt with', async () => {
    const made = await intel.make(tee, { pck: { sgx: EARLIER, pceSvn: 5, fmspc: FMSPC, pceId: '0000' } })
    const asked = { quote: made.quote, collateral: collateralOf(made), at: AT }
    const withRules = async (requirements: object): Promise<readonly string[]> => {
      const more = { roots: made.roots, requirements }
      return troubles(tee === 'tdx' ? await verifyTd(asked, more) : await verifySgx(asked, more))
    }
    expect(await withRules({ acceptedTcbStatuses: ['OutOfDate'] })).toEqual(['tcb.status=fail'])
    expect(await withRules({ acceptedAdvisories: ['INTEL-SA-00001', 'INTEL-SA-00002'] })).toEqual(['tcb.status=fail'])
    expect(await withRules({ acceptedTcbStatuses: ['OutOfDate'], acceptedAdvisories: ['INTEL-SA-00001'] })).toEqual(['tcb.status=fail'])
    const both = { acceptedTcbStatuses: ['OutOfDate'], acceptedAdvisories: ['INTEL-SA-00001', 'INTEL-SA-00002'] }
    expect(await withRules(both)).toEqual([])
  })

  it('never accepts a revoked or unsupported level, whatever the caller lists', async () => {
    const made = await intel.make(tee, { qe: { ...defaultWorld(tee).qe, isvSvn: 4 } })
    const below = await intel.make(tee, { qe: { ...defaultWorld(tee).qe, isvSvn: 3 } })
    const requirements = { acceptedTcbStatuses: ['Revoked', 'NotSupported'] } as object
    for (const one of [made, below]) {
      const asked = { quote: one.quote, collateral: collateralOf(one), at: AT }
      const more = { roots: one.roots, requirements }
      expect(troubles(tee === 'tdx' ? await verifyTd(asked, more) : await verifySgx(asked, more))).toEqual(['tcb.status=fail'])
    }
  })
})

function levelOf(tee: Tee, tcbStatus: string): object {
  const [first] = (tcbInfoJson(tee) as { tcbLevels: readonly object[] }).tcbLevels
  return { ...first, tcbStatus }
}

function indexOf(bytes: Uint8Array, part: Uint8Array): number {
  for (let i = 0; i + part.length <= bytes.length; i++) if (part.every((b, k) => bytes[i + k] === b)) return i
  throw new Error('not there')
}
