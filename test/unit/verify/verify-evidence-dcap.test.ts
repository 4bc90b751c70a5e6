import { beforeAll, describe, expect, it } from 'vitest'
import { toBase64, toHex, utf8 } from '../../../src/verify/bytes/bytes.ts'
import type { VerifyOptions } from '../../../src/verify/evidence/types.ts'
import { exitCodeOf } from '../../../src/verify/verdict.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { AT, collateralOf, defaultWorld, padded, type SimulatedCase, SimulatedIntel } from '../../support/intel-pki.ts'

let made: Readonly<Record<'tdx' | 'sgx', SimulatedCase>>
beforeAll(async () => {
  const intel = await SimulatedIntel.create()
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
