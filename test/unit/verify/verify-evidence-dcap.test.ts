import { beforeAll, describe, expect, it } from 'vitest'
import { LATEST, tcbLevel } from '../../../src/sim/index.ts'
import { toBase64, toHex, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { joinCollateral, loadCollateral } from '../../../src/verify/evidence/collateral.ts'
import type { VerifyOptions } from '../../../src/verify/evidence/types.ts'
import { exitCodeOf } from '../../../src/verify/verdict.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { AT, collateralOf, defaultWorld, padded, type SimulatedCase, SimulatedIntel, tcbInfoJson } from '../../support/intel.ts'

let made: Readonly<Record<'tdx' | 'sgx', SimulatedCase>>
beforeAll(async () => {
  const intel = new SimulatedIntel()
  made = { tdx: await intel.make('tdx'), sgx: await intel.make('sgx') }
})

const optionsFor = (tee: 'tdx' | 'sgx', more: Partial<VerifyOptions> = {}): VerifyOptions => ({
  collateral: collateralOf(made[tee]),
  trustAnchors: [made[tee].root],
  at: AT,
  allowUnknown: [],
  ...more,
})

describe.each(['tdx', 'sgx'] as const)('evidence of %s', (tee) => {
  it('is recognised by its content, in every wrapper', async () => {
    const { quote } = made[tee]
    const tsm = utf8(JSON.stringify({ provider: 'tdx_guest\n', outblob: toBase64(quote) }))
    for (const input of [quote, padded(quote), utf8(toHex(quote)), utf8(toBase64(quote)), ...(tee === 'tdx' ? [tsm] : [])]) {
      expect(await verifyEvidence(input, optionsFor(tee))).toMatchObject({
        decision: 'accept',
        format: tee,
        claims: { tee, simulated: true },
      })
    }
  })

  it('is refused where another format was named', async () => {
    const format = tee === 'tdx' ? 'sgx' : 'tdx'
    const verdict = await verifyEvidence(made[tee].quote, optionsFor(tee, { format }))
    expect(verdict).toMatchObject({ decision: 'reject', format, error: { code: 'EVIDENCE_UNSUPPORTED' } })
    expect(exitCodeOf(verdict.checks)).toBe(3)
  })

  it('names its challenge and measurement among what was not asked for', async () => {
    const { notChecked } = await verifyEvidence(made[tee].quote, optionsFor(tee))
    expect(notChecked).toEqual(['nonce', 'measurement', ...(tee === 'tdx' ? ['event-log'] : [])])
  })

  it('is held against challenge and measurement', async () => {
    const nonce = new Uint8Array(64).fill(0xd7)
    const { td, enclave } = defaultWorld(tee)
    const measurement = (tee === 'tdx' ? td.mrTd : enclave.mrEnclave) ?? new Uint8Array()
    expect(await verifyEvidence(made[tee].quote, optionsFor(tee, { nonce, measurement }))).toMatchObject({ decision: 'accept' })
    const verdict = await verifyEvidence(
      made[tee].quote,
      optionsFor(tee, { nonce: nonce.subarray(1), measurement: measurement.map((b) => b ^ 1) }),
    )
    expect(verdict.checks.filter((c) => c.outcome === 'fail').map((c) => c.rule)).toEqual([
      'freshness.nonce',
      'reference-values.measurement',
    ])
    expect(exitCodeOf(verdict.checks)).toBe(5)
  })

  it('is not accepted without collateral, whatever unknowns the caller allows', async () => {
    const allowUnknown = ['revocation', 'tcb', 'policy', 'binding', 'reference-values', 'chain', 'validity', 'signature'] as const
    const verdict = await verifyEvidence(made[tee].quote, optionsFor(tee, { collateral: [], allowUnknown }))
    expect(verdict.decision).toBe('reject')
    expect(exitCodeOf(verdict.checks)).toBe(6)
  })

  it('is rejected with a chain that leads to nobody it was told to trust', async () => {
    const verdict = await verifyEvidence(made[tee].quote, optionsFor(tee, { trustAnchors: [] }))
    expect(verdict).toMatchObject({ decision: 'reject', authentic: false, error: { code: 'CHAIN_INVALID' } })
    expect(exitCodeOf(verdict.checks)).toBe(4)
  })

  it('is rejected with damaged collateral, for its form', async () => {
    const verdict = await verifyEvidence(made[tee].quote, optionsFor(tee, { collateral: [utf8('{"tcbInfo":{"id":1')] }))
    expect(exitCodeOf(verdict.checks)).toBe(3)
  })
})

it('event logs that do not lead to the registers reject', async () => {
  const log = utf8(JSON.stringify([{ imr: 3, event_type: 0x08000001, digest: '', event: 'x', event_payload: '00' }]))
  const verdict = await verifyEvidence(made.tdx.quote, optionsFor('tdx', { eventLogs: [log] }))
  expect(verdict.checks.filter((c) => c.outcome === 'fail').map((c) => c.rule)).toEqual(['binding.rtmr3'])
  expect(exitCodeOf(verdict.checks)).toBe(5)
})

describe('a forecast', () => {
  it('is made when it is asked for, and never decides', async () => {
    const intel = new SimulatedIntel()
    const today = await intel.make('tdx')
    const tcbLevels = [tcbLevel([9, 9, 9, 9, 9, 9, 9, 9], 99, [9, 9, 9], 'UpToDate'), tcbLevel(LATEST, 13, [6, 0, 3], 'OutOfDate')]
    const coming = await intel.make('tdx', { tcbInfo: tcbInfoJson('tdx', { tcbEvaluationDataNumber: 21, tcbLevels }) })
    const options = { collateral: collateralOf(today), trustAnchors: [today.root], at: AT, allowUnknown: [] }
    expect((await verifyEvidence(today.quote, options)).forecast).toBeNull()
    const verdict = await verifyEvidence(today.quote, { ...options, forecast: { early: collateralOf(coming) } })
    expect(verdict).toMatchObject({ decision: 'accept', forecast: { early: { status: 'OutOfDate', changes: true } } })
    expect(verdict.forecast?.expiries[0]).toEqual({
      what: 'pck-crl',
      name: expect.stringContaining('PCK'),
      expires: '2026-07-01T00:00:00Z',
    })
  })

  it('names what is no collateral among what was given for it', async () => {
    const verdict = await verifyEvidence(made.sgx.quote, optionsFor('sgx', { forecast: { early: [utf8('no collateral')] } }))
    expect(verdict).toMatchObject({ decision: 'accept', forecast: { early: null } })
    expect(verdict.notChecked).toContain('early[0]')
  })

  it('is none for what cannot be read', async () => {
    const verdict = await verifyEvidence(made.sgx.quote.subarray(0, 100), optionsFor('sgx', { forecast: { early: [] } }))
    expect(verdict).toMatchObject({ decision: 'reject', forecast: null })
  })
})

describe('collateral that was loaded beforehand', () => {
  it.each(['tdx', 'sgx'] as const)('gives the same verdict on %s, as data', async (tee) => {
    const cache = createVerifyCache()
    const collateral = await loadCollateral(
      collateralOf(made[tee]).map((bytes, i) => ({ name: `collateral[${i}]`, bytes })),
      cache,
    )
    const given = await verifyEvidence(made[tee].quote, optionsFor(tee))
    const loaded = await verifyEvidence(made[tee].quote, optionsFor(tee, { collateral, cache }))
    expect(loaded.decision).toBe('accept')
    expect(structuredClone(loaded)).toEqual(structuredClone(given))
    expect(JSON.parse(JSON.stringify(loaded))).toMatchObject({ claims: { tee }, parsed: { quoteVersion: defaultWorld(tee).version } })
  })

  it('joins what comes with the evidence', async () => {
    const cache = createVerifyCache()
    const { quote } = made.tdx
    const [pem] = collateralOf(made.tdx)
    const own = await loadCollateral([{ name: 'own', bytes: pem as Uint8Array }], cache)
    const other = await loadCollateral([{ name: 'other', bytes: made.tdx.root }], cache)
    const joined = joinCollateral(own, other)
    expect(joined.certificates.length).toBe(new Set([...own.certificates, ...other.certificates].map((c) => c.sha256)).size)
    expect(joined.id).not.toBe(own.id)
    expect(await verifyEvidence(quote, optionsFor('tdx', { collateral: joined, cache }))).toMatchObject({ decision: 'accept' })
  })
})
